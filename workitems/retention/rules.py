"""`kind: Retention` documents, and which of several rules holds for a case. Pure.

kind: Retention
id: personal-payments
spec:
  workflow: payments      # of this workflow alone; left out: of all
  data_class: personal    # of this data class alone; left out: of all
  keep_payload: P90D      # how long after its end a case keeps its contents; left out: for ever
  keep_receipts: P10Y     # how long after its end the case and its receipts are kept; left out: for ever
  then: archive           # delete, or archive first

The narrowest rule holds, whole: a workflow with a data class, then a workflow, then a data class, then neither. Without
a rule everything is kept for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from policies.language.document_header import read_header
from policies.language.field_errors import FieldErrors
from threada_site.kernel.errors import DocumentInvalid
from threada_site.kernel.ids import is_slug
from threada_site.kernel.json.pointers import pointer_to
from workitems.retention.periods import Period, parse_period

THEN: Final = ("delete", "archive")
_FIELDS: Final = ("workflow", "data_class", "keep_payload", "keep_receipts", "then")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionDocument:
    """A rule as written. Empty texts mean: all workflows, all data classes, for ever."""

    id: str | None = None
    workflow: str = ""
    data_class: str = ""
    keep_payload: str = ""
    keep_receipts: str = ""
    then: Literal["delete", "archive"] = "delete"

    def as_spec(self) -> dict[str, Any]:
        """What a version stores."""
        return {name: getattr(self, name) for name in _FIELDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A version of a rule, as runs use it."""

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
        """Greater is narrower: a workflow says more than a data class."""
        return bool(self.workflow), bool(self.data_class)

    def covers(self, *, workflow: str, data_class: str) -> bool:
        return self.workflow in ("", workflow) and self.data_class in ("", data_class)


def rule_from_spec(spec: Mapping[str, Any], *, slug: str, version_id: str, number: int) -> Rule:
    """What `as_spec` wrote, for a run."""
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
    """The one rule that holds for a case, or None: it is kept for ever."""
    covering = (rule for rule in narrowest_first(rules) if rule.covers(workflow=workflow, data_class=data_class))
    return next(covering, None)


def parse_retention(value: Any) -> RetentionDocument:
    """Read a whole document (`kind`, `id`, `spec`) or a bare spec.

    Raises `DocumentInvalid` with a `FieldError` per problem.
    """
    if not isinstance(value, Mapping):
        raise DocumentInvalid("A retention rule is an object. Write {data_class: personal, keep_payload: P90D}.")
    errors = FieldErrors()
    identifier, spec, base = read_header(value, "Retention", errors)
    errors.known_fields(spec, _FIELDS, base)
    scope = {name: _slug(spec, name, base, errors) for name in ("workflow", "data_class")}
    texts = {name: spec.get(name, "") for name in ("keep_payload", "keep_receipts")}
    periods = {name: _period(text, pointer_to(base, name), errors) for name, text in texts.items()}
    then = spec.get("then", "delete")
    errors.one_of(then, THEN, pointer_to(base, "then"), "end")
    payload, receipts = periods["keep_payload"], periods["keep_receipts"]
    if receipts and not payload:
        errors.add(
            pointer_to(base, "keep_payload"),
            "Receipts do not go before what they are about. Say how long payloads are kept.",
            "required",
        )
    elif receipts and payload and receipts.is_shorter_than(payload):
        errors.add(
            pointer_to(base, "keep_receipts"), "Receipts do not go before payloads. Write keep_payload or longer."
        )
    if errors.found:
        raise DocumentInvalid(errors=errors.found)
    return RetentionDocument(id=identifier, **scope, **texts, then=then)


def _slug(spec: Mapping[str, Any], name: str, base: str, errors: FieldErrors) -> str:
    text = spec.get(name, "")
    if name in spec and not (isinstance(text, str) and is_slug(text)):
        errors.add(pointer_to(base, name), f"Name one {name.replace('_', ' ')}, or leave it out for all.")
        return ""
    return str(text)


def _period(text: Any, pointer: str, errors: FieldErrors) -> Period | None:
    if text == "":
        return None
    if not isinstance(text, str):
        errors.add(pointer, "A period is text, e.g. P90D. Leave it out to keep for ever.", "wrong_type")
        return None
    try:
        return parse_period(text)
    except ValueError as error:
        errors.add(pointer, str(error))
        return None
