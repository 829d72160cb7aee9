"""Console page of four-eyes rules."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from threada_site.admin import html
from threada_site.admin.actions import Call, Done
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.identity.four_eyes import end_four_eyes, turn_on_four_eyes
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.four_eyes import IDENTITY_FOUR_EYES, POLICY_FOUR_EYES, is_four_eyes_required, stewards
from threada_site.tenancy.models import FourEyesRule, User

_TWO: Final = 2


def _asked_by(rule: FourEyesRule) -> Any:
    if rule.end_asked_by is None:
        return html.NOTHING
    person = User.objects.filter(id=rule.end_asked_by).first()
    return f"{person or _('somebody')}"


class RequireForm(ConsoleForm):
    intro = gettext_lazy(
        "From now on, an independent person must publish every change of the rules in force: policies, overlays, "
        "lists, packs, workflows, channels, integrations, calendars, groups and retention rules. Two people are needed "
        "to end this requirement."
    )


class EndForm(ConsoleForm):
    intro = gettext_lazy(
        "The first tenant administrator requests the end. Another one, who is independent of the first, must confirm "
        "it within seven days."
    )


class RequireForPeopleForm(ConsoleForm):
    intro = gettext_lazy(
        "From now on, a second, independent steward must confirm every change of roles, groups, members, owners and "
        "scopes on single objects. Two people are needed to end this requirement."
    )


@admin.register(FourEyesRule)
class FourEyesRuleAdmin(TenantAdmin):
    columns = (
        Column(gettext_lazy("Rule"), lambda rule: rule.slug),
        Column(gettext_lazy("State"), lambda rule: html.badge("in force" if rule.is_required else "inactive")),
        Column(gettext_lazy("Since"), lambda rule: html.when(rule.changed_at)),
        Column(gettext_lazy("End requested by"), _asked_by),
    )
    heading = gettext_lazy("Four-eyes rules")
    about = gettext_lazy(
        "Actions that need two people in this tenant. One person can turn a rule on; turning it off takes two."
    )
    nothing_yet = gettext_lazy(
        "One person alone can publish policies. Require four eyes so that a second person sees every change."
    )

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return FourEyesRule.objects.filter(tenant_id=ctx.tenant_id)

    def notices(self, ctx: ActingContext) -> list[SafeString]:
        """Return what holds for changes to people and their rights, which has a row only if somebody set it."""
        if is_four_eyes_required(ctx.tenant_id, IDENTITY_FOUR_EYES):
            said = _("Changes to people and their rights need a second, independent steward (identity_four_eyes).")
        elif len(stewards(ctx.tenant_id)) < _TWO:
            said = _(
                "This tenant has one steward, who alone can change people and their rights: grant roles, define "
                "groups, add and remove members. Such grants count only on work items that come in later. From two "
                "stewards on, the second must confirm such changes (identity_four_eyes)."
            )
        else:
            said = _("One steward alone can change people and their rights: identity_four_eyes was turned off.")
        return [format_html("{}", said)]

    @form_page(
        gettext_lazy("Require four eyes for people and roles"),
        form=RequireForPeopleForm,
        scope=Scope.WORKFLOW_MANAGE,
        submit=gettext_lazy("Require four eyes"),
    )
    def require_for_people(self, call: Call, form: ConsoleForm) -> Done:
        turn_on_four_eyes(IDENTITY_FOUR_EYES, ctx=call.ctx)
        return Done(_("A second steward must now confirm changes to people and their rights."))

    @form_page(
        gettext_lazy("End four eyes for people and roles"),
        form=EndForm,
        scope=Scope.WORKFLOW_MANAGE,
        submit=gettext_lazy("End four eyes"),
    )
    def end_for_people(self, call: Call, form: ConsoleForm) -> Done:
        rule = end_four_eyes(IDENTITY_FOUR_EYES, ctx=call.ctx)
        if rule.is_required:
            return Done(_("The end is requested. Another tenant administrator must confirm it within seven days."))
        return Done(_("Four eyes are no longer required for changes to people and their rights."))

    @form_page(
        gettext_lazy("Require four eyes for policies"),
        form=RequireForm,
        scope=Scope.WORKFLOW_MANAGE,
        submit=gettext_lazy("Require four eyes"),
    )
    def require(self, call: Call, form: ConsoleForm) -> Done:
        turn_on_four_eyes(POLICY_FOUR_EYES, ctx=call.ctx)
        return Done(_("Policy versions must now be published by a second person."))

    @form_page(
        gettext_lazy("End four eyes for policies"),
        form=EndForm,
        scope=Scope.WORKFLOW_MANAGE,
        submit=gettext_lazy("End four eyes"),
    )
    def end(self, call: Call, form: ConsoleForm) -> Done:
        rule = end_four_eyes(POLICY_FOUR_EYES, ctx=call.ctx)
        if rule.is_required:
            return Done(_("The end is requested. Another tenant administrator must confirm it within seven days."))
        return Done(_("Four eyes are no longer required for policies."))
