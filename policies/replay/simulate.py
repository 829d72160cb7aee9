"""Simulation: evaluation of a version, in force or not, on one set of facts. Nothing is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from policies import selectors
from policies.deciding.decide import (
    deciding_rules,
    rule_json,
)
from policies.deciding.rulebook import Rulebook
from policies.documents import payload_schema as payloads
from policies.documents.workflow import WorkflowDocument
from policies.evaluator.runs import evaluator_run
from policies.language.evaluation import Verdict
from policies.language.facts import Point
from policies.language.request import DecisionRequest
from policies.language.supplied_facts import check_supplied_facts
from policies.language.time_window import whole_milliseconds
from policies.models import Channel
from policies.replay.candidate import Candidate, rulebook_of_candidate, rulebook_with_candidate
from policies.replay.evaluator_verdict import evaluator_verdict
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError


@dataclass(frozen=True, slots=True)
class Simulation:
    """Facts and verdicts of a simulation.

    `verdict` is the verdict of the live check if the candidate were in force now. If no overlay binds its policy to the
    case, `applies` is False and `verdict` ignores the candidate. `alone` is the verdict of the candidate without other
    policies.
    """

    facts: dict[str, Any]
    rulebook: Rulebook
    verdict: Verdict
    alone: Verdict
    applies: bool

    @property
    def matched(self) -> list[dict[str, Any]]:
        """Return the deciding rules."""
        return [rule_json(match) for match in deciding_rules(self.verdict)]


def simulate(
    candidate: Candidate, given: Mapping[str, Any], *, ctx: ActingContext, now: datetime | None = None
) -> Simulation:
    """Evaluate the rulebook like the live check, with the candidate as the version in force.

    `given` contains facts in the format of policy tests: `item` (at least `workflow`), `ctx` and `input`. Raises
    `InvalidRequest` for invalid facts. Requests that never reach the live check are refused: `UnknownWorkflow`,
    `UnknownChannel`, `ChannelRequired`, `ActionNotAllowed`, `PayloadSchemaViolation`. Rules are evaluated in the
    evaluator: raises `EvaluatorBusy`, `EvaluatorFailed`.
    """
    require_unit_of_work(ctx.tenant_id)
    request = _request_that_may_be_asked(check_supplied_facts(given), ctx=ctx)
    instant = whole_milliseconds(now or clock.now())
    asked = rulebook_with_candidate(candidate, request, at=instant, ctx=ctx)
    alone = rulebook_of_candidate(candidate, ctx=ctx)
    groups = asked.rulebook.requester_groups
    facts = request.facts(now=instant, lists={}, requester_groups=groups)
    with evaluator_run(ctx.tenant_id) as run:
        verdict = evaluator_verdict(asked.rulebook, facts, run=run)
        of_candidate = evaluator_verdict(alone, facts, run=run)
    return Simulation(
        facts={name: value for name, value in facts.items() if name != "lists"},
        rulebook=asked.rulebook,
        verdict=verdict,
        alone=of_candidate,
        applies=asked.applies,
    )


def _request_that_may_be_asked(given: Mapping[str, Any], *, ctx: ActingContext) -> DecisionRequest:
    """Return the decision request. Refuses what intake and execute refuse before they evaluate policies."""
    slug = given["item"]["workflow"]
    workflow = selectors.all_workflows(ctx).filter(slug=slug).first()
    if workflow is None or workflow.current_version_id is None:
        unknown = FieldError("/facts/item/workflow", "names no workflow", "unknown")
        raise errors.UnknownWorkflow("Name an existing workflow in item.workflow.", errors=[unknown])
    document = selectors.workflow_document(workflow.current_version_id, ctx=ctx)
    request = _request(given, document, ctx=ctx)
    if request.channel and not Channel.objects.filter(tenant_id=ctx.tenant_id, slug=request.channel).exists():
        raise errors.UnknownChannel(errors=[FieldError("/facts/item/channel", "names no channel", "unknown")])
    if document.channel_required and not request.channel:
        raise errors.ChannelRequired(errors=[FieldError("/facts/item/channel", "is required", "required")])
    if request.action and request.action not in document.actions:
        raise errors.ActionNotAllowed(f"The workflow {slug} does not allow the action {request.action}.")
    field_errors = payloads.validate(
        document.payload_schema, request.payload, pointer="/facts/item/payload", assert_format=document.assert_format
    )
    if field_errors:
        raise errors.PayloadSchemaViolation("Intake would refuse this payload.", errors=field_errors)
    return request


def _request(given: Mapping[str, Any], document: WorkflowDocument, *, ctx: ActingContext) -> DecisionRequest:
    item, context = given["item"], given.get("ctx", {})
    action = context.get("action", "")
    point = context.get("point") or (Point.EXECUTE if action else Point.INTAKE)
    if (point == Point.EXECUTE) != bool(action):
        field_error = FieldError("/facts/ctx/action", "is required at execute and must be empty at intake", "invalid")
        raise errors.InvalidRequest("ctx.point and ctx.action do not match.", errors=[field_error])
    work_item_id = ids.parse_public_id(ids.WORK_ITEM, item["id"]) if "id" in item else ids.new_uuid()
    if work_item_id is None:
        raise errors.InvalidRequest(errors=[FieldError("/facts/item/id", "is not the id of a work item", "invalid")])
    return DecisionRequest(
        point=point,
        work_item_id=work_item_id,
        workflow=item["workflow"],
        channel=item.get("channel", ""),
        payload=item.get("payload", {}),
        confidence=item.get("confidence"),
        risk_flags=tuple(item.get("risk_flags", ())),
        requester=item.get("requester", ctx.actor),
        requester_groups=item.get("requester_groups"),
        data_class=item.get("data_class", document.data_class),
        item_version=item.get("version", 1),
        action=action,
        integration=context.get("integration", ""),
        input=given.get("input", {}),
        actor=context.get("actor", ctx.actor),
        actor_kind=context.get("actor_kind", ctx.principal_kind.value),
        roles=tuple(context.get("roles", sorted(ctx.roles))),
    )
