"""JSON Schema of the field `approvals` of a policy rule."""

from __future__ import annotations

from typing import Any, Final

from policies.language.approvals.permits import MAX_USES, SUM_FIELD
from policies.language.approvals.rules import DEFAULT_EXCLUDE, EXCLUSIONS
from policies.language.approvals.trees import LEAF_KINDS
from threada_site.kernel.context import Scope
from threada_site.kernel.documents.structure import SLUG, Schema, closed_object, whole_number
from threada_site.kernel.json.strict import MAX_INTEGER

MAX_DEPTH: Final = 8
MAX_NODES: Final = 64
MAX_COUNT: Final = 100
MAX_STAGES: Final = 16
MAX_USER_NAME: Final = 150
_REQUIREMENTS: Final = ("all", "any", *LEAF_KINDS)
_ORDERS: Final = ("stages", "together")


def _named(kind: str, example: str) -> Schema:
    return {
        **SLUG,
        "description": f"Id of a {kind} whose members can approve.",
        "examples": [example],
        "errorMessage": f"Name the {kind} by its id: a to z, 0 to 9, _ and -.",
    }


def _parts(description: str, definition: str = "approvalPart", most: int | None = None) -> Schema:
    limit = {} if most is None else {"maxItems": most}
    said = "one or more" if most is None else f"1 to {most}"
    return {
        "type": "array",
        "minItems": 1,
        **limit,
        "items": {"$ref": f"#/$defs/{definition}"},
        "description": description,
        "errorMessage": f"Write a list of {said} parts, e.g. [{{role: finance, count: 2}}].",
    }


def _exactly_one(names: tuple[str, ...]) -> Schema:
    return {
        "oneOf": [{"required": [name]} for name in names],
        "errorMessage": f"Name exactly one of {', '.join(names)}.",
    }


def _without_count(names: tuple[str, ...]) -> Schema:
    said = "Leave count out here. Give each part its own."
    return {
        "if": {"anyOf": [{"required": [name]} for name in names]},
        "then": {"properties": {"count": {"not": {}, "errorMessage": said}}},
    }


_COUNT: Final = whole_number(1, MAX_COUNT, default=1, description="Number of different people.")
_LEAF: Final[Schema] = {
    "role": _named("role", "finance"),
    "group": _named("group", "board"),
    "user": {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_USER_NAME,
        "description": "Name of one principal.",
        "errorMessage": f"A user's name is text of 1 to {MAX_USER_NAME} characters.",
    },
    "scope": {
        "enum": [scope.value for scope in Scope],
        "description": "Everybody with this scope on the workflow can approve.",
    },
}
_NODE: Final[Schema] = {
    "all": _parts("All parts are required, by different people."),
    "any": _parts("One of the parts is required."),
    **_LEAF,
    "count": _COUNT,
}
_NESTED: Final[Schema] = {"not": {}, "errorMessage": "Stages are not nested. Write them in one list."}
_OBJECT: Final = "Write an object, e.g. {role: finance, count: 2}."
_ONE_USER: Final[Schema] = {
    "if": {"required": ["user"]},
    "then": {"properties": {"count": {"enum": [1], "errorMessage": "A single user counts once. Leave count out."}}},
}


def _duration(description: str, example: str) -> Schema:
    return {"type": "string", "description": description, "examples": [example]}


_DURATIONS: Final[dict[str, tuple[str, str]]] = {
    "respond_within": ("Expected time of a response, which the desk and metrics show.", "PT8H"),
    "remind_after": ("Time of the reminder of pending approvers.", "PT4H"),
    "escalate_after": ("Time after which `escalate_to` can approve too.", "P1D"),
    "expires_after": ("Deadline of the step.", "P3D"),
}
_RULE: Final[Schema] = {
    "exclude": {
        "type": "array",
        "items": {"enum": list(EXCLUSIONS), "title": "exclusion"},
        "default": sorted(DEFAULT_EXCLUDE),
        "description": "People who may not vote in the case, in addition to the default; [] alone excludes nobody.",
    },
    **{name: _duration(*of) for name, of in _DURATIONS.items()},
    "working_time": closed_object(
        {name: _duration(f"{of[0]} Counts only working time.", "PT8H") for name, of in _DURATIONS.items()},
        minProperties=1,
        description="Durations in working time of the tenant's calendar: hours and minutes.",
        examples=[{"respond_within": "PT8H"}],
        errorMessage="Write durations of working time, e.g. {respond_within: PT8H}.",
    ),
    "on_expiry": {
        "enum": ["expire", "reject", "escalate"],
        "default": "expire",
        "description": "`expire` ends the step as `expired` (`reject` is an older name of it); `escalate` extends the "
        "deadline once and asks `escalate_to` too.",
    },
    "escalate_to": {
        "type": ["object", "array"],
        "properties": _LEAF,
        "items": {"$ref": "#/$defs/approvalTarget"},
        "additionalProperties": False,
        "minItems": 1,
        "maxItems": MAX_NODES,
        "allOf": [{"if": {"type": "object"}, "then": _exactly_one(LEAF_KINDS)}],
        "description": "Whom an escalation asks too, one or a list.",
        "examples": [{"role": "finance_lead"}],
        "errorMessage": "Name whom to escalate to, e.g. {role: finance_lead}, or a list of such.",
    },
    "step_up": {
        "type": "boolean",
        "default": False,
        "description": "Voters must have proved who they are in the last five minutes, as with "
        "`authentication: step_up`.",
    },
    "authentication": {
        "enum": ["any", "session", "step_up", "phishing_resistant"],
        "default": "any",
        "description": "Required authentication of voters: `session` refuses tokens, `step_up` needs a proof in the "
        "last five minutes (second factor, fresh login at the provider, or the password of people without a factor), "
        "`phishing_resistant` a session with a passkey.",
    },
    "approval_valid_for": _duration(
        "Time after which an approval no longer counts before a call. Without it 30 days.", "P7D"
    ),
    "veto": whole_number(1, MAX_COUNT, default=1, description="Number of rejections that end the step."),
    "permit": closed_object(
        {
            "max_count": whole_number(1, MAX_USES, description="Largest number of uses of a permit."),
            "max_sum": closed_object(
                {
                    "field": {
                        "type": "string",
                        "pattern": f"^{SUM_FIELD}$",
                        "description": "Path of a number in the facts.",
                        "examples": ["input.amount"],
                        "errorMessage": "Name a number of the facts, e.g. input.amount or item.payload.amount.",
                    },
                    "at_most": {
                        "type": "number",
                        "exclusiveMinimum": 0,
                        "maximum": MAX_INTEGER,
                        "description": "Largest sum over all uses of a permit.",
                        "errorMessage": f"Write a number above 0, at most {MAX_INTEGER}.",
                    },
                },
                required=["field", "at_most"],
                description="Largest sum of a number that each use names. Without it, permits need no sum.",
                errorMessage="Write the field and the sum, e.g. {field: input.amount, at_most: 10000}.",
            ),
            "max_valid_for": _duration(
                "Longest time from the proposal of a permit to its end; at most `approval_valid_for`.", "P7D"
            ),
        },
        required=["max_count", "max_valid_for"],
        description="Lets approvers approve a bounded series of executions (a permit). Without it, each execution is "
        "approved by itself.",
        examples=[{"max_count": 20, "max_valid_for": "P7D"}],
        errorMessage="Write the upper limits, e.g. {max_count: 20, max_valid_for: P7D}.",
    ),
}
DEFINITIONS: Final[dict[str, Any]] = {
    "approvals": closed_object(
        {
            **_NODE,
            "stages": _parts("Consecutive stages: a stage opens when all earlier ones are satisfied.", most=MAX_STAGES),
            "together": _parts("Several rules that apply at the same time.", "approvalTrack", MAX_STAGES),
            **_RULE,
        },
        allOf=[_exactly_one((*_REQUIREMENTS, *_ORDERS)), _without_count(("all", "any", *_ORDERS)), _ONE_USER],
        description="Required approvers, exclusions, deadlines and escalation.",
        examples=[{"role": "finance", "count": 2, "expires_after": "P3D"}],
        errorMessage="Name the approvers, e.g. {role: finance, count: 2}.",
    ),
    "approvalPart": closed_object(
        {**_NODE, "stages": _NESTED},
        allOf=[_exactly_one(_REQUIREMENTS), _without_count(("all", "any")), _ONE_USER],
        errorMessage=_OBJECT,
    ),
    "approvalTrack": closed_object(
        {**_NODE, "stages": _parts("Consecutive stages.", most=MAX_STAGES)},
        allOf=[_exactly_one((*_REQUIREMENTS, "stages")), _without_count(("all", "any", "stages")), _ONE_USER],
        errorMessage=_OBJECT,
    ),
    "approvalTarget": closed_object(_LEAF, allOf=[_exactly_one(LEAF_KINDS)], errorMessage=_OBJECT),
}
SCHEMA: Final[Schema] = {"$ref": "#/$defs/approvals", "$defs": DEFINITIONS}
