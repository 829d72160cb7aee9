"""Console pages of retention: rules in force, retention runs and legal holds."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from threada_site.admin import html
from threada_site.admin.actions import Call, Done
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.identity.stewardship import is_steward
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.models import User
from workitems.models import LegalHold, RetentionRule, RetentionRun
from workitems.retention.legal_holds import LegalHoldRequest, lift_legal_hold, set_legal_hold

_FOR_EVER = gettext_lazy("forever")


def _removed(contents: int, cases: int) -> str:
    return _("{contents:,} contents, {cases:,} cases").format(contents=contents, cases=cases)


@admin.register(RetentionRun)
class RetentionRunAdmin(TenantAdmin):
    heading = gettext_lazy("Retention")
    scope = Scope.TELEMETRY_READ
    id_prefix = ids.RETENTION_RUN
    key = "-id"
    columns = (
        Column(gettext_lazy("Run"), lambda run: html.code(run.public_id)),
        Column(gettext_lazy("Status"), lambda run: html.badge(run.status)),
        Column(gettext_lazy("Due at"), lambda run: html.when(run.as_of)),
        Column(
            gettext_lazy("Shown"),
            lambda run: _removed(run.planned_contents, run.planned_cases),
            is_wide=True,
        ),
        Column(
            gettext_lazy("Removed"),
            lambda run: _removed(run.contents_removed, run.cases_removed),
            is_wide=True,
        ),
        Column(gettext_lazy("Failure"), lambda run: run.failure or html.NOTHING),
    )
    about = gettext_lazy(
        "Removal of data whose retention period has ended: first a dry run that removes nothing, then the removal in "
        "batches. Both leave receipts."
    )
    nothing_yet = gettext_lazy("No data is due for removal. Without a retention rule, everything is kept forever.")
    page_template = "workitems/retention.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return RetentionRun.objects.filter(tenant_id=ctx.tenant_id)

    def page_title(self, row: RetentionRun) -> str:
        return _("retention run {public_id}").format(public_id=row.public_id)

    def page(self, row: RetentionRun, *, ctx: ActingContext) -> dict[str, Any]:
        return {
            "planned_by": (row.planned_by and User.objects.filter(id=row.planned_by).first()) or _("the instance"),
            "in_force": RetentionRule.objects.filter(tenant_id=ctx.tenant_id, current_version__isnull=False)
            .select_related("current_version")
            .order_by("slug"),
            "for_ever": _FOR_EVER,
        }


class SetForm(ConsoleForm):
    intro = gettext_lazy(
        "Retention and erasure skip these cases from now on. Name a work item, or at least one other criterion; a case "
        "must match all of them, and later cases are included."
    )
    work_item = forms.CharField(label=gettext_lazy("Work item"), required=False, max_length=40, help_text="wi_…")
    workflow = forms.CharField(label=gettext_lazy("Workflow"), required=False, max_length=63)
    channel = forms.CharField(label=gettext_lazy("Channel"), required=False, max_length=63)
    created_after = forms.DateTimeField(label=gettext_lazy("Created from"), required=False)
    created_before = forms.DateTimeField(label=gettext_lazy("Created before"), required=False)
    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=1000, widget=forms.Textarea({"rows": 2}))


class LiftForm(ConsoleForm):
    intro = gettext_lazy(
        "Retention and erasure may then remove its cases. Unless the tenant turned four eyes off, an independent "
        "tenant administrator must publish the lift."
    )
    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=1000, widget=forms.Textarea({"rows": 2}))


@admin.register(LegalHold)
class LegalHoldAdmin(TenantAdmin):
    heading = gettext_lazy("Legal holds")
    scope = Scope.TELEMETRY_READ
    id_prefix = ids.LEGAL_HOLD
    key = "-id"
    columns = (
        Column(gettext_lazy("Hold"), lambda legal_hold: html.code(legal_hold.public_id)),
        Column(gettext_lazy("Status"), lambda legal_hold: html.badge("lifted" if legal_hold.lifted_at else "in force")),
        Column(gettext_lazy("Criteria"), lambda legal_hold: html.tags(_criteria(legal_hold)), is_wide=True),
        Column(gettext_lazy("Reason"), lambda legal_hold: legal_hold.reason, is_wide=True),
        Column(gettext_lazy("Set"), lambda legal_hold: html.when(legal_hold.set_at)),
    )
    about = gettext_lazy(
        "Data under a legal hold is neither removed nor erased until it is lifted. Lifting takes two people."
    )
    nothing_yet = gettext_lazy("There are no legal holds.")
    page_template = "workitems/legal_hold.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return LegalHold.objects.filter(tenant_id=ctx.tenant_id).select_related("requester")

    def page_title(self, row: LegalHold) -> str:
        return _("legal hold {public_id}").format(public_id=row.public_id)

    def page(self, row: LegalHold, *, ctx: ActingContext) -> dict[str, Any]:
        people = {user.id: user for user in User.objects.filter(id__in=[row.set_by, row.lifted_by])}
        return {
            "forms": [],
            "may_lift": row.lifted_at is None and ctx.is_person and is_steward(ctx),
            "criteria": _criteria(row),
            "set_by": people.get(row.set_by) or _("the instance"),  # type: ignore[arg-type]
            "lifted_by": people.get(row.lifted_by) or _("the instance"),  # type: ignore[arg-type]
        }

    @form_page(
        gettext_lazy("Set legal hold"), form=SetForm, scope=Scope.WORKFLOW_MANAGE, submit=gettext_lazy("Set legal hold")
    )
    def new(self, call: Call, form: ConsoleForm) -> Done:
        sent = form.cleaned_data
        item_id = ids.parse_public_id(ids.WORK_ITEM, sent["work_item"]) if sent["work_item"] else None
        if sent["work_item"] and item_id is None:
            raise errors.NotFound
        request = LegalHoldRequest(
            reason=sent["reason"],
            work_item_id=item_id,
            **{name: sent[name] for name in ("workflow", "channel", "created_after", "created_before")},
        )
        legal_hold = set_legal_hold(request, ctx=call.ctx)
        return Done(_("The legal hold is in force."), self.url_of(legal_hold))

    @form_page(
        gettext_lazy("Lift legal hold"),
        form=LiftForm,
        scope=Scope.WORKFLOW_MANAGE,
        submit=gettext_lazy("Lift legal hold"),
        of_row=True,
    )
    def lift(self, call: Call, form: ConsoleForm) -> Done:
        parsed = ids.parse_public_id(ids.LEGAL_HOLD, call.key)
        if parsed is None:
            raise errors.NotFound
        lift_legal_hold(parsed, reason=form.cleaned_data["reason"], ctx=call.ctx)
        return Done(_("The legal hold is lifted."))


def _criteria(legal_hold: LegalHold) -> list[str]:
    """Return the criteria of a legal hold in words."""
    said = {
        "work item": legal_hold.work_item_id and ids.public_id(ids.WORK_ITEM, legal_hold.work_item_id),
        "workflow": legal_hold.workflow,
        "channel": legal_hold.channel,
        "requester": legal_hold.requester and str(legal_hold.requester),
        "from": legal_hold.created_after and f"{legal_hold.created_after:%Y-%m-%d}",
        "before": legal_hold.created_before and f"{legal_hold.created_before:%Y-%m-%d}",
    }
    return [f"{name}: {value}" for name, value in said.items() if value]
