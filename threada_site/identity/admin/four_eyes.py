"""Console page of four-eyes rules."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet

from threada_site.admin import html
from threada_site.admin.actions import Call, Done
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.identity.four_eyes import end_four_eyes, turn_on_four_eyes
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES
from threada_site.tenancy.models import FourEyesRule, User


def _asked_by(rule: FourEyesRule) -> Any:
    if rule.end_asked_by is None:
        return html.NOTHING
    person = User.objects.filter(id=rule.end_asked_by).first()
    return f"{person or 'somebody'}"


class RequireForm(ConsoleForm):
    intro = (
        "From now on, an independent person must publish every change of the rules in force: policies, overlays, "
        "lists, packs, workflows, channels, integrations, calendars, groups and retention rules. Two people are needed "
        "to end this requirement."
    )


class EndForm(ConsoleForm):
    intro = "The first tenant administrator requests the end. Another one must confirm it within seven days."


@admin.register(FourEyesRule)
class FourEyesRuleAdmin(TenantAdmin):
    columns = (
        Column("Rule", lambda rule: rule.slug),
        Column("State", lambda rule: html.badge("in force" if rule.is_required else "inactive")),
        Column("Since", lambda rule: html.when(rule.changed_at)),
        Column("End requested by", _asked_by),
    )
    heading = "Four-eyes rules"
    about = "Actions that need two people in this tenant. One person can turn a rule on; turning it off takes two."
    nothing_yet = "One person alone can publish policies. Require four eyes so that a second person sees every change."

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return FourEyesRule.objects.filter(tenant_id=ctx.tenant_id)

    @form_page(
        "Require four eyes for policies", form=RequireForm, scope=Scope.WORKFLOW_MANAGE, submit="Require four eyes"
    )
    def require(self, call: Call, form: ConsoleForm) -> Done:
        turn_on_four_eyes(POLICY_FOUR_EYES, ctx=call.ctx)
        return Done("Policy versions must now be published by a second person.")

    @form_page("End four eyes for policies", form=EndForm, scope=Scope.WORKFLOW_MANAGE, submit="End four eyes")
    def end(self, call: Call, form: ConsoleForm) -> Done:
        rule = end_four_eyes(POLICY_FOUR_EYES, ctx=call.ctx)
        if rule.is_required:
            return Done("The end is requested. Another tenant administrator must confirm it within seven days.")
        return Done("Four eyes are no longer required for policies.")
