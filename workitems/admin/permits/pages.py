"""Console pages of permits, and the part of a decision page that proposes one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

import orjson
from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.tools.pins import CALL_WORKFLOW
from policies.language.approvals import ApprovalRule, SumLimit
from policies.language.approvals.permits import MAX_USES, exact_number, plain_number
from policies.language.durations import LONGEST
from telemetry.receipts.format import Subject
from threada_site.admin import html
from threada_site.admin.actions import Call, Done, action
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.admin.reauthentication import reauthenticate
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.strict import MAX_INTEGER
from threada_site.personal_data.erasable_fields import is_erased
from threada_site.tenancy.models import User
from workitems.items.locks import locked_step
from workitems.models import DecisionStep, Permit
from workitems.permits.narrow import Narrowing, narrow_permit, revoke_permit
from workitems.permits.propose import Proposal, approve_permit
from workitems.permits.records import limits_of
from workitems.permits.selectors import permit_for_update, permits, uses
from workitems.permits.warnings import TOOL_FACT, covers_every_tool

_USES_SHOWN: Final = 50
_MOST_DIGITS: Final = 10
_MOST_ON_DESK: Final = 5
_MOST_READ: Final = 100


def usage(permit: Permit) -> str:
    """Return the use of a permit in words, for example `7 of 20, 3400 of 10000`."""
    terms = limits_of(permit)
    text = _("{used} of {most}").format(used=permit.used_count, most=terms.max_count)
    if terms.max_sum is None:
        return text
    spent = plain_number(Decimal(permit.used_sum))
    return f"{text}, " + _("{used} of {most}").format(used=spent, most=plain_number(terms.max_sum.at_most))


def in_effect(*, ctx: ActingContext) -> list[Permit]:
    """Return permits in effect of workflows on which the reader decides, those that end first first."""
    rows = permits(ctx).filter(status="in_effect", ends_at__gt=clock.now()).order_by("ends_at", "id")
    may_decide = [row for row in rows[:_MOST_READ] if ctx.allows(Scope.DECISIONS_DECIDE, workflow=row.workflow_id)]
    return may_decide[:_MOST_ON_DESK]


def state_of(permit: Permit) -> Any:
    """Return the state of a permit as a badge. One whose terms were erased covers nothing."""
    if permit.status == "in_effect":
        is_over = permit.ends_at <= clock.now() or is_erased(permit.bounds)
        return html.badge("expired" if is_over else "in force")
    return html.badge(permit.status)


def permit_choice(step: DecisionStep, rule: ApprovalRule) -> dict[str, Any]:
    """Return what a decision page shows of permits: the limits of the rule, and the permits proposed on the step.

    `permit_bounds`: the bounds that are entered already. The permit of a governed call is for its tool only.
    """
    if rule.permit is None or step.execution_id is None:
        return {"permit_limits": None, "proposed_permits": []}
    tool = step.work_item.payload.get("tool") if step.work_item.workflow == CALL_WORKFLOW else None
    bounds = f"{TOOL_FACT} == {orjson.dumps(tool).decode()}" if isinstance(tool, str) else ""
    rows = Permit.objects.filter(tenant_id=step.tenant_id, step_id=step.id, status="proposed").order_by("id")
    proposed = [
        (row, terms, _names(terms.principals), covers_every_tool(terms)) for row in rows for terms in [limits_of(row)]
    ]
    return {"permit_limits": rule.permit, "proposed_permits": proposed, "permit_bounds": bounds}


def proposal_sent(call: Call, step: DecisionStep, rule: ApprovalRule) -> Proposal | None:
    """Return the permit that the form of a vote asks for: one that was proposed, or new terms. None without any."""
    asked = call.sent("permit")
    if not asked:
        return None
    if asked != "new":
        parsed = ids.parse_public_id(ids.PERMIT, asked)
        known = Permit.objects.filter(tenant_id=step.tenant_id, step_id=step.id, id=parsed).first() if parsed else None
        if known is None:
            raise errors.NotFound
        terms = limits_of(known)
        return Proposal(
            ends_at=terms.ends_at,
            max_count=terms.max_count,
            max_sum=terms.max_sum,
            principals=terms.principals,
            bounds=terms.bounds,
        )
    limit = rule.permit.max_sum if rule.permit else None
    assert step.execution is not None or rule.permit is None  # noqa: S101
    return Proposal(
        ends_at=clock.now() + timedelta(days=_number(call.sent("permit_days"), "/permit/ends_at", most=LONGEST.days)),
        max_count=_number(call.sent("permit_count"), "/permit/max_count", most=MAX_USES),
        max_sum=SumLimit(limit.field, _amount(call.sent("permit_sum"))) if limit else None,
        principals=[ids.public_id(ids.PRINCIPAL, step.execution.requested_by)] if step.execution else [],
        bounds=[line.strip() for line in call.sent("permit_bounds").splitlines() if line.strip()],
    )


def _number(text: str, pointer: str, *, most: int) -> int:
    if text.isascii() and text.isdigit() and len(text) < _MOST_DIGITS and 0 < int(text) <= most:
        return int(text)
    raise errors.InvalidRequest(errors=[FieldError(pointer, f"must be a whole number from 1 to {most}", "invalid")])


def _amount(text: str) -> Decimal:
    try:
        amount = float(text)
    except ValueError:
        amount = 0
    if 0 < amount <= MAX_INTEGER:
        return exact_number(amount)
    message = f"must be a number above 0, at most {MAX_INTEGER}"
    raise errors.InvalidRequest(errors=[FieldError("/permit/max_sum/at_most", message, "invalid")])


class NarrowForm(ConsoleForm):
    intro = gettext_lazy(
        "It takes effect at once. Executions that are not called yet and are no longer covered wait for an approval."
    )
    max_count = forms.IntegerField(label=gettext_lazy("Largest number of uses"), required=False, min_value=1)
    max_sum = forms.FloatField(label=gettext_lazy("Largest sum"), required=False, min_value=0)
    bound = forms.CharField(label=gettext_lazy("Additional condition (CEL)"), required=False, max_length=4096)


class RevokeForm(ConsoleForm):
    intro = gettext_lazy(
        "It takes effect at once. Executions that are not called yet wait for an approval. Calls that were sent are "
        "not recalled."
    )


@admin.register(Permit)
class PermitAdmin(TenantAdmin):
    id_prefix = ids.PERMIT
    key = "-id"
    heading = gettext_lazy("Permits")
    columns = (
        Column(gettext_lazy("Permit"), lambda row: html.code(row.public_id)),
        Column(gettext_lazy("State"), state_of),
        Column(gettext_lazy("Action"), lambda row: f"{row.action} on {row.integration}"),
        Column(gettext_lazy("Workflow"), lambda row: row.workflow),
        Column(gettext_lazy("Used"), usage),
        Column(gettext_lazy("Until"), lambda row: html.when(row.ends_at)),
    )
    about = gettext_lazy("Bounded series of executions that the required approvers approved at once.")
    nothing_yet = gettext_lazy("There are no permits. Approvers propose them with a vote, where the rule allows it.")
    page_template = "workitems/permit.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return permits(ctx)

    def page_title(self, row: Permit) -> str:
        return _("permit for {action} on {integration}").format(action=row.action, integration=row.integration)

    def page(self, row: Permit, *, ctx: ActingContext) -> dict[str, Any]:
        terms = limits_of(row)
        approvals = list(row.approvals.select_related("voter").order_by("id"))
        may_decide = ctx.allows(Scope.DECISIONS_DECIDE, workflow=row.workflow_id)
        return {
            "state": state_of(row),
            "usage": usage(row),
            "covers_every_tool": covers_every_tool(terms),
            "terms": terms,
            "principals": _names(terms.principals),
            "approvals": approvals,
            "step": ids.public_id(ids.DECISION_STEP, row.step_id),
            "uses": [(use, ids.public_id(ids.EXECUTION, use.execution_id)) for use in uses(row, ctx=ctx)[:_USES_SHOWN]],
            "may_narrow": may_decide and row.status == "in_effect",
            "may_revoke": may_decide and row.status != "revoked",
            "may_approve": may_decide
            and row.status == "proposed"
            and all(each.voter_id != ctx.principal_id for each in approvals),
        }

    @action(Scope.DECISIONS_DECIDE)
    def approve(self, call: Call) -> Done:
        """Approve the digest that the page shows."""
        ctx = reauthenticate(call.request, call.ctx)
        parsed = ids.parse_public_id(ids.PERMIT, call.key)
        known = permits(ctx).filter(id=parsed).first() if parsed else None
        if known is None:
            raise errors.NotFound
        item, step = locked_step(known.step_id, ctx=ctx)
        permit = approve_permit(item, step, _locked(call), call.sent("sha256"), ctx=ctx)
        if permit.status == "in_effect":
            return Done(_("The permit is in effect."))
        return Done(_("Your approval is recorded. Other approvals of the permit are still needed."))

    @form_page(
        gettext_lazy("Narrow permit"),
        form=NarrowForm,
        scope=Scope.DECISIONS_DECIDE,
        of_row=True,
        submit=gettext_lazy("Narrow permit"),
    )
    def narrow(self, call: Call, form: ConsoleForm) -> Done:
        permit, given = _locked(call), form.cleaned_data
        field = limits_of(permit).max_sum
        if given["max_sum"] is not None and field is None:
            raise errors.InvalidRequest("This permit has no sum. Leave the sum out, or add a condition.")
        if given["max_count"] is None and given["max_sum"] is None and not given["bound"]:
            raise errors.InvalidRequest("Nothing was entered, so the permit stays as it is. Enter a narrower term.")
        narrowing = Narrowing(
            max_count=given["max_count"],
            max_sum=SumLimit(field.field, exact_number(given["max_sum"]))
            if field and given["max_sum"] is not None
            else None,
            bounds=[given["bound"]] if given["bound"] else [],
        )
        narrow_permit(permit, narrowing, ctx=call.ctx)
        return Done(_("The permit is narrower now."))

    @form_page(
        gettext_lazy("Revoke permit"),
        form=RevokeForm,
        scope=Scope.DECISIONS_DECIDE,
        of_row=True,
        submit=gettext_lazy("Revoke permit"),
    )
    def revoke(self, call: Call, _form: ConsoleForm) -> Done:
        revoke_permit(_locked(call), ctx=call.ctx)
        return Done(_("The permit is revoked."))


def _locked(call: Call) -> Permit:
    parsed = ids.parse_public_id(ids.PERMIT, call.key)
    permit = permit_for_update(parsed, ctx=call.ctx) if parsed else None
    if permit is None:
        raise errors.NotFound
    call.subject = Subject(work_item_id=permit.work_item_id, workflow=permit.workflow, integration=permit.integration)
    return permit


def _names(principals: Iterable[str]) -> list[str]:
    parsed = [ids.parse_public_id(ids.PRINCIPAL, each) for each in principals]
    rows = User.objects.filter(id__in=[each for each in parsed if each])
    return sorted(rows.values_list("username", flat=True))
