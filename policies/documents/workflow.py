"""Parser of `kind: Workflow` documents, the definition of a kind of work. Pure.

name: Payment run               # a label; changing it creates no new version
description: …
channel_required: true          # a request must name a channel
payload_schema: {type: object}  # JSON Schema of the payload
assert_format: false            # `format` in it is an annotation unless this is true
max_payload_bytes: 262144       # of the payload's canonical JSON
max_members: 2000               # of one object in the payload
actions: [pay]                  # actions that may be executed on its work items
data_class: internal            # a fact that rules can read
reject_reasons: [OTHER]         # allowed codes of a reject
subject: /customer_no           # data subject in the payload; encrypts the contents of the case. null ends that
on_reject: end                  # effect of a rejected or expired action approval on the item: end or ready
questions: {pause: deadlines, at_most: P7D}  # effect of a question to the requester, and how long it stays open
title: "Pay ${item.payload.vendor}"  # one line that names a work item; see title_template
summary: [/vendor, /amount_minor]    # the payload's fields that people see first, in this order
related_by: [/vendor]                # work items with equal values there are shown as related
unique_external_ref: true       # a second work item with the same external_ref is refused
request: {action: pay, integration: int_bank}   # what a request in the console executes; see workflow_request
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from policies.documents.payload_schema import check_schema
from policies.documents.policy_schema import REASON_PATTERN
from policies.documents.title_template import MAX_TEMPLATE, TitleError, parse_title
from policies.documents.workflow_request import (
    REQUEST_SCHEMA,
    RequestDeclaration,
    declaration_errors,
    declaration_in,
)
from policies.language.durations import parse_duration
from threada_site.kernel.documents.kind_schema import KindSchema
from threada_site.kernel.documents.structure import SLUG, closed_object, text, whole_number
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.pointers import pointer_to
from threada_site.kernel.json.strict import MAX_MEMBERS

DEFAULT_MAX_PAYLOAD_BYTES: Final = 262_144
MOST_PAYLOAD_BYTES: Final = 16 * 1024 * 1024
MOST_MEMBERS: Final = 1_000_000
DEFAULT_DATA_CLASS: Final = "internal"
DEFAULT_REJECT_REASONS: Final = ("INSUFFICIENT_EVIDENCE", "INCORRECT_REQUEST", "AGAINST_POLICY", "DUPLICATE", "OTHER")
ON_REJECT: Final = ("end", "ready")
PAUSES: Final = ("deadlines", "nothing")
DEFAULT_QUESTION_TIME: Final = "P7D"
LONGEST_QUESTION_TIME: Final = timedelta(days=90)
MAX_ENTRIES: Final = 200
MAX_NAME: Final = 200
MAX_DESCRIPTION: Final = 4000
MAX_SUMMARY: Final = 20
MAX_RELATED_BY: Final = 3
_LISTS: Final = ("actions", "reject_reasons", "summary", "related_by")
_OPTIONAL: Final = ("subject", "title", "summary", "related_by", "unique_external_ref")
"""Fields that a version stores only if they are given."""
_POINTER: Final = {
    "type": "string",
    "maxLength": 500,
    "pattern": "^(/([^~/]|~[01])+){1,8}$",
    "errorMessage": "Point at a field of the payload, for example /vendor.",
}

WORKFLOW_SCHEMA: Final = KindSchema(
    "Workflow",
    closed_object(
        {
            "name": text(MAX_NAME, default="", description="Label. Changing it creates no new version."),
            "description": text(MAX_DESCRIPTION, default="", description="Description for people."),
            "channel_required": {
                "type": "boolean",
                "default": False,
                "description": "A request must name a channel.",
            },
            "payload_schema": {
                "description": "JSON Schema of the payload.",
                "default": {"type": "object"},
                "examples": [{"type": "object", "properties": {"amount_minor": {"type": "integer"}}}],
            },
            "assert_format": {
                "type": "boolean",
                "default": False,
                "description": "`format` in the payload schema is checked, otherwise it is an annotation.",
            },
            "max_payload_bytes": whole_number(
                1,
                MOST_PAYLOAD_BYTES,
                default=DEFAULT_MAX_PAYLOAD_BYTES,
                description="Largest size of a payload in canonical JSON.",
            ),
            "max_members": whole_number(
                1,
                MOST_MEMBERS,
                default=MAX_MEMBERS,
                description="Most members of one object in a payload. A version without it sets no bound.",
            ),
            "actions": {
                "type": "array",
                "maxItems": MAX_ENTRIES,
                "uniqueItems": True,
                "items": {**SLUG, "errorMessage": "Name an action by a to z, 0 to 9, _ and -."},
                "default": [],
                "description": "Actions that may be executed on work items.",
                "examples": [["pay"]],
            },
            "data_class": {
                **SLUG,
                "default": DEFAULT_DATA_CLASS,
                "description": "A fact that rules can read.",
                "examples": ["personal"],
                "errorMessage": "Name the data class with a to z, 0 to 9, _ and -.",
            },
            "reject_reasons": {
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_ENTRIES,
                "uniqueItems": True,
                "items": {
                    "type": "string",
                    "pattern": f"^{REASON_PATTERN}$",
                    "errorMessage": "Name a reason by 2 to 64 capitals, digits and _, e.g. INSUFFICIENT_EVIDENCE.",
                },
                "default": list(DEFAULT_REJECT_REASONS),
                "description": "Codes that a rejection can give.",
            },
            "on_reject": {
                "enum": list(ON_REJECT),
                "default": "end",
                "description": "Effect of a rejected or expired approval of an action on the work item.",
            },
            "questions": closed_object(
                {
                    "pause": {
                        "enum": list(PAUSES),
                        "default": "deadlines",
                        "description": "What stops while a question to the requester is open.",
                    },
                    "at_most": {
                        "type": "string",
                        "maxLength": 32,
                        "default": DEFAULT_QUESTION_TIME,
                        "description": "Time after which a question expires, and longest pause of one work item; 90 "
                        "days at most.",
                        "examples": ["P7D"],
                    },
                },
                description="Questions to the requester.",
            ),
            "subject": {
                "type": ["string", "null"],
                "pattern": "^(/([^~/]|~[01])+){0,8}$",
                "default": "",
                "description": "JSON pointer to the data subject in the payload; encrypts the contents of the case. A "
                "version that follows one with a subject must name it, or end the protection by null.",
                "examples": ["/customer_no"],
                "errorMessage": "Point at the value in the payload that names the person, e.g. /customer_no.",
            },
            "title": text(
                MAX_TEMPLATE,
                default="",
                description="Title of work items. Contains ${item.payload.FIELD}, ${item.id}, ${money(…, …)} and more.",
                examples=["Pay ${item.payload.vendor} ${money(item.payload.amount_minor, item.payload.currency)}"],
            ),
            "summary": {
                "type": "array",
                "maxItems": MAX_SUMMARY,
                "uniqueItems": True,
                "items": _POINTER,
                "default": [],
                "description": "JSON pointers to the fields of the payload that people see first, in order.",
                "examples": [["/vendor", "/amount_minor"]],
            },
            "related_by": {
                "type": "array",
                "maxItems": MAX_RELATED_BY,
                "uniqueItems": True,
                "items": _POINTER,
                "default": [],
                "description": "JSON pointers into the payload. Work items with equal values are shown as related.",
                "examples": [["/vendor"]],
            },
            "unique_external_ref": {
                "type": "boolean",
                "default": False,
                "description": "A second work item with the same `external_ref` is refused.",
            },
            "request": REQUEST_SCHEMA,
        },
        description="A kind of work.",
        errorMessage="A workflow is an object. Write {payload_schema: {type: object}}.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowDocument:
    """A parsed workflow document with defaults applied. `id` is None for a bare spec.

    `ends_subject`: the document says `subject: null`. It is not stored. `max_members`: None for a version of 0.2.0 that
    was stored before there was a bound.
    """

    id: str | None = None
    name: str = ""
    description: str = ""
    channel_required: bool = False
    payload_schema: Mapping[str, Any]
    assert_format: bool = False
    max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES
    max_members: int | None = MAX_MEMBERS
    actions: tuple[str, ...] = ()
    data_class: str = DEFAULT_DATA_CLASS
    reject_reasons: tuple[str, ...] = DEFAULT_REJECT_REASONS
    on_reject: str = "end"
    subject: str = ""
    ends_subject: bool = False
    title: str = ""
    summary: tuple[str, ...] = ()
    related_by: tuple[str, ...] = ()
    unique_external_ref: bool = False
    request: RequestDeclaration | None = None
    questions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def questions_pause(self) -> bool:
        """Return True if an open question to the requester pauses the deadlines."""
        return self.questions.get("pause", "deadlines") == "deadlines"

    @property
    def question_time(self) -> timedelta:
        """Return the time after which a question expires, and the longest pause of one work item."""
        return parse_duration(self.questions.get("at_most", DEFAULT_QUESTION_TIME))

    def as_spec(self) -> dict[str, Any]:
        """Return the spec that a version stores: all fields except id and name.

        Defaults are included, so that later changes of defaults do not affect existing versions. Optional fields are
        included only if they are given.
        """
        optional = {name: getattr(self, name) for name in _OPTIONAL}
        return {
            "description": self.description,
            "channel_required": self.channel_required,
            "payload_schema": dict(self.payload_schema),
            "assert_format": self.assert_format,
            "max_payload_bytes": self.max_payload_bytes,
            **({"max_members": self.max_members} if self.max_members is not None else {}),
            "actions": list(self.actions),
            "data_class": self.data_class,
            "reject_reasons": list(self.reject_reasons),
            "on_reject": self.on_reject,
            **{name: list(value) if name in _LISTS else value for name, value in optional.items() if value},
            **({"request": self.request.as_spec()} if self.request else {}),
            **({"questions": dict(self.questions)} if self.questions else {}),
        }


def workflow_from_spec(spec: Mapping[str, Any]) -> WorkflowDocument:
    """Return the workflow that `as_spec` serialized. Not for documents; see `parse_workflow`."""
    return WorkflowDocument(**{"max_members": None, **spec, **_lists(spec), "request": declaration_in(spec)})


def parse_workflow(value: Any) -> WorkflowDocument:
    """Parse a whole document (`kind`, `id`, `spec`) or a bare spec.

    Raises `DocumentInvalid` with a `FieldError` for every error, at most 50.
    """
    identifier, spec, base, errors = WORKFLOW_SCHEMA.parse(value)
    if "payload_schema" in spec:
        errors.extend(check_schema(spec["payload_schema"], pointer=pointer_to(base, "payload_schema")))
    if "at_most" in spec.get("questions", {}) and errors.is_clean(pointer_to(base, "questions")):
        errors.extend(_check_question_time(spec["questions"]["at_most"], pointer=f"{base}/questions/at_most"))
    if spec.get("title") and errors.is_clean(pointer_to(base, "title")):
        errors.extend(_title_errors(spec["title"], pointer_to(base, "title")))
    errors.extend(declaration_errors(spec, base, errors))
    errors.raise_any(value=value)
    given = {**spec, **_lists(spec), "request": declaration_in(spec)}
    if given.get("subject", "") is None:
        given |= {"subject": "", "ends_subject": True}
    return WorkflowDocument(**{"payload_schema": {"type": "object"}, **given, "id": identifier})


def _lists(spec: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(spec[name]) for name in _LISTS if name in spec}


def _title_errors(template: str, pointer: str) -> list[FieldError]:
    try:
        parse_title(template)
    except TitleError as error:
        return [FieldError(pointer, str(error))]
    return []


def whole_workflow(slug: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored workflow as a document."""
    return {"kind": "Workflow", "id": slug, "spec": {**({"name": name} if name else {}), **spec}}


def normalized_workflow(value: Any, *, stored: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a workflow document with all defaults, as `whole_workflow` does. Raises `DocumentInvalid`.

    `stored`: the spec it is compared with, which may have been stored before `max_members` existed.
    """
    document = parse_workflow(value)
    spec = document.as_spec()
    if stored is not None and "max_members" not in stored:
        spec = without_default_bound(spec)
    return whole_workflow(document.id or "", document.name, spec)


def without_default_bound(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a spec without the default of `max_members`, as versions were stored before there was a bound."""
    return {name: value for name, value in spec.items() if (name, value) != ("max_members", MAX_MEMBERS)}


def _check_question_time(text: str, *, pointer: str) -> list[FieldError]:
    try:
        duration = parse_duration(text)
    except ValueError as error:
        return [FieldError(pointer, str(error))]
    return (
        [] if duration <= LONGEST_QUESTION_TIME else [FieldError(pointer, "is longer than 90 days; write P90D or less")]
    )
