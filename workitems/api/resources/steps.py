"""Resources of decision steps, votes and delegations."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any, Final

import orjson

from telemetry.api.resources.log import RECEIPT_PROMISE
from threada_site.api.resources.field_types import (
    BOOLEAN,
    INSTANT,
    MAYBE_INSTANT,
    MAYBE_OBJECT,
    MAYBE_TEXT,
    OBJECT,
    SHA256,
    SLUG,
    TEXT,
    TEXTS,
    array,
    choice,
    maybe,
    nested,
    public_id,
    schema_of,
)
from threada_site.api.resources.resource import FieldType, Resource, field, given
from threada_site.kernel import ids
from threada_site.kernel.context import PrincipalKind
from workitems.api.permits.resources import PERMIT_WARNINGS
from workitems.api.resources.waits import NEED
from workitems.api.resources.work_items import PAYLOAD_OMITTED
from workitems.approvers.count_votes import Need, VoteResult
from workitems.items.sensitive import omits_contents
from workitems.items.titles import listed_title, title_of
from workitems.lifecycle import StepKind, StepStatus, WorkItemStatus
from workitems.models import DecisionStep, Delegation, Permit, Vote, WorkItem
from workitems.permits.records import limits_of
from workitems.permits.warnings import warnings_of

VOTE: Final = Resource(
    "Vote",
    field("vote_id", public_id(ids.VOTE), "id"),
    field("voted_by", public_id(ids.PRINCIPAL), "voter_id"),
    field("voter_kind", choice(PrincipalKind)),
    field("decision", choice(("approve", "reject"))),
    field("reason_code", MAYBE_TEXT),
    field("comment", MAYBE_TEXT),
    field("envelope_sha256", SHA256),
    field("counted", BOOLEAN, description="False for votes of services and agents, which are advisory."),
    field(
        "stands_for",
        array(public_id(ids.PRINCIPAL)),
        description="Delegators of the voter at the time of the vote.",
    ),
    field(
        "carried_from",
        maybe(public_id(ids.VOTE)),
        description="The vote on an earlier step over the same envelope, if this one was carried over from it.",
    ),
    field(
        "authentication",
        OBJECT,
        description="Authentication: `method` (session, personal_token, operator_token, issued_token), "
        "`at` (sign-in of the session), `factors`, `credential` and `issued_by` (a principal or `operator`).",
    ),
    field("created_at", INSTANT),
)


def _step_id(_vote: Vote, step: DecisionStep) -> Any:
    return step.id


def _step_status(_vote: Vote, step: DecisionStep) -> str:
    return step.status


def _item_id(_vote: Vote, item: WorkItem) -> Any:
    return item.id


def _item_status(_vote: Vote, item: WorkItem) -> str:
    return item.status


VOTE_CAST: Final = Resource(
    "VoteCast",
    *VOTE.fields,
    field("decision_step_id", public_id(ids.DECISION_STEP), _step_id),
    field("step_status", choice(StepStatus), _step_status),
    field("work_item_id", public_id(ids.WORK_ITEM), _item_id),
    field("work_item_status", choice(WorkItemStatus), _item_status),
)


def _permit_id(_vote: Vote, permit: Permit | None) -> Any:
    return permit.id if permit else None


def _permit_warnings(_vote: Vote, permit: Permit | None) -> Any:
    return warnings_of(limits_of(permit)) if permit else []


VOTE_ANSWER: Final = Resource(
    "VoteAnswer",
    *VOTE_CAST.fields,
    field("permit_id", maybe(public_id(ids.PERMIT)), _permit_id, description="Permit that the vote approves."),
    field("permit_warnings", PERMIT_WARNINGS, _permit_warnings, description="Probable mistakes in the permit."),
    RECEIPT_PROMISE,
)


def _votes_cast(cast: Any) -> list[dict[str, Any]]:
    return [VOTE_CAST.represent(entry.vote, step=entry.step, item=entry.item) for entry in cast]


VOTES_CAST: Final = Resource("VotesCast", field("votes", array(schema_of(VOTE_CAST)), _votes_cast), RECEIPT_PROMISE)


def _envelope_bytes(step: DecisionStep) -> bytes:
    return bytes(step.envelope.body)


def _needs(_step: DecisionStep, result: VoteResult | None) -> list[Need]:
    return list(result.waiting_for) if result else []


def _nobody_can_decide(_step: DecisionStep, result: VoteResult | None) -> bool:
    return bool(result and result.nobody_can_decide)


def _claimed_by(step: DecisionStep, now: datetime) -> Any:
    return step.claimant_at(now)


def _claim_expires_at(step: DecisionStep, now: datetime) -> datetime | None:
    return step.claimed_until if step.claimant_at(now) else None


STEP: Final = Resource(
    "DecisionStep",
    field("decision_step_id", public_id(ids.DECISION_STEP), "id"),
    field("work_item_id", public_id(ids.WORK_ITEM)),
    field("execution_id", maybe(public_id(ids.EXECUTION))),
    field(
        "title",
        TEXT,
        lambda step: listed_title(step.work_item) if omits_contents(step) else title_of(step.work_item),
        description="Title of the work item.",
    ),
    field("workflow_id", SLUG, "workflow"),
    field("kind", choice(StepKind)),
    field("status", choice(StepStatus)),
    field("question", MAYBE_TEXT),
    field("envelope_sha256", SHA256),
    field(
        "envelope",
        MAYBE_OBJECT,
        lambda step: None if omits_contents(step) else orjson.loads(_envelope_bytes(step)),
        description="The decoded envelope.",
    ),
    field(
        "envelope_base64",
        MAYBE_TEXT,
        lambda step: None if omits_contents(step) else base64.b64encode(_envelope_bytes(step)).decode(),
        description="The exact bytes whose SHA-256 a vote contains.",
    ),
    PAYLOAD_OMITTED,
    field("rule", OBJECT),
    field("batch_key", MAYBE_TEXT, description="Steps with the same key can be decided by one batch of votes."),
    field("reason_codes", TEXTS),
    field("policy_version_ids", array(public_id(ids.POLICY_VERSION))),
    field("policy_decision_id", maybe(public_id(ids.POLICY_DECISION))),
    field("waiting_for", array(NEED), _needs),
    field("nobody_can_decide", BOOLEAN, _nobody_can_decide),
    field("votes", array(nested(VOTE)), lambda step: step.votes.all()),
    field("claimed_by", maybe(public_id(ids.PRINCIPAL)), _claimed_by),
    field("claim_expires_at", MAYBE_INSTANT, _claim_expires_at),
    field("assignee", maybe(public_id(ids.PRINCIPAL)), "assignee_id"),
    field("escalated_to", array(OBJECT), description="Approvers added by an escalation."),
    field("escalated_at", MAYBE_INSTANT),
    field("respond_due_at", MAYBE_INSTANT),
    field(
        "respond_by",
        MAYBE_INSTANT,
        "respond_due_at",
        deprecated=True,
        description="Older name of `respond_due_at`. Version 0.3 removes it.",
    ),
    field("remind_at", MAYBE_INSTANT),
    field("escalate_at", MAYBE_INSTANT),
    field("due_at", MAYBE_INSTANT, "expires_at"),
    field("opened_at", INSTANT),
    field("closed_at", MAYBE_INSTANT),
)
STEP_AMENDED: Final = Resource(
    "DecisionStepChanged",
    given("decision_step", schema_of(STEP)),
    given("superseded_decision_step_id", public_id(ids.DECISION_STEP)),
    field(
        "difference",
        FieldType(
            {
                "type": "object",
                "properties": {
                    "changes": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {"pointer": TEXT.schema, "from": {}, "to": {}},
                            "required": ["pointer"],
                        },
                    },
                    "omitted": {"type": "integer", "minimum": 0},
                },
                "required": ["changes", "omitted"],
            },
            lambda difference: difference.as_json(),
        ),
        description="Differences between the new envelope and the superseded one.",
    ),
)


def _is_active(delegation: Delegation, now: datetime) -> bool:
    return delegation.consented_at is not None and delegation.starts_at <= now < delegation.ends_at


DELEGATION: Final = Resource(
    "Delegation",
    field("delegation_id", public_id(ids.DELEGATION), "id"),
    field("delegator", public_id(ids.PRINCIPAL), "delegator_id"),
    field("delegate", public_id(ids.PRINCIPAL), "delegate_id"),
    field("starts_at", INSTANT),
    field("ends_at", INSTANT),
    field("is_active", BOOLEAN, _is_active, description="True while the delegation is in force."),
    field("reason", MAYBE_TEXT),
    field("created_at", INSTANT),
    field("created_by", maybe(public_id(ids.PRINCIPAL))),
    field(
        "consented_at",
        MAYBE_INSTANT,
        description="Time of the delegator's consent, or of a second person's confirmation. Until then not in force.",
    ),
    field(
        "consented_by",
        maybe(public_id(ids.PRINCIPAL)),
        description="The delegator, or the second person who confirmed it.",
    ),
    field("ended_at", MAYBE_INSTANT),
)
