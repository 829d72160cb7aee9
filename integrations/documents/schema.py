"""Parts of the JSON Schemas of integration documents that several connectors share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from integrations.attempts.retry import RetryPolicy
from integrations.documents.model import UNBOUNDED
from threada_site.kernel.documents.structure import SLUG, Schema, closed_object, whole_number

LONGEST_TIMEOUT_S: Final = 300.0
LONGEST_CALLBACK_S: Final = 30 * 86400.0
DEFAULT_TIMEOUT_S: Final = 10.0
DEFAULT_CALLBACK_S: Final = 3600.0
MOST_CALLBACK_SECRETS: Final = 2

_DURATION: Final = r"^P(?=[0-9T])([0-9]{1,4}D)?(T(?=[0-9])([0-9]{1,5}H)?([0-9]{1,6}M)?([0-9]{1,7}(\.[0-9]{1,3})?S)?)?$"
_REFERENCE_ADVICE: Final = "A secret is named, never written out: {stored: name}, {env: NAME} or {file: /path}."


def seconds(highest: float, description: str, **more: Any) -> Schema:
    """Return the schema of a duration, a number of seconds or ISO 8601."""
    return {
        "type": ["number", "string"],
        "exclusiveMinimum": 0,
        "maximum": highest,
        "pattern": _DURATION,
        "description": description,
        "examples": ["PT30S"],
        "errorMessage": seconds_advice(highest),
        **more,
    }


def seconds_advice(highest: float) -> str:
    """Return the sentence for invalid durations."""
    return f"Write a number of seconds or ISO 8601 (PT30S), above 0, at most {highest:g} s."


def filled_text(description: str, **more: Any) -> Schema:
    """Return the schema of a text that is not empty."""
    return {"type": "string", "minLength": 1, "description": description, **more}


def secrets(most: int, description: str) -> Schema:
    """Return the schema of one secret reference, or a list of them."""
    return {
        "type": ["object", "array"],
        "if": {"type": "object"},
        "then": SECRET,
        "items": SECRET,
        "minItems": 1,
        "maxItems": most,
        "description": description,
        "errorMessage": f"Write one secret, or a list of at most {most}: {{stored: name}}, {{env: NAME}} or "
        "{file: /path}.",
    }


SECRET: Final[Schema] = {
    "type": "object",
    "properties": {
        "stored": {
            **SLUG,
            "description": "Name of an encrypted secret of the tenant.",
            "examples": ["bank_token"],
            "errorMessage": "A stored secret's name has a to z, 0 to 9, - and _, at most 63 characters.",
        },
        "env": {
            "type": "string",
            "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,254}$",
            "description": "Name of an environment variable of the worker.",
            "examples": ["BANK_TOKEN"],
            "errorMessage": "A variable's name has letters, digits and underscores, and does not begin with a digit.",
        },
        "file": {
            "type": "string",
            "description": "Path of a file that the worker can read.",
            "examples": ["/run/secrets/bank_token"],
        },
    },
    "minProperties": 1,
    "maxProperties": 1,
    "oneOf": [{"required": [source]} for source in ("stored", "env", "file")],
    "description": "Reference to a secret.",
    "examples": [{"stored": "bank_token"}],
    "errorMessage": _REFERENCE_ADVICE,
}
BASE_URL: Final = filled_text(
    "Address of the receiver: scheme://host[:port][/path].", examples=["https://bank.example/api"]
)
HEADERS: Final[Schema] = {
    "type": "object",
    "additionalProperties": {"type": "string", "errorMessage": "A header's value must be text. Quote it."},
    "description": "Headers; values can contain ${ … }.",
    "examples": [{"X-Reason": "${ctx.action}"}],
}
INPUT_SCHEMA: Final[Schema] = {
    "type": ["object", "null"],
    "description": "JSON Schema of the action's input. Default: any input is accepted.",
    "examples": [{"type": "object", "properties": {"note": {"type": "string"}}}],
    "errorMessage": "This is not a JSON Schema. Write an object.",
}
_RETRIES: Final = RetryPolicy()
_FLAG: Final[Schema] = {"type": "boolean"}
_RETRY: Final = closed_object(
    {
        "attempts": whole_number(
            1,
            20,
            default=_RETRIES.attempts,
            description="Number of attempts, including the first.",
            examples=[3],
        ),
        "backoff": seconds(3600, "Delay after the first failure; doubles each time.", default=_RETRIES.backoff_s),
        "max_backoff": seconds(86400, "Longest delay.", default=_RETRIES.max_backoff_s),
        "deadline": seconds(30 * 86400, "Time from the first attempt to the last.", default=_RETRIES.deadline_s),
    },
    description="Retries of failed attempts.",
)
IDEMPOTENT: Final[Schema] = {**_FLAG, "default": False, "description": "The receiver honours Idempotency-Key."}
_BOTH: Final[Schema] = {
    "idempotent": IDEMPOTENT,
    "timeout": seconds(LONGEST_TIMEOUT_S, "Limit of one whole attempt.", default=DEFAULT_TIMEOUT_S),
    "retry": _RETRY,
}
_SPEC: Final[Schema] = {
    **_BOTH,
    "limits": closed_object(
        {
            "concurrency": whole_number(
                1, 1000, description="Calls at the same time. Default: unlimited.", examples=[5]
            ),
            "rate": closed_object(
                {
                    "calls": whole_number(1, 1000, description="Calls within `per`.", examples=[100]),
                    "per": seconds(86_400, "Length of the window.", default=UNBOUNDED.per_s),
                },
                required=("calls",),
                description="Calls started within a time window. Default: unlimited.",
                examples=[{"calls": 100, "per": "PT1M"}],
            ),
        },
        description="Limits across all workers. Default: unlimited.",
        examples=[{"concurrency": 5, "rate": {"calls": 100, "per": "PT1M"}}],
    ),
    "breaker": closed_object(
        {
            "failures": whole_number(
                1, 1000, default=UNBOUNDED.failures, description="Consecutive failures.", examples=[5]
            ),
            "rest": seconds(3600, "Length of the pause.", default=UNBOUNDED.backoff_s),
        },
        description="Pause after consecutive failures.",
    ),
}


def _inherited(of: Schema) -> Schema:
    """Return the schema of a field of an action whose default is the value of the integration."""
    inner = {name: _inherited(field) for name, field in of.get("properties", {}).items()}
    return {
        **{key: value for key, value in of.items() if key != "default"},
        **({"properties": inner} if inner else {}),
        "description": f"{of['description']} Default: that of the integration.",
    }


_ACTION: Final[Schema] = {
    **{name: _inherited(of) for name, of in _BOTH.items()},
    "input_schema": INPUT_SCHEMA,
    "resolves": {**_FLAG, "default": False, "description": "Success resolves the work item."},
    "undo": filled_text("Another action of this integration that reverts this one.", examples=["refund"]),
    "undo_after": filled_text(
        "Time from success until Threada starts the undo by itself, at most 366 days. ISO 8601; can contain ${ … }.",
        examples=["P7D", "P${item.payload.days}D"],
    ),
}
_CALLBACK_SPEC: Final[Schema] = {
    "callback_secrets": secrets(MOST_CALLBACK_SECRETS, "Secrets that sign callbacks (Standard Webhooks)."),
}
CALLBACK_ACTION: Final[Schema] = {
    "completes": {
        "enum": ["answer", "callback"],
        "default": "answer",
        "description": "`callback`: the receiver reports the result later, at the address in Threada-Callback-Url.",
    },
    "callback_within": seconds(LONGEST_CALLBACK_S, "Time limit of the callback.", default=DEFAULT_CALLBACK_S),
}


def integration_schema(
    properties: Schema,
    *,
    required: Iterable[str] = (),
    action: Schema,
    action_required: Iterable[str] = (),
    has_callbacks: bool = False,
    **more: Any,
) -> Schema:
    """Return the schema of the spec for a connector that makes calls.

    `properties` and `action` are the fields of the connector itself in the spec and in an action; `more` contains
    further keywords of the spec, `action` can be a whole schema too. `has_callbacks`: receivers can call back.
    """
    whole = action if "properties" in action else {"properties": action}
    action_fields = {**_ACTION, **(CALLBACK_ACTION if has_callbacks else {}), **whole["properties"]}
    return closed_object(
        {
            "connector": {"type": "string", "description": "Kind of the external system."},
            **_SPEC,
            **(_CALLBACK_SPEC if has_callbacks else {}),
            **properties,
            "actions": {
                "type": "object",
                "minProperties": 1,
                "patternProperties": {
                    SLUG["pattern"]: {**closed_object(action_fields, required=action_required), **whole}
                    | {"properties": action_fields}
                },
                "additionalProperties": False,
                "description": "Actions by name.",
                "errorMessage": "Name at least one action with a to z, 0 to 9, - and _, at most 63 characters.",
            },
        },
        required=("connector", *required, "actions"),
        **more,
    )
