"""Generated schema of a code host's webhooks: one alternative per event, with shared definitions, of some 630 KB."""

from __future__ import annotations

from typing import Any

_SCALARS: list[dict[str, Any]] = [
    {"type": "string", "format": "uri", "description": "Address of the resource in the interface for programs."},
    {"type": "integer", "minimum": 0, "description": "Number of the resource, unique within its owner."},
    {"type": ["string", "null"], "maxLength": 65_536, "description": "Text as the person wrote it, in Markdown."},
    {"type": "boolean", "description": "True if the resource is only visible to its owner."},
    {"type": "string", "enum": ["open", "closed", "draft", "merged"], "description": "State of the resource."},
]


def webhook_schema(*, events: int = 200, definitions: int = 120, fields: int = 28) -> dict[str, Any]:
    """Return the schema. Each event names three definitions; each definition refers to two smaller ones."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Webhook",
        "$defs": {
            **{f"thing_{number}": _definition(number, definitions, fields) for number in range(definitions)},
            **{f"event_{number}": _event(number, definitions) for number in range(events)},
        },
        "oneOf": [{"$ref": f"#/$defs/event_{number}"} for number in range(events)],
    }


def webhook_payload(number: int = 7, *, definitions: int = 120, fields: int = 28) -> dict[str, Any]:
    """Return a payload of event `number` that matches the schema."""
    things = {f"thing_{(number + step) % definitions}": _thing(number + step, fields) for step in range(3)}
    return {"event": f"event_{number}", "action": "created", **things, "sender": {"login": "monalisa", "id": 1}}


def _event(number: int, definitions: int) -> dict[str, Any]:
    names = [f"thing_{(number + step) % definitions}" for step in range(3)]
    return {
        "title": f"Event {number} of the code host",
        "type": "object",
        "required": ["event", "action", *names, "sender"],
        "properties": {
            "event": {"const": f"event_{number}"},
            "action": {"enum": ["created", "edited", "deleted", "reopened"], "description": "What happened."},
            **{name: {"$ref": f"#/$defs/{name}"} for name in names},
            "sender": {
                "type": "object",
                "required": ["login", "id"],
                "properties": {"login": {"type": "string"}, "id": {"type": "integer"}},
                "additionalProperties": True,
                "description": "Account that caused the event, as at the time of the event.",
            },
        },
    }


def _definition(number: int, definitions: int, fields: int) -> dict[str, Any]:
    properties: dict[str, Any] = {f"field_{index}": dict(_SCALARS[index % len(_SCALARS)]) for index in range(fields)}
    if number + 2 < definitions:
        larger = {"anyOf": [{"type": "null"}, {"$ref": f"#/$defs/thing_{number + 1}"}]}
        if number % 8 != 7:
            properties["parent"] = larger
    return {
        "type": "object",
        "title": f"Thing {number}",
        "required": [f"field_{index}" for index in range(fields // 2)],
        "properties": properties,
        "additionalProperties": False,
    }


def _thing(number: int, fields: int) -> dict[str, Any]:
    values = ["https://example.test/things/1", number, "Text of a person", True, "open"]
    return {f"field_{index}": values[index % len(values)] for index in range(fields)}
