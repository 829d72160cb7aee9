"""Resources of executions and freezes."""

from __future__ import annotations

from typing import Any, Final

from integrations.executions.receiver_key import receiver_key
from integrations.lifecycle import ExecutionStatus
from integrations.models import Freeze
from telemetry.api.resources.log import RECEIPT_PROMISE
from threada_site.api.resources.field_types import (
    BOOLEAN,
    COUNT,
    INSTANT,
    MAYBE_INSTANT,
    MAYBE_OBJECT,
    MAYBE_SLUG,
    MAYBE_TEXT,
    NUMBER,
    OBJECT,
    SHA256,
    SLUG,
    TEXT,
    array,
    choice,
    inline,
    maybe,
    nested,
    public_id,
)
from threada_site.api.resources.resource import FieldType, Resource, field, given
from threada_site.kernel import ids
from workitems.api.resources.work_items import PAYLOAD_OMITTED
from workitems.executions.dead_letters import named
from workitems.items.sensitive import omits_contents
from workitems.lifecycle import StepKind, StepStatus, WorkItemStatus
from workitems.models import WorkItem


def _item_id(_started: Any, item: WorkItem) -> Any:
    return item.id


def _item_status(_started: Any, item: WorkItem) -> str:
    return item.status


ACTION_ACCEPTED: Final = Resource(
    "ActionAccepted",
    field("execution_id", public_id(ids.EXECUTION), "execution.id"),
    field("status", choice(ExecutionStatus), "execution.status"),
    field("idempotency_key", TEXT, "execution.idempotency_key"),
    field("work_item_id", public_id(ids.WORK_ITEM), _item_id),
    field("work_item_status", choice(WorkItemStatus), _item_status),
    field(
        "decision_steps",
        array(
            inline(
                field("decision_step_id", public_id(ids.DECISION_STEP), "id"),
                field("kind", choice(StepKind)),
                field("status", choice(StepStatus)),
                field("envelope_sha256", SHA256),
                field("rule", OBJECT),
            )
        ),
        lambda started: [started.step] if started.step else [],
    ),
    given("failure", MAYBE_TEXT, description="Set if the execution has failed; only in an answer after a wait."),
    given(
        "result",
        MAYBE_OBJECT,
        description="Result of the execution, only in an answer after a wait, to whoever may read the execution.",
    ),
    RECEIPT_PROMISE,
    example={
        "execution_id": "ex_01k9zq7a5we8hs2r3t4v5w6x7y",
        "status": "started",
        "idempotency_key": "threada-Zk1Qx0aYcVbN3mLpR8tUwS2d",
        "work_item_id": "wi_01k9zq6w4ve9qtr1n5m2d3c4b5",
        "work_item_status": "executing",
        "decision_steps": [],
        "failure": None,
        "result": None,
        "receipt_promise": {
            "promise": "threada.example.org/promises\nlog threada.example.org/tn_01k9zq5m3te5hvj6n8p9q0r1s2\n"
            "given 2026-11-25T09:30:00Z\ndue 2026-11-26T09:30:00Z\n"
            "receipt rc_01k9zq7a6xfj9t3s4v5w6x7y8z 5tVbZK9CJ0q9gmh2vVxXHfvEhJtG1Qm1jS0Yt2V9m3E=\n\n"
            "— threada.example.org/promises 9xqk…\n",
            "promise_key": "threada.example.org/promise-key\nthreada.example.org/promises+3f7b21aa+AQ…\n\n"
            "— threada.example.org/promise-key J0c2…\n",
            "due_at": "2026-11-26T09:30:00.000Z",
            "receipt_ids": ["rc_01k9zq7a6xfj9t3s4v5w6x7y8z"],
        },
    },
)
DEAD_LETTERS_RETRIED: Final = Resource(
    "ExecutionsReplayed",
    field("replayed", array(public_id(ids.EXECUTION)), "retried"),
    field(
        "refused",
        array(
            inline(
                field("execution_id", FieldType(public_id(ids.EXECUTION).schema), named),
                field("reason_code", TEXT, "refusal.reason_code"),
                field("detail", TEXT, "refusal.detail"),
            )
        ),
    ),
    field("has_more", BOOLEAN, description="True if more dead letters match the request."),
)
EXECUTION: Final = Resource(
    "Execution",
    field("execution_id", public_id(ids.EXECUTION), "id"),
    field("work_item_id", public_id(ids.WORK_ITEM)),
    field("workflow_id", SLUG, "workflow"),
    field("channel_id", MAYBE_SLUG, "channel"),
    field("integration_id", SLUG, "integration"),
    field("action_id", SLUG, "action"),
    field("integration_version_id", public_id(ids.INTEGRATION_VERSION)),
    field("simulated", BOOLEAN, "is_simulated", description="True if the call is simulated: nothing is sent."),
    field("status", choice(ExecutionStatus)),
    field("envelope_sha256", SHA256, "envelope.sha256"),
    field("idempotency_key", TEXT),
    field(
        "receiver_idempotency_key",
        FieldType(TEXT.schema, receiver_key),
        "id",
        description="Idempotency key that every attempt sends to the receiver.",
    ),
    field("input", MAYBE_OBJECT, lambda execution: None if omits_contents(execution) else execution.input),
    PAYLOAD_OMITTED,
    field("requested_by", public_id(ids.PRINCIPAL)),
    field("undoes", maybe(public_id(ids.EXECUTION)), "undoes_id"),
    field("undo_due_at", MAYBE_INSTANT, description="Time at which Threada undoes the action by itself, or null."),
    field("undo_problem", MAYBE_TEXT, description="Reason code of what keeps the due undo from ending, or null."),
    field("policy_decision_id", maybe(public_id(ids.POLICY_DECISION))),
    field("policy_version_id", maybe(public_id(ids.POLICY_VERSION))),
    field("permit_id", maybe(public_id(ids.PERMIT)), description="Permit that took the place of an approval, or null."),
    field("attempts_made", COUNT),
    field("next_try_at", MAYBE_INSTANT),
    field(
        "waits_for",
        choice(("concurrency", "rate", "breaker"), or_null=True),
        description="Limit that delayed the execution.",
    ),
    field("callback_due_at", MAYBE_INSTANT, "waiting_until", description="Deadline of the receiver's callback."),
    field(
        "blocked_by_freeze_id", maybe(public_id(ids.FREEZE)), description="Freeze that blocks the execution, or null."
    ),
    field("failure", MAYBE_TEXT),
    field("failure_detail", MAYBE_TEXT),
    field("result", MAYBE_OBJECT, lambda execution: None if omits_contents(execution) else execution.result),
    field("correlation_id", TEXT),
    field("created_at", INSTANT),
    field("finished_at", MAYBE_INSTANT),
)
ATTEMPT: Final = Resource(
    "Attempt",
    field("attempt_id", public_id(ids.ATTEMPT), "id"),
    field("number", NUMBER),
    field("outcome", MAYBE_TEXT),
    field("failure", MAYBE_TEXT),
    field("ambiguous", BOOLEAN),
    field("response", MAYBE_OBJECT),
    field("started_at", INSTANT),
    field("finished_at", MAYBE_INSTANT),
)
EXECUTION_WITH_ATTEMPTS: Final = Resource(
    "ExecutionWithAttempts", *EXECUTION.fields, given("attempts", array(nested(ATTEMPT)))
)


_SCOPE_MEMBERS: Final = ("workflow", "integration", "action", "principal")


def _scope(freeze: Freeze) -> dict[str, str]:
    return {name: value for name in _SCOPE_MEMBERS if (value := getattr(freeze, name))}


_SCOPE_SCHEMA: Final = {
    "type": "object",
    "properties": dict.fromkeys(_SCOPE_MEMBERS, SLUG.schema),
}
FREEZE: Final = Resource(
    "Freeze",
    field("freeze_id", public_id(ids.FREEZE), "id"),
    field("scope", FieldType(_SCOPE_SCHEMA), _scope),
    field("in_force", BOOLEAN, lambda freeze: freeze.lifted_at is None),
    field("reason", TEXT),
    field("set_by", maybe(public_id(ids.PRINCIPAL))),
    field("set_at", INSTANT),
    field("lifted_by", maybe(public_id(ids.PRINCIPAL))),
    field("lifted_at", MAYBE_INSTANT),
    field("lifted_reason", MAYBE_TEXT),
)
_EXECUTION_IDS: Final = array(FieldType(public_id(ids.EXECUTION).schema, lambda execution: execution.public_id))
FREEZE_WITH_EXECUTIONS: Final = Resource(
    "FreezeWithExecutions",
    *FREEZE.fields,
    given(
        "in_flight",
        _EXECUTION_IDS,
        description="Executions of the scope that were sent before the freeze and still run; at most 200.",
    ),
    given("held", _EXECUTION_IDS, description="Executions that the freeze blocks; at most 200."),
)
