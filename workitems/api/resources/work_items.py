"""Resources of work items."""

from __future__ import annotations

from typing import Final

from threada_site.api.resources.field_types import (
    ANY,
    BOOLEAN,
    INSTANT,
    MAYBE_INSTANT,
    MAYBE_OBJECT,
    MAYBE_SLUG,
    MAYBE_TEXT,
    NUMBER,
    SHA256,
    SLUG,
    TEXT,
    TEXTS,
    array,
    choice,
    inline,
    maybe,
    nested,
    public_id,
)
from threada_site.api.resources.resource import FieldType, Resource, field, given
from threada_site.kernel import ids
from workitems.api.resources.waits import WAIT
from workitems.items.erasable_fields import erased_by
from workitems.items.requester_questions import waits_for_requester
from workitems.items.sensitive import omits_contents
from workitems.items.titles import listed_title, title_of
from workitems.lifecycle import WorkItemStatus

PAYLOAD_OMITTED: Final = field(
    "payload_omitted",
    BOOLEAN,
    omits_contents,
    description="True in lists for sensitive data classes, which omit payload, input and envelope.",
)
WORK_ITEM: Final = Resource(
    "WorkItem",
    field("work_item_id", public_id(ids.WORK_ITEM), "id"),
    field(
        "title",
        TEXT,
        lambda item: listed_title(item) if omits_contents(item) else title_of(item),
        description="One line of at most 120 characters, by the title of the workflow version.",
    ),
    field("status", choice(WorkItemStatus)),
    field("workflow_id", SLUG, "workflow"),
    field("workflow_version_id", public_id(ids.WORKFLOW_VERSION)),
    field("channel_id", MAYBE_SLUG, "channel"),
    field("payload", MAYBE_OBJECT, lambda item: None if omits_contents(item) else item.payload),
    PAYLOAD_OMITTED,
    field("payload_sha256", maybe(SHA256)),
    field("confidence", FieldType({"type": "number", "minimum": 0, "maximum": 1})),
    field("risk_flags", TEXTS),
    field("data_class", TEXT),
    field("requester", public_id(ids.PRINCIPAL), "requester_id"),
    field("assignee", maybe(public_id(ids.PRINCIPAL)), "assignee_id"),
    field("external_ref", MAYBE_TEXT),
    field("metadata", FieldType({"type": "object", "additionalProperties": {"type": "string"}})),
    field("policy_version_id", maybe(public_id(ids.POLICY_VERSION))),
    field("ended_by", maybe(public_id(ids.PRINCIPAL)), "ended_by_id"),
    field("ended_reason", MAYBE_TEXT),
    field("nobody_can_decide", BOOLEAN, description="The current members cannot complete the pending step."),
    field(
        "waits_for_requester",
        BOOLEAN,
        waits_for_requester,
        description="A question to the requester is open; see its questions.",
    ),
    field("contents_erased", choice(("retention", "subject"), or_null=True), erased_by),
    field(
        "subject_id",
        maybe(public_id(ids.DATA_SUBJECT)),
        description="Data subject under whose key the contents are encrypted; null if the workflow names none.",
    ),
    field("version", NUMBER),
    field("correlation_id", TEXT),
    field("created_at", INSTANT),
    field("updated_at", INSTANT),
    example={
        "work_item_id": "wi_01k9zq6w4ve9qtr1n5m2d3c4b5",
        "title": "Policy review d3c4b5",
        "status": "new",
        "workflow_id": "policy_review",
        "workflow_version_id": "wv_01k9zq5x3ae1krtz9w8v7m6n5p",
        "channel_id": "web_main",
        "payload": {"question": "May we share the vendor list with our auditor?"},
        "payload_omitted": False,
        "payload_sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
        "confidence": 1.0,
        "risk_flags": [],
        "data_class": "internal",
        "requester": "pr_01k9zq4m2be5t8v7x6y5z4w3a2",
        "assignee": None,
        "external_ref": None,
        "metadata": {"order": "4711"},
        "policy_version_id": None,
        "ended_by": None,
        "ended_reason": None,
        "nobody_can_decide": False,
        "waits_for_requester": False,
        "contents_erased": None,
        "subject_id": None,
        "version": 1,
        "correlation_id": "0f8fad5bd9cb469fa16570867728950e",
        "created_at": "2026-01-31T09:30:00.000Z",
        "updated_at": "2026-01-31T09:30:00.000Z",
    },
)
WHOLE_WORK_ITEM: Final = Resource(
    "WorkItemWithEvidence",
    *WORK_ITEM.fields,
    field(
        "evidence",
        array(
            inline(
                field("evidence_id", public_id(ids.EVIDENCE), "id"),
                field("kind", choice(("citation", "retrieval_trace", "fallback"))),
                field("content", ANY),
            )
        ),
        lambda item: item.evidence.all(),
    ),
)
EXPLANATION: Final = Resource(
    "Explanation",
    given("work_item_id", public_id(ids.WORK_ITEM)),
    given("status", choice(WorkItemStatus)),
    field("why", TEXTS),
    field("waiting_for", TEXTS),
    field("wait_ends_at", MAYBE_INSTANT, "until"),
    given("waits", array(nested(WAIT)), description="The same for programs: what it waits for now."),
    field("next", TEXTS),
    field("you_may", TEXTS),
    field(
        "simulated",
        BOOLEAN,
        description="True if the calls of the open or last execution are simulated: nothing is sent.",
    ),
)
