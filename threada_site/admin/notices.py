"""Notices of the console for people who can act on them."""

from __future__ import annotations

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from threada_site.kernel.context import ALL_SCOPES, ActingContext, Scope, Visibility
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES, is_four_eyes_required


def policy_notices(ctx: ActingContext) -> list[SafeString]:
    """Return a warning for publishers if one person alone may publish policies."""
    if not ctx.allows(Scope.POLICIES_PUBLISH) or is_four_eyes_required(ctx.tenant_id, POLICY_FOUR_EYES):
        return []
    address = reverse("admin:tenancy_foureyesrule_changelist")
    said = _('One person alone can publish policies in this tenant. <a class="t-link" href="{}">Require four eyes</a>.')
    return [format_html(said, address)]


def second_factor_notices(ctx: ActingContext) -> list[SafeString]:
    """Return a warning for stewards in a session if the tenant requires no second factor."""
    if ctx.acts_with_step_up or not ctx.authentication.is_session or not ctx.scopes >= ALL_SCOPES:
        return []
    said = _(
        "This tenant requires no second factor of stewards and approvers: a password alone decides. The operator of "
        "the instance requires one with <code>manage.py require_mfa on --tenant {}</code>. "
        '<a class="t-link" href="{}">Add yours</a>.'
    )
    return [format_html(said, ctx.tenant_slug, reverse("admin:second_factors"))]


def visibility_notices(ctx: ActingContext) -> list[SafeString]:
    """Return a line for readers whose roles limit them to their own work items."""
    if ctx.visibility != Visibility.OWN:
        return []
    return [SafeString("Your roles show your own work items and those that name you, not all of the tenant.")]
