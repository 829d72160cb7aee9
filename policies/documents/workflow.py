"""Parser of `kind: Workflow` documents, the definition of a kind of work. Pure.

name: Payment run               # a label; changing it creates no new version
description: …
channel_required: true          # a request must name a channel
payload_schema: {type: object}  # JSON Schema of the payload
assert_format: false            # `format` in it is an annotation unless this is true
max_payload_bytes: 262144       # of the payload's canonical JSON
actions: [pay]                  # actions that may be executed on its work items
data_class: internal            # a fact that rules can read
reject_reasons: [OTHER]         # allowed codes of a reject
subject: /customer_no           # data subject in the payload; encrypts the contents of the case
on_reject: end                  # effect of a rejected or expired action approval on the item: end or ready
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from policies.documents.payload_schema import check_schema
from policies.documents.policy import REASON_PATTERN
from policies.language.document_header import read_header
from policies.language.field_errors import FieldErrors
from threada_site.kernel.errors import DocumentInvalid
from threada_site.kernel.ids import is_slug
from threada_site.kernel.json.pointers import pointer_to

DEFAULT_MAX_PAYLOAD_BYTES: Final = 262_144
MOST_PAYLOAD_BYTES: Final = 16 * 1024 * 1024
DEFAULT_DATA_CLASS: Final = "internal"
DEFAULT_REJECT_REASONS: Final = ("INSUFFICIENT_EVIDENCE", "INCORRECT_REQUEST", "AGAINST_POLICY", "DUPLICATE", "OTHER")
ON_REJECT: Final = ("end", "ready")
MAX_ENTRIES: Final = 200
MAX_NAME: Final = 200
MAX_DESCRIPTION: Final = 4000

_POINTER: Final = re.compile(r"(?:/(?:[^~/]|~[01])+){0,8}")
_REASON: Final = re.compile(REASON_PATTERN)
_FIELDS: Final = (
    "name",
    "description",
    "channel_required",
    "payload_schema",
    "assert_format",
    "max_payload_bytes",
    "actions",
    "data_class",
    "reject_reasons",
    "on_reject",
    "subject",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowDocument:
    """A parsed workflow document with defaults applied. `id` is None for a bare spec."""

    id: str | None = None
    name: str = ""
    description: str = ""
    channel_required: bool = False
    payload_schema: Mapping[str, Any]
    assert_format: bool = False
    max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES
    actions: tuple[str, ...] = ()
    data_class: str = DEFAULT_DATA_CLASS
    reject_reasons: tuple[str, ...] = DEFAULT_REJECT_REASONS
    on_reject: str = "end"
    subject: str = ""

    def as_spec(self) -> dict[str, Any]:
        """Return the spec that a version stores: all fields except id and name.

        Defaults are included, so that later changes of defaults do not affect existing versions.
        """
        return {
            "description": self.description,
            "channel_required": self.channel_required,
            "payload_schema": dict(self.payload_schema),
            "assert_format": self.assert_format,
            "max_payload_bytes": self.max_payload_bytes,
            "actions": list(self.actions),
            "data_class": self.data_class,
            "reject_reasons": list(self.reject_reasons),
            "on_reject": self.on_reject,
            **({"subject": self.subject} if self.subject else {}),
        }


def workflow_from_spec(spec: Mapping[str, Any]) -> WorkflowDocument:
    """Return the workflow that `as_spec` serialized. Not for documents; see `parse_workflow`."""
    lists = {name: tuple(spec[name]) for name in ("actions", "reject_reasons")}
    return WorkflowDocument(**{**spec, **lists})


def parse_workflow(value: Any) -> WorkflowDocument:
    """Parse a whole document (`kind`, `id`, `spec`) or a bare spec.

    Raises `DocumentInvalid` with a `FieldError` for every error, at most 50.
    """
    if not isinstance(value, Mapping):
        raise DocumentInvalid("A workflow is an object. Write {payload_schema: {type: object}}.")
    errors = FieldErrors()
    identifier, spec, base = read_header(value, "Workflow", errors)
    document = _Reader(spec, base, errors).workflow(identifier)
    if errors.found:
        raise DocumentInvalid(errors=errors.found)
    return document


class _Reader:
    """Reads one spec and collects errors. Return values are valid only if there are no errors."""

    def __init__(self, spec: Mapping[str, Any], base: str, errors: FieldErrors) -> None:
        self._spec = spec
        self._base = base
        self._errors = errors

    def workflow(self, identifier: str | None) -> WorkflowDocument:
        self._errors.known_fields(self._spec, _FIELDS, self._base)
        return WorkflowDocument(
            id=identifier,
            name=self._text("name", MAX_NAME),
            description=self._text("description", MAX_DESCRIPTION),
            channel_required=self._flag("channel_required"),
            payload_schema=self._schema(),
            assert_format=self._flag("assert_format"),
            max_payload_bytes=self._size(),
            actions=self._names("actions", (), is_slug, "an action by a to z, 0 to 9, _ and -"),
            data_class=self._data_class(),
            reject_reasons=self._reject_reasons(),
            on_reject=self._on_reject(),
            subject=self._subject(),
        )

    def _place(self, field: str) -> str:
        return pointer_to(self._base, field)

    def _text(self, field: str, most: int) -> str:
        text = self._spec.get(field, "")
        if isinstance(text, str) and len(text) <= most:
            return text
        self._errors.add(self._place(field), f"{field} is text of at most {most} characters.")
        return ""

    def _flag(self, field: str) -> bool:
        flag = self._spec.get(field, False)
        if not isinstance(flag, bool):
            self._errors.add(self._place(field), f"{field} is true or false.", "wrong_type")
        return flag is True

    def _schema(self) -> Mapping[str, Any]:
        schema = self._spec.get("payload_schema", {"type": "object"})
        for error in check_schema(schema, pointer=self._place("payload_schema")):
            self._errors.add(error.pointer, error.detail, error.code)
        return schema if isinstance(schema, Mapping) else {}

    def _size(self) -> int:
        size = self._spec.get("max_payload_bytes", DEFAULT_MAX_PAYLOAD_BYTES)
        if isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= MOST_PAYLOAD_BYTES:
            return size
        self._errors.add(
            self._place("max_payload_bytes"), f"max_payload_bytes is a whole number from 1 to {MOST_PAYLOAD_BYTES}."
        )
        return DEFAULT_MAX_PAYLOAD_BYTES

    def _names(
        self, field: str, default: tuple[str, ...], is_name: Callable[[str], object], wanted: str
    ) -> tuple[str, ...]:
        names = self._spec.get(field, list(default))
        if not isinstance(names, list) or len(names) > MAX_ENTRIES:
            self._errors.add(self._place(field), f"{field} is a list of at most {MAX_ENTRIES} names.", "wrong_type")
            return default
        for index, name in enumerate(names):
            if not isinstance(name, str) or not is_name(name):
                self._errors.add(pointer_to(self._place(field), index), f"Name {wanted}.")
            elif name in names[:index]:
                self._errors.add(pointer_to(self._place(field), index), f"{name} is named twice.", "repeated")
        return tuple(name for name in names if isinstance(name, str))

    def _data_class(self) -> str:
        name = self._spec.get("data_class", DEFAULT_DATA_CLASS)
        if isinstance(name, str) and is_slug(name):
            return name
        self._errors.add(self._place("data_class"), "Name the data class with a to z, 0 to 9, _ and -.")
        return DEFAULT_DATA_CLASS

    def _reject_reasons(self) -> tuple[str, ...]:
        wanted = "a reason by 2 to 64 capitals, digits and _, e.g. INSUFFICIENT_EVIDENCE"
        reasons = self._names("reject_reasons", DEFAULT_REJECT_REASONS, _REASON.fullmatch, wanted)
        if not reasons:
            self._errors.add(self._place("reject_reasons"), "Name at least one reason, or leave it out.", "required")
        return reasons

    def _subject(self) -> str:
        pointer = self._spec.get("subject", "")
        if isinstance(pointer, str) and _POINTER.fullmatch(pointer):
            return pointer
        self._errors.add(
            self._place("subject"), "Point at the value in the payload that names the person, e.g. /customer_no."
        )
        return ""

    def _on_reject(self) -> str:
        chosen = self._spec.get("on_reject", "end")
        self._errors.one_of(chosen, ON_REJECT, self._place("on_reject"), "value of on_reject")
        return str(chosen)
