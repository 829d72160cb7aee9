"""Member `request` of workflow documents: what submitting a request in the console executes. Pure.

request:
  action: pay                     # one of the workflow's actions
  integration: int_bank
  channel: web_main               # of the new work item; required if the workflow requires a channel
  input: {note: "${item.payload.invoice}"}   # input of the action; default: {}

`input` may contain templates over `item` and `ctx`. They are the facts of a policy at the execution of the action.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from threada_site.kernel.documents.field_errors import FieldErrors
from threada_site.kernel.documents.structure import SLUG, Schema, closed_object
from threada_site.kernel.errors import DocumentInvalid, FieldError
from threada_site.kernel.json.pointers import pointer_to
from threada_site.kernel.templates import Template, compile_template

VARIABLES: Final = ("item", "ctx")
MAX_EXPRESSIONS: Final = 50

REQUEST_SCHEMA: Final[Schema] = closed_object(
    {
        "action": {**SLUG, "description": "Action that a request executes.", "examples": ["pay"]},
        "integration": {**SLUG, "description": "Integration that the action belongs to.", "examples": ["int_bank"]},
        "channel": {**SLUG, "description": "Channel of the new work item.", "examples": ["web_main"]},
        "input": {
            "type": "object",
            "maxProperties": 200,
            "default": {},
            "description": "Input of the action. Values may be templates over item and ctx.",
            "examples": [{"note": "${item.payload.invoice}"}],
        },
    },
    required=("action", "integration"),
    description="What a request in the console executes. Without it, the console offers no form.",
    errorMessage="Say what a request executes, for example {action: pay, integration: int_bank}.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDeclaration:
    """Action that submitting a request executes, with the channel of the work item and the input."""

    action: str
    integration: str
    channel: str = ""
    input: Mapping[str, Any] = field(default_factory=dict)

    def as_spec(self) -> dict[str, Any]:
        """Return the form that a version stores; what was left out stays left out."""
        return {
            "action": self.action,
            "integration": self.integration,
            **({"channel": self.channel} if self.channel else {}),
            **({"input": dict(self.input)} if self.input else {}),
        }

    def input_template(self) -> Template:
        """Return the compiled input. Raise `DocumentInvalid`."""
        return compile_template(dict(self.input), variables=VARIABLES)


def declaration_in(spec: Mapping[str, Any]) -> RequestDeclaration | None:
    """Return the declaration of a valid spec, or None."""
    declared = spec.get("request")
    return None if not declared else RequestDeclaration(**declared)


def declaration_errors(spec: Mapping[str, Any], pointer: str, found: FieldErrors) -> list[FieldError]:
    """Return the errors that the structure of a document does not show. `pointer` is the place of the spec."""
    declared = spec.get("request")
    place = pointer_to(pointer, "request")
    if declared is None or not found.is_clean(place) or not found.is_clean(pointer_to(pointer, "actions")):
        return []
    errors = []
    actions = spec.get("actions", ())
    if declared["action"] not in actions:
        offered = f" Actions: {', '.join(map(str, actions))}." if actions else ""
        detail = f"The workflow has no action {declared['action']!r}.{offered}"
        errors.append(FieldError(pointer_to(place, "action"), detail, "unknown"))
    if spec.get("channel_required") and not declared.get("channel"):
        detail = "The workflow requires a channel. Name the channel of requests."
        errors.append(FieldError(pointer_to(place, "channel"), detail, "required"))
    return [*errors, *_input_errors(declared.get("input", {}), pointer_to(place, "input"))]


def _input_errors(value: Any, pointer: str) -> list[FieldError]:
    if _expressions(value) > MAX_EXPRESSIONS:
        return [FieldError(pointer, f"An input has at most {MAX_EXPRESSIONS} expressions. Remove some.", "too_large")]
    try:
        compile_template(value, pointer=pointer, variables=VARIABLES)
    except DocumentInvalid as refusal:
        return list(refusal.errors)
    return []


def _expressions(value: Any) -> int:
    """Return the number of strings that contain an expression."""
    if isinstance(value, Mapping):
        return sum(map(_expressions, value.values()))
    if isinstance(value, list):
        return sum(map(_expressions, value))
    return int(isinstance(value, str) and "${" in value)
