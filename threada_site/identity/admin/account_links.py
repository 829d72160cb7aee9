"""Console pages of invitations and reset links."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from threada_site.admin import html
from threada_site.admin.actions import Call, Done
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.admin.words import word
from threada_site.identity.account_links import show_link, unused_link
from threada_site.identity.stewardship import is_steward
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.account_link_models import AccountLink, LinkPurpose
from threada_site.tenancy.models import User


def link_shown(call: Call, person: User, purpose: LinkPurpose, *, page: str) -> Done | None:
    """Return the page that shows a new link once, to the steward who made it; None if there is none to show."""
    link = unused_link(person, purpose, tenant_id=call.ctx.tenant_id)
    if link is None or not link.can_be_shown_to(call.ctx.principal_id):
        return None
    token = show_link(link, ctx=call.ctx)
    name = "admin:invitation" if purpose is LinkPurpose.INVITATION else "admin:password_reset_link"
    shows = {
        "secret": call.request.build_absolute_uri(reverse(name, args=[token])),
        "advice": _(
            "Give the link to {username} over a channel that you trust. Whoever opens it first "
            "controls the account. The account depends on you until an independent steward confirms it."
        ).format(username=person.username),
        "onward": page,
    }
    return Done(_("The link is ready"), shows=shows)


def purpose_to_show(person: User, *, ctx: ActingContext) -> LinkPurpose | None:
    """Return the purpose of a link of `person` that `ctx` made and has not shown yet; None without one."""
    rows = AccountLink.objects.filter(tenant_id=ctx.tenant_id, user=person, used_at=None, withdrawn_at=None)
    shown = (LinkPurpose(link.purpose) for link in rows if link.can_be_shown_to(ctx.principal_id))
    return next(shown, None)


def _sent(link: AccountLink) -> str:
    if link.mail_failure:
        return _("not mailed: {mail_failure}").format(mail_failure=link.mail_failure)
    if link.address:
        return (
            _("mailed to {address}").format(address=link.address)
            if link.is_mailed
            else _("waiting for the mail to {address}").format(address=link.address)
        )
    return _("shown") if link.token_sha256 is not None else _("not shown yet")


def state_of_link(link: AccountLink) -> str:
    """Return the state of a link: `used`, `withdrawn`, `expired` or `open`."""
    if link.used_at is not None:
        return "used"
    if link.withdrawn_at is not None:
        return "withdrawn"
    return "open" if link.expires_at > clock.now() else "expired"


@admin.register(AccountLink)
class AccountLinkAdmin(TenantAdmin):
    heading = gettext_lazy("Invitations")
    id_prefix = ids.ACCOUNT_LINK
    key = "-id"
    columns = (
        Column(gettext_lazy("Person"), lambda link: link.user.username),
        Column(gettext_lazy("Purpose"), lambda link: word(link.get_purpose_display())),
        Column(gettext_lazy("State"), lambda link: html.badge(state_of_link(link))),
        Column(gettext_lazy("Sent"), _sent, is_wide=True),
        Column(gettext_lazy("Created"), lambda link: html.when(link.created_at)),
        Column(gettext_lazy("Expires"), lambda link: html.when(link.expires_at)),
    )
    about = gettext_lazy(
        "One-time links by which people join the tenant or set a new password. Only their digests are stored."
    )
    nothing_yet = gettext_lazy("Nobody was invited yet. The operator's commands add people without an invitation.")
    page_template = "identity/account_link.html"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        ctx: ActingContext | None = getattr(request, "acting_context", None)
        return ctx is not None and is_steward(ctx)

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        rows = AccountLink.objects.filter(tenant_id=ctx.tenant_id).select_related("user")
        return rows if is_steward(ctx) else rows.none()

    def page_title(self, row: AccountLink) -> str:
        return _("{purpose} of {username}").format(purpose=word(row.get_purpose_display()), username=row.user.username)

    def page(self, row: AccountLink, *, ctx: ActingContext) -> dict[str, Any]:
        maker = User.objects.filter(id=row.created_by).first() if row.created_by else None
        return {"state": state_of_link(row), "sent": _sent(row), "maker": maker}
