"""Resources of integrations, secrets and deliveries. Secrets are references; their values are never returned."""

from __future__ import annotations

from typing import Any, Final

from integrations.lifecycle import IntegrationTestStatus, ToolStatus
from telemetry.deliveries.rules import ATTEMPT_STATUSES, PURPOSES, TARGETS
from telemetry.lifecycle import DeliveryStatus
from threada_site.api.resources.field_types import (
    BOOLEAN,
    CANONICAL_SHA256,
    COUNT,
    INSTANT,
    INTEGER,
    MAYBE_INSTANT,
    MAYBE_INTEGER,
    MAYBE_OBJECT,
    MAYBE_TEXT,
    SLUG,
    TEXT,
    TEXTS,
    array,
    choice,
    inline,
    maybe_public_id,
    public_id,
)
from threada_site.api.resources.resource import FieldType, Resource, field, given
from threada_site.kernel import ids


def _actions(integration: Any) -> list[str]:
    return sorted(integration.current_version.spec["actions"]) if integration.current_version else []


INTEGRATION: Final = Resource(
    "Integration",
    field("integration_id", SLUG, "slug"),
    field("name", MAYBE_TEXT),
    field("connector", TEXT),
    field("integration_version_id", maybe_public_id(ids.INTEGRATION_VERSION), "current_version_id"),
    field("version", MAYBE_INTEGER, lambda integration: getattr(integration.current_version, "number", None)),
    field("actions", TEXTS, _actions),
    field(
        "spec",
        MAYBE_OBJECT,
        lambda integration: getattr(integration.current_version, "spec", None),
        description="null without workitems:read on the tenant or a scope on the integration.",
    ),
    field("created_at", INSTANT),
)
INTEGRATION_VERSION: Final = Resource(
    "IntegrationVersion",
    field("integration_id", SLUG, "integration.slug"),
    field("integration_version_id", public_id(ids.INTEGRATION_VERSION), "id"),
    field("version", INTEGER, "number"),
    field("spec_sha256", CANONICAL_SHA256),
    field("spec", MAYBE_OBJECT, is_detail=True, description="Omitted in lists. Secrets are references."),
    field("created_by", maybe_public_id(ids.PRINCIPAL)),
    field("created_at", INSTANT),
)
HEALTH: Final = Resource(
    "IntegrationHealth",
    field("integration_id", SLUG, "slug"),
    field("state", choice(("well", "failing", "resting", "probing", "frozen"))),
    field("failures_in_a_row", COUNT),
    field(
        "next_call_at",
        MAYBE_INSTANT,
        "waits_until",
        description="The integration is not called before this time.",
    ),
    field("waits_for", choice(("concurrency", "rate", "breaker"), or_null=True)),
    field("running", INTEGER, description="Counted to 1,000."),
    field("waiting", INTEGER, description="Counted to 1,000."),
    field("succeeded", INTEGER, description="Among the tenant's last 500 executions; also the next two."),
    field("failed", INTEGER),
    field("outcome_unknown", INTEGER, "unknown"),
    field("last_failure", MAYBE_TEXT),
    field("concurrency", MAYBE_INTEGER, "limits.concurrency", description="Configured limit."),
)


def _member(name: str) -> Any:
    return lambda found: found[name]


INTEGRATION_TEST: Final = Resource(
    "IntegrationTest",
    field("integration_test_id", public_id(ids.INTEGRATION_TEST), "id"),
    field("integration_id", SLUG, "integration.slug"),
    field("integration_version_id", public_id(ids.INTEGRATION_VERSION)),
    field("status", choice(IntegrationTestStatus), description="Read it until it is `passed` or `failed`."),
    field(
        "failure",
        inline(
            field("reason_code", TEXT, "failure"),
            field("detail", TEXT, "failure_detail"),
            or_null=True,
            all_required=False,
        ),
        lambda test: test if test.failure else None,
        description="The first check that failed.",
    ),
    field(
        "checks",
        array(
            inline(
                field("check", TEXT, _member("check")),
                field("ok", BOOLEAN, _member("ok")),
                field("failure", MAYBE_TEXT, _member("failure")),
                field("detail", TEXT, _member("detail")),
            )
        ),
        description="As seen from a worker; empty until the test has ended.",
    ),
    field("requested_by", public_id(ids.PRINCIPAL)),
    field("created_at", INSTANT),
    field("started_at", MAYBE_INSTANT),
    field("finished_at", MAYBE_INSTANT),
)
_TOOL: Final = inline(
    field("tool", TEXT, "name"),
    field("status", choice(ToolStatus), description="Only `accepted` tools can be called."),
    field("found", MAYBE_OBJECT, description="Description found last; null: the server does not offer the tool."),
    field("found_sha256", MAYBE_TEXT),
    field("found_at", INSTANT),
    field("accepted", MAYBE_OBJECT, description="Description that a person accepted."),
    field("accepted_sha256", MAYBE_TEXT),
    field("accepted_by", maybe_public_id(ids.PRINCIPAL)),
    field("accepted_at", MAYBE_INSTANT),
)


def _of_reading(name: str) -> Any:
    return lambda shown: getattr(shown.reading, name, None)


TOOL_LIST: Final = Resource(
    "ToolList",
    field("integration_id", SLUG, "integration.slug"),
    field("read_at", MAYBE_INSTANT, _of_reading("read_at"), description="Last successful reading."),
    field("tried_at", MAYBE_INSTANT, _of_reading("tried_at"), description="Last reading, also a failed one."),
    field("next_reading_at", MAYBE_INSTANT, _of_reading("due_at"), description="Time of the next reading."),
    field("problem", MAYBE_TEXT, _of_reading("problem"), description="Why it was not read, or what was left out."),
    field("tools", array(_TOOL), description="Tools by name, also those that cannot be called."),
)
SECRET: Final = Resource(
    "Secret",
    field("secret_id", SLUG, "slug"),
    field("origins", TEXTS, description="Addresses that the secret may be sent to."),
    field("number", INTEGER, description="Number of the current value."),
    field("created_at", INSTANT),
    field("changed_at", INSTANT),
)
DELIVERY: Final = Resource(
    "Delivery",
    field("delivery_id", SLUG, "slug"),
    field("target", choice(TARGETS)),
    field("url", MAYBE_TEXT),
    field("secret", MAYBE_OBJECT, description="Reference to the secret, never its value."),
    field(
        "headers",
        FieldType({"type": "object", "additionalProperties": TEXT.schema}),
        description="Sent to a collector; ${secret} is replaced by the secret.",
    ),
    field("kinds", TEXTS, description="Kinds of events that are sent. Empty: all."),
    field("workflows", TEXTS, description="Workflows whose events are sent. Empty: all events."),
    field("status", choice((DeliveryStatus.ACTIVE, DeliveryStatus.PAUSED))),
    field("next_index", COUNT, description="Log index of the first receipt that is not delivered yet."),
    given("log_size", COUNT, description="Number of sealed receipts."),
    field(
        "failure",
        inline(field("reason_code", TEXT, "failure"), field("detail", TEXT), or_null=True, all_required=False),
        lambda delivery: delivery if delivery.failure else None,
        description="Reason of the last failed attempt, or why the delivery paused itself.",
    ),
    field("rejected", COUNT, description="Receipts that a collector accepted and discarded; not sent again."),
    field("attempts", COUNT, description="Failed attempts since the last success."),
    field("first_failed_at", MAYBE_INSTANT, "failing_since"),
    field("next_try_at", MAYBE_INSTANT),
    field("paused_at", MAYBE_INSTANT),
    field("delivered_at", MAYBE_INSTANT),
    field("created_at", INSTANT),
)
DELIVERY_ATTEMPT: Final = Resource(
    "DeliveryAttempt",
    field("delivery_attempt_id", public_id(ids.DELIVERY_ATTEMPT), "id", description="Id of the attempt."),
    field("purpose", choice(PURPOSES), description="Scheduled, or requested: a test event, or events sent again."),
    field("status", choice(ATTEMPT_STATUSES), description="Status of the attempt."),
    field("first_index", MAYBE_INTEGER, description="First log index; null for a test."),
    field("last_index", MAYBE_INTEGER, description="Last log index; null for a test."),
    field("events", COUNT, description="Number of events that were sent."),
    field(
        "failure",
        inline(field("reason_code", TEXT, "failure"), field("detail", TEXT), or_null=True, all_required=False),
        lambda attempt: attempt if attempt.failure else None,
        description="Reason of the failure.",
    ),
    field("requested_by", maybe_public_id(ids.PRINCIPAL), description="Principal who requested it."),
    field("created_at", INSTANT),
    field("finished_at", MAYBE_INSTANT, description="Time at which the attempt ended, or null."),
)
