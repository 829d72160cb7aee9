"""The decision desk: what waits for a person, and the page on which they decide."""

from __future__ import annotations

from typing import Any, Literal

import orjson
from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest

from policies import selectors as rulebook
from policies.approvals import from_json
from policies.models import PolicyDecision, PolicyVersion
from threada_site.admin import html
from threada_site.admin.acts import Call, Done, act
from threada_site.admin.lists import Column, ListFilter, created_window, words
from threada_site.admin.model_admin import TenantAdmin, context_of
from threada_site.admin.presence import confirm
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, Scope
from workitems import selectors, tally
from workitems.admin.changing import ChangingPages
from workitems.admin.filters import WORKFLOW
from workitems.api.filters import DecisionStepFilters
from workitems.api.shapes import CAST_VOTE
from workitems.api.steps import tally_of
from workitems.lifecycle import StepKind, StepStatus
from workitems.models import DecisionStep, WorkItem
from workitems.people import eligibility_on, staff_of
from workitems.questions import question_of
from workitems.services.locks import locked_step
from workitems.services.receipts import subject_of
from workitems.services.voting import Ballot, cast_vote, claim_step, release_step

COMMENT_LENGTH = 4000


@admin.register(DecisionStep)
class DecisionStepAdmin(ChangingPages, TenantAdmin):
    heading = "Decisions"
    id_prefix = ids.DECISION_STEP
    key = "-id"
    columns = (
        Column("Decision", question_of, is_wide=True),
        Column("Status", lambda step: html.badge(step.status)),
        Column("Work item", lambda step: html.row_link("workitems.workitem", _item_id(step))),
        Column("Workflow", lambda step: step.workflow),
        Column("Opened", lambda step: html.when(step.opened_at)),
        Column("Until", lambda step: html.when(step.expires_at) or "no deadline"),
    )
    filters = (
        ListFilter("mine", "Waiting for", choices=lambda _ctx: [("true", "me")]),
        ListFilter("status", "Status", choices=words(StepStatus)),
        ListFilter("kind", "Kind", choices=words(StepKind)),
        WORKFLOW,
        *created_window(),
    )
    filterset = DecisionStepFilters
    about = "Reviews and approvals that policies or actions asked people for."
    nothing_yet = "Nothing has been asked of anybody. Policies with the effect review or require_approval ask."
    page_template = "workitems/step.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.decision_steps(ctx)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        ctx = context_of(request)
        rows = selectors.decision_steps(ctx)
        if request.GET.get("mine") == "true":
            rows = selectors.steps_waiting_for(ctx, rows)
        return rows.select_related("execution")

    def find(self, key: str, *, ctx: ActingContext) -> DecisionStep:
        parsed = ids.parse_public_id(ids.DECISION_STEP, key)
        rows = selectors.with_votes(selectors.decision_steps(ctx))
        step = rows.select_related("execution", "work_item__requester").filter(id=parsed).first() if parsed else None
        if step is None:
            raise Http404("There is no such decision here.")
        return step

    def page_title(self, row: DecisionStep) -> str:
        return f"{row.kind} {row.public_id}"

    def page(self, row: DecisionStep, *, ctx: ActingContext) -> dict[str, Any]:
        workflow_id = row.work_item.workflow_version.workflow_id
        people = staff_of(ctx.tenant_id)
        result = tally_of(row, people)
        rule = from_json(row.rule)
        standing = eligibility_on(row, ctx=ctx, workflow_id=workflow_id, votes=list(row.votes.all()), staff=people)
        has_voted = any(vote.voter_id == ctx.principal_id for vote in row.votes.all())
        is_pending = row.status == StepStatus.PENDING
        may_decide = is_pending and ctx.allows(Scope.DECISIONS_DECIDE, workflow=workflow_id)
        envelope = bytes(row.envelope.body)
        sealed: dict[str, Any] = orjson.loads(envelope)
        return {
            "question": question_of(row),
            "sealed": sealed,
            "sends": _what_is_sent(sealed),
            "envelope_text": envelope.decode(),
            "envelope_bytes": len(envelope),
            "item": row.work_item,
            "evidence": selectors.evidence_of(row.work_item),
            "tally": result,
            "rule": rule,
            "needs": [_need(need) for need in result.waiting_for] if result else [],
            "excluded": sorted(member.username for member in people if member.id in set(row.excluded_ids)),
            "may_vote": may_decide and standing is tally.Eligibility.COUNTS and not has_voted,
            "why_not": _why_not(standing, may_decide=may_decide, has_voted=has_voted) if is_pending else "",
            "reject_reasons": rulebook.workflow_document(row.work_item.workflow_version_id, ctx=ctx).reject_reasons,
            "may_claim": may_decide and standing is tally.Eligibility.COUNTS and row.claimed_by_id != ctx.principal_id,
            "may_release": is_pending and row.claimed_by_id == ctx.principal_id,
            "asks_password": rule.step_up and not ctx.is_present(clock.now()),
            "decision": _decision(row, ctx),
            "pinned": PolicyVersion.objects.filter(tenant_id=ctx.tenant_id, id__in=row.policy_version_ids)
            .select_related("policy")
            .defer("document"),
            "comment_length": COMMENT_LENGTH,
        }

    @act(Scope.DECISIONS_DECIDE)
    def approve(self, call: Call) -> Done:
        return self._vote(call, "approve")

    @act(Scope.DECISIONS_DECIDE)
    def reject(self, call: Call) -> Done:
        return self._vote(call, "reject")

    @act(Scope.DECISIONS_DECIDE)
    def claim(self, call: Call) -> Done:
        item, step = self._locked(call)
        claim_step(item, step, ctx=call.ctx)
        return Done("Others see for half an hour that you are on it.")

    @act(Scope.DECISIONS_DECIDE)
    def release(self, call: Call) -> Done:
        item, step = self._locked(call)
        release_step(item, step, ctx=call.ctx)
        return Done("You have given it back.")

    def _vote(self, call: Call, decision: Literal["approve", "reject"]) -> Done:
        ctx = confirm(call.request, call.ctx)
        item, step = self._locked(call)
        sent = {name: call.sent(name) for name in ("envelope_sha256", "reason_code", "comment")}
        body = CAST_VOTE.check({"decision": decision, **{name: text for name, text in sent.items() if text}})
        cast_vote(item, step, Ballot(**body), ctx=ctx)
        said = "Your approval is recorded" if decision == "approve" else "Your rejection is recorded"
        if step.status == StepStatus.PENDING:
            return Done(f"{said}. Others have still to decide.")
        return Done(f"{said}. The {step.kind} is {step.status}; the work item is {item.status.replace('_', ' ')}.")

    def _locked(self, call: Call) -> tuple[WorkItem, DecisionStep]:
        parsed = ids.parse_public_id(ids.DECISION_STEP, call.key)
        if parsed is None:
            raise errors.NotFound
        item, step = locked_step(parsed, ctx=call.ctx)
        call.subject = subject_of(item)
        return item, step


def _item_id(step: DecisionStep) -> str:
    return ids.public_id(ids.WORK_ITEM, step.work_item_id)


def _what_is_sent(sealed: dict[str, Any]) -> dict[str, Any] | None:
    """What would leave for the other system, or None when nothing would."""
    request = sealed.get("request")
    if request is None:
        return None
    return {
        "integration": sealed["integration"]["id"],
        "action": sealed["action"]["id"],
        **request,
    }


def _need(need: tally.Need) -> str:
    people = "1 more person" if need.missing == 1 else f"{need.missing} more people"
    named = {
        "role": f"{people} with the role {need.leaf.name}",
        "group": f"{people} of the group {need.leaf.name}",
        "user": need.leaf.name,
        "scope": f"{people} with {need.leaf.name} on this workflow",
    }
    return named[need.leaf.kind]


def _why_not(standing: tally.Eligibility, *, may_decide: bool, has_voted: bool) -> str:
    """Why the reader cannot decide here; empty when they can."""
    if has_voted:
        return "You have decided. One person counts once."
    if not may_decide:
        return "You may read this. Deciding needs decisions:decide on the workflow."
    if standing is tally.Eligibility.EXCLUDED:
        return "You have a part in this case, so somebody else has to decide."
    if standing is tally.Eligibility.NOT_ELIGIBLE:
        return "The rule does not ask for anybody with your roles."
    return ""


def _decision(step: DecisionStep, ctx: ActingContext) -> PolicyDecision | None:
    if step.policy_decision_id is None:
        return None
    return PolicyDecision.objects.filter(tenant_id=ctx.tenant_id, id=step.policy_decision_id).defer("facts").first()
