"""Rule templates: rules built from a fact, a comparison, a value and an effect. Pure.

The result is text of the policy document; templates are not a separate format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from policies.language.facts import FACTS
from policies.language.rules import Effect
from threada_site.kernel.documents.reader import load_documents
from threada_site.kernel.errors import DocumentInvalid, FieldError, ThreadaError
from threada_site.kernel.sentences import marked

COMPARISONS: Final[Mapping[str, str]] = {
    "==": marked("is"),
    "!=": marked("is not"),
    ">": marked("is more than"),
    ">=": marked("is at least"),
    "<": marked("is less than"),
    "<=": marked("is at most"),
    "in": marked("is one of"),
    "has": marked("is given"),
    "lacks": marked("is not given"),
}
_PATH: Final = re.compile(r"(item|ctx|input)(\.[A-Za-z_][A-Za-z0-9_]*)+")
_LIST: Final = re.compile(r"lists\.[A-Za-z_][A-Za-z0-9_]*")
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,12})?")
_OFFERED: Final = {
    "item": ("confidence", "channel", "workflow", "requester", "data_class", "risk_flags"),
    "ctx": ("action", "integration", "actor_kind", "roles"),
}
_DEPTH: Final = 4
_MOST_FACTS: Final = 300


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact that a rule can read. `asked_first` lists optional paths that need a `has(…)` check."""

    path: str
    kind: str
    asked_first: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTemplate:
    """The choices in the form. `role` and `count` name the approvers; an empty `role` means no approval.

    `authentication` is the required authentication of the approvers.
    """

    id: str
    fact: str
    comparison: str
    value: str
    effect: str
    reason: str
    role: str = ""
    count: int = 1
    authentication: str = "any"


def facts_of(schemas: Iterable[Any]) -> dict[str, Fact]:
    """Return the facts for payloads of these JSON Schemas, by path; fixed facts come first."""
    found = {
        f"{variable}.{name}": Fact(f"{variable}.{name}", FACTS[variable][name]["type"])
        for variable, names in _OFFERED.items()
        for name in names
    }
    schemas = list(schemas)
    for schema in schemas:
        _collect(schema, "item.payload", (), found)
    if len(schemas) > 1:
        everywhere = [_paths(schema, "item.payload") for schema in schemas]
        for path, fact in found.items():
            if path.startswith("item.payload.") and not all(path in paths for paths in everywhere):
                found[path] = Fact(path, fact.kind, _with(fact.asked_first, path))
    return found


def rule_from(chosen: RuleTemplate, facts: Mapping[str, Fact]) -> dict[str, Any]:
    """Return the rule in document form. Raises `DocumentInvalid` with the invalid choices."""
    if chosen.comparison not in COMPARISONS:
        raise DocumentInvalid(errors=[FieldError("comparison", "Choose a comparison.")])
    if not _PATH.fullmatch(chosen.fact):
        raise DocumentInvalid(errors=[FieldError("fact", "Name a fact, e.g. item.payload.amount_minor or ctx.action.")])
    fact = facts.get(chosen.fact, Fact(chosen.fact, ""))
    rule: dict[str, Any] = {
        "id": chosen.id,
        "when": _condition(fact, chosen.comparison, chosen.value.strip()),
        "effect": chosen.effect,
        "reason": chosen.reason,
    }
    if chosen.role and chosen.effect in (Effect.REQUIRE_APPROVAL, Effect.REVIEW):
        rule["approvals"] = {"role": chosen.role, "count": chosen.count}
        if chosen.authentication != "any":
            rule["approvals"]["authentication"] = chosen.authentication
    return rule


def with_rule(text: str, rule: Mapping[str, Any]) -> str:
    """Return the policy document `text` with `rule` inserted before its first rule; the rest stays, comments included.

    The position has no effect, because rules are not ordered. If the rules are not a block sequence in YAML, the whole
    document is serialized again. Raises `DocumentInvalid` for invalid text.
    """
    documents = load_documents(text, source="document")
    if len(documents) != 1 or not isinstance(documents[0].value, dict):
        raise DocumentInvalid(errors=[FieldError("", "Write one policy first, then insert rules.")])
    document = documents[0]
    value = json.loads(json.dumps(document.value))
    spec = value["spec"] if isinstance(value.get("spec"), dict) else value
    before = spec.get("rules")
    spec["rules"] = [dict(rule), *(before if isinstance(before, list) else [])]
    if isinstance(before, list) and before:
        place = document.place_of("/spec/rules/0" if spec is not value else "/rules/0")
        inserted = _before_line(text, place.line, place.column, rule)
        if inserted is not None and _reads_as(inserted, value):
            return inserted
    return yaml.dump(value, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=110)


def _condition(fact: Fact, comparison: str, value: str) -> str:
    if comparison == "has":
        return f"has({fact.path})"
    if comparison == "lacks":
        return f"!has({fact.path})"
    asked = [f"has({path})" for path in fact.asked_first]
    if comparison == "in":
        right = value if _LIST.fullmatch(value) else f"[{', '.join(_literal(fact, part) for part in _parts(value))}]"
        return " && ".join([*asked, f"{fact.path} in {right}"])
    if fact.kind == "array":
        if comparison not in ("==", "!="):
            said = "It holds several values: ask what it is, or is not, among them."
            raise DocumentInvalid(errors=[FieldError("comparison", said)])
        return " && ".join([*asked, f"{'' if comparison == '==' else '!'}({_text(value)} in {fact.path})"])
    return " && ".join([*asked, f"{fact.path} {comparison} {_literal(fact, value)}"])


def _parts(value: str) -> list[str]:
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if not parts:
        raise DocumentInvalid(errors=[FieldError("value", "Separate values with commas, or write lists.name.")])
    return parts


def _literal(fact: Fact, value: str) -> str:
    if fact.kind in ("number", "integer") and not _NUMBER.fullmatch(value):
        raise DocumentInvalid(errors=[FieldError("value", f"{fact.path} is a number. Write one, e.g. 1000.")])
    if fact.kind == "boolean" and value not in ("true", "false"):
        raise DocumentInvalid(errors=[FieldError("value", f"{fact.path} is true or false.")])
    if fact.kind in ("number", "integer", "boolean"):
        return value
    is_plain = fact.kind == "" and (value in ("true", "false") or _NUMBER.fullmatch(value))
    return value if is_plain else _text(value)


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"


def _before_line(text: str, line: int, column: int, rule: Mapping[str, Any]) -> str | None:
    lines = text.splitlines(keepends=True)
    head = lines[line - 1][: column - 1]
    if head.strip(" ") != "-":
        return None
    indent = head[: head.index("-")]
    written = yaml.dump([dict(rule)], Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=10_000)
    lines.insert(line - 1, "".join(f"{indent}{part}\n" for part in written.splitlines()))
    return "".join(lines)


def _reads_as(text: str, value: Any) -> bool:
    try:
        documents = load_documents(text, source="document")
    except ThreadaError:
        return False
    return [document.value for document in documents] == [value]


def _collect(schema: Any, path: str, asked_first: tuple[str, ...], found: dict[str, Fact]) -> None:
    for name, child, is_required in _members(schema):
        below = f"{path}.{name}"
        asked = asked_first if is_required else _with(asked_first, below)
        kind = child.get("type") if isinstance(child, dict) else None
        if kind == "object":
            if below.count(".") < _DEPTH:
                _collect(child, below, asked, found)
        elif len(found) < _MOST_FACTS:
            known = found.get(below)
            kinds = isinstance(kind, str) and (known is None or known.kind == kind)
            merged = asked if known is None else tuple(dict.fromkeys((*known.asked_first, *asked)))
            found[below] = Fact(below, kind if kinds and isinstance(kind, str) else "", merged)


def _paths(schema: Any, path: str) -> set[str]:
    found: dict[str, Fact] = {}
    _collect(schema, path, (), found)
    return set(found)


def _members(schema: Any) -> list[tuple[str, Any, bool]]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return []
    required: Sequence[Any] = schema.get("required") or ()
    return [
        (name, child, name in required)
        for name, child in properties.items()
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
    ]


def _with(paths: tuple[str, ...], path: str) -> tuple[str, ...]:
    return paths if path in paths else (*paths, path)
