"""Console pages of freezes: scope, reason, blocked executions, and executions that were sent already."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations import selectors as integration_selectors
from integrations.freezes.scope import FreezeScope
from integrations.models import Execution, Freeze
from policies import selectors as policy_selectors
from telemetry.receipts.format import Subject
from threada_site.admin import html
from threada_site.admin.actions import Call, Done
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.admin.lists import Column, ListFilter
from threada_site.admin.model_admin import TenantAdmin
from threada_site.admin.words import said, word
from threada_site.identity.four_eyes import end_four_eyes, turn_on_four_eyes
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, PrincipalKind, Scope
from threada_site.tenancy.four_eyes import FREEZE_FOUR_EYES, is_four_eyes_required
from threada_site.tenancy.models import Agent, User
from workitems import selectors
from workitems.api.freezes import FreezeFilters
from workitems.executions.freeze_states import with_frozen_executions
from workitems.executions.freezes import (
    executions_kept_by,
    in_flight,
    lift_freeze,
    set_freeze,
)
from workitems.executions.freezing.permissions import check_may_lift

_MOST = 300


class FreezeForm(ConsoleForm):
    intro = gettext_lazy(
        "From now on no call in this scope is sent. Calls that were sent already are listed afterwards; they cannot be "
        "recalled. Votes are still accepted. Deadlines are extended by the length of the freeze."
    )
    scope = forms.ChoiceField(label=gettext_lazy("Scope"))
    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=1000, widget=forms.Textarea({"rows": 2}))

    def prepare(self) -> None:
        choices = [("//", _("everything in the tenant"))]
        slugs = policy_selectors.workflows(self.ctx).order_by("slug").values_list("slug", flat=True)[:_MOST]
        choices += [(f"{slug}//", _("the workflow {slug}").format(slug=slug)) for slug in slugs]
        for row in (
            integration_selectors.readable_integrations(self.ctx)
            .filter(current_version__isnull=False)
            .order_by("slug")[:_MOST]
        ):
            assert row.current_version is not None  # noqa: S101
            choices.append((f"/{row.slug}/", _("the integration {slug}").format(slug=row.slug)))
            actions = sorted(row.current_version.spec["actions"])
            choices += [(f"/{row.slug}/{action}", f"{action} on {row.slug}") for action in actions]
        agents = Agent.objects.filter(tenant_id=self.ctx.tenant_id).exclude(user__kind=PrincipalKind.HUMAN.value)
        names = agents.order_by("user__username").values_list("user__username", "user__kind")[:_MOST]
        choices += [(f"///{name}", f"{word(kind)} {name}") for name, kind in names]
        self.fields["scope"].choices = choices  # type: ignore[attr-defined]


class LiftForm(ConsoleForm):
    intro = gettext_lazy("Blocked executions run, and deadlines are extended by the length of the freeze.")
    reason = forms.CharField(
        label=gettext_lazy("Reason"), required=False, max_length=1000, widget=forms.Textarea({"rows": 2})
    )


class FourEyesForm(ConsoleForm):
    intro = gettext_lazy(
        "From now on a freeze must be lifted by a person who is independent of the one who set it. One tenant "
        "administrator can require four eyes; two are needed to end the requirement."
    )


class EndFourEyesForm(ConsoleForm):
    intro = gettext_lazy(
        "Afterwards the person who set a freeze may lift it. One tenant administrator requests the end; another one "
        "must confirm it within seven days."
    )


def _readable(rows: list[Execution], *, ctx: ActingContext) -> list[Execution]:
    """Return those of `rows` that the context may read, with their displayed state."""
    readable = with_frozen_executions(selectors.executions(ctx), ctx=ctx).filter(id__in=[row.id for row in rows])
    return list(readable.defer("input", "result", "failure_detail").order_by("id"))


@admin.register(Freeze)
class FreezeAdmin(TenantAdmin):
    id_prefix = ids.FREEZE
    key = "-id"
    heading = gettext_lazy("Freezes")
    columns = (
        Column(gettext_lazy("Freeze"), lambda row: html.code(row.public_id)),
        Column(gettext_lazy("State"), lambda row: html.badge("lifted" if row.lifted_at else "frozen")),
        Column(gettext_lazy("Scope"), lambda freeze: said(freeze.scope.sentence)),
        Column(gettext_lazy("Why"), lambda row: row.reason, is_wide=True),
        Column(gettext_lazy("Since"), lambda row: html.when(row.set_at)),
        Column(gettext_lazy("Lifted"), lambda row: html.when(row.lifted_at) or html.NOTHING),
    )
    filters = (
        ListFilter(
            "in_force",
            gettext_lazy("State"),
            choices=lambda _ctx: [("true", _("only what is frozen now")), ("false", _("only lifted"))],
        ),
    )
    filterset = FreezeFilters
    about = gettext_lazy(
        "While a freeze is in force, no call in its scope is sent. Freezes are checked right before every call."
    )
    nothing_yet = gettext_lazy("No freeze has been set.")
    page_template = "workitems/freeze.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.freezes(ctx)

    def page_title(self, row: Freeze) -> str:
        return _("freeze of {scope}").format(scope=said(row.scope.sentence))

    def page(self, row: Freeze, *, ctx: ActingContext) -> dict[str, Any]:
        is_permitted = ctx.has_scope_anywhere(Scope.INTEGRATIONS_MANAGE) and row.lifted_at is None
        four_eyes = is_four_eyes_required(ctx.tenant_id, FREEZE_FOUR_EYES)
        may_lift = is_permitted and _may_lift(row, four_eyes=four_eyes, ctx=ctx)
        return {
            "four_eyes": four_eyes,
            "may_lift": may_lift,
            "needs_another": is_permitted and not may_lift,
            "in_flight": [] if row.lifted_at else _readable(in_flight(row), ctx=ctx),
            "held": _readable(executions_kept_by(row), ctx=ctx),
            "set_by": _name(row.set_by),
            "lifted_by": _name(row.lifted_by),
        }

    @form_page(gettext_lazy("Freeze"), form=FreezeForm, scope=Scope.ACTIONS_FREEZE, submit=gettext_lazy("Set freeze"))
    def new(self, call: Call, form: ConsoleForm) -> Done:
        workflow, integration, action, *principal = form.cleaned_data["scope"].split("/")
        scope = FreezeScope(workflow, integration, action, *principal)
        call.subject = Subject(workflow=workflow, integration=integration)
        stopped = set_freeze(scope, reason=form.cleaned_data["reason"], ctx=call.ctx)
        text = _("The freeze is in force for {scope}.").format(scope=said(scope.sentence))
        if stopped.in_flight:
            text += " " + _("{number} calls were sent before and are listed below.").format(
                number=len(stopped.in_flight)
            )
        return Done(text, self.url_of(stopped.freeze))

    @form_page(
        gettext_lazy("Require four eyes"),
        form=FourEyesForm,
        scope=Scope.WORKFLOW_MANAGE,
        submit=gettext_lazy("Require four eyes"),
    )
    def four_eyes(self, call: Call, _form: ConsoleForm) -> Done:
        turn_on_four_eyes(FREEZE_FOUR_EYES, ctx=call.ctx)
        return Done(_("A freeze must now be lifted by another person than the one who set it."), self.list_url())

    @form_page(
        gettext_lazy("End four eyes"),
        form=EndFourEyesForm,
        scope=Scope.WORKFLOW_MANAGE,
        submit=gettext_lazy("End four eyes"),
    )
    def end_four_eyes(self, call: Call, _form: ConsoleForm) -> Done:
        rule = end_four_eyes(FREEZE_FOUR_EYES, ctx=call.ctx)
        said = (
            _("Another tenant administrator must confirm it.")
            if rule.is_required
            else _("Four eyes are no longer required.")
        )
        return Done(said, self.list_url())

    @form_page(
        gettext_lazy("Lift freeze"),
        form=LiftForm,
        scope=Scope.INTEGRATIONS_MANAGE,
        of_row=True,
        submit=gettext_lazy("Lift freeze"),
    )
    def lift(self, call: Call, form: ConsoleForm) -> Done:
        parsed = ids.parse_public_id(ids.FREEZE, call.key)
        if parsed is None:
            raise errors.NotFound
        freeze = lift_freeze(parsed, reason=form.cleaned_data["reason"], ctx=call.ctx)
        return Done(_("The freeze of {scope} is lifted.").format(scope=said(freeze.scope.sentence)))


def _may_lift(freeze: Freeze, *, four_eyes: bool, ctx: ActingContext) -> bool:
    try:
        check_may_lift(freeze, four_eyes=four_eyes, ctx=ctx)
    except errors.ThreadaError:
        return False
    return True


def _name(principal_id: Any) -> Any:
    return (principal_id and User.objects.filter(id=principal_id).first()) or _("an operator of the instance")
