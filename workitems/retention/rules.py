"""`kind: Retention` documents, and selection of the rule that applies to a case. Pure.

kind: Retention
id: personal-payments
spec:
  workflow: payments      # default: all workflows
  data_class: personal    # default: all data classes
  keep_payload: P90D      # contents are removed this long after the end of a case; default: never
  keep_receipts: P10Y     # case and receipts are removed this long after its end; default: never
  then: archive           # delete, or archive first

The narrowest rule applies alone: workflow and data class, then workflow, then data class, then neither. Without a rule
everything is kept forever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from threada_site.kernel.documents.field_errors import FieldErrors
from threada_site.kernel.documents.kind_schema import KindSchema
from threada_site.kernel.documents.structure import SLUG, closed_object
from threada_site.kernel.json.pointers import pointer_to
from workitems.retention.periods import Period, parse_period

THEN: Final = ("delete", "archive")
RETENTION_SCHEMA: Final = KindSchema(
    "Retention",
    closed_object(
        {
            **{
                name: {
                    **SLUG,
                    "description": f"{noun.capitalize()} that the rule is about. Default: all.",
                    "examples": [example],
                    "errorMessage": f"Name one {noun}, or leave it out for all.",
                }
                for name, noun, example in (
                    ("workflow", "workflow", "payments"),
                    ("data_class", "data class", "personal"),
                )
            },
            **{
                name: {
                    "type": "string",
                    "default": "",
                    "description": f"Time after the end of a case until {noun} are removed. Default: never.",
                    "examples": [example],
                    "errorMessage": "A period is text, e.g. P90D. Leave it out to keep for ever.",
                }
                for name, noun, example in (
                    ("keep_payload", "its contents", "P90D"),
                    ("keep_receipts", "the case and its receipts", "P10Y"),
                )
            },
            "then": {
                "enum": list(THEN),
                "title": "end",
                "default": "delete",
                "description": "Delete cases, or archive them first.",
            },
        },
        description="How long ended cases are kept.",
        errorMessage="A retention rule is an object. Write {data_class: personal, keep_payload: P90D}.",
    ),
)
_FIELDS: Final = ("workflow", "data_class", "keep_payload", "keep_receipts", "then")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionDocument:
    """A rule as written. Empty texts mean: all workflows, all data classes, forever."""

    id: str | None = None
    workflow: str = ""
    data_class: str = ""
    keep_payload: str = ""
    keep_receipts: str = ""
    then: Literal["delete", "archive"] = "delete"

    def as_spec(self) -> dict[str, Any]:
        """Return the spec that a version stores."""
        return {name: getattr(self, name) for name in _FIELDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule version in the form that runs use."""

    slug: str
    version_id: str
    number: int
    workflow: str
    data_class: str
    keep_payload: Period | None
    keep_receipts: Period | None
    then: str

    @property
    def narrowness(self) -> tuple[bool, bool]:
        """Return the sort key of rules, greater for narrower ones: a workflow is narrower than a data class."""
        return bool(self.workflow), bool(self.data_class)

    def covers(self, *, workflow: str, data_class: str) -> bool:
        return self.workflow in ("", workflow) and self.data_class in ("", data_class)


def rule_from_spec(spec: Mapping[str, Any], *, slug: str, version_id: str, number: int) -> Rule:
    """Return the rule of a stored spec."""
    periods = {name: parse_period(spec[name]) if spec[name] else None for name in ("keep_payload", "keep_receipts")}
    return Rule(
        slug=slug,
        version_id=version_id,
        number=number,
        workflow=spec["workflow"],
        data_class=spec["data_class"],
        then=spec["then"],
        **periods,
    )


def narrowest_first(rules: Iterable[Rule]) -> list[Rule]:
    return sorted(rules, key=lambda rule: rule.narrowness, reverse=True)


def rule_for(rules: Iterable[Rule], *, workflow: str, data_class: str) -> Rule | None:
    """Return the rule that applies to a case; None if the case is kept forever."""
    covering = (rule for rule in narrowest_first(rules) if rule.covers(workflow=workflow, data_class=data_class))
    return next(covering, None)


def parse_retention(value: Any) -> RetentionDocument:
    """Parse a whole document (`kind`, `id`, `spec`) or a bare spec.

    Raises `DocumentInvalid` with a `FieldError` for every error.
    """
    identifier, spec, base, errors = RETENTION_SCHEMA.parse(value)
    payload = _period(spec, "keep_payload", base, errors)
    receipts = _period(spec, "keep_receipts", base, errors)
    place = pointer_to(base, "keep_payload")
    if receipts and not payload and errors.is_clean(place) and errors.names_are_known(base):
        errors.add(
            place, "Receipts are kept at least as long as payloads. Write how long payloads are kept.", "required"
        )
    elif receipts and payload and receipts.is_shorter_than(payload):
        said = "Receipts are kept at least as long as payloads. Write keep_payload or longer."
        errors.add(pointer_to(base, "keep_receipts"), said)
    errors.raise_any(value=value)
    return RetentionDocument(id=identifier, **spec)


def _period(spec: Mapping[str, Any], name: str, base: str, errors: FieldErrors) -> Period | None:
    """Return the period in a field, or None if it is missing, empty or invalid."""
    place = pointer_to(base, name)
    if not spec.get(name) or not errors.is_clean(place):
        return None
    try:
        return parse_period(spec[name])
    except ValueError as error:
        errors.add(place, str(error))
        return None
