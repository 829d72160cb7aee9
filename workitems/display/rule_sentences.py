"""Matched rules in one sentence each, with the labels and formats of the payload schema. Pure.

Simple comparisons become words; any other part of a condition is quoted as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final

import orjson
from babel import Locale

from policies.documents.rule_templates import COMPARISONS
from threada_site.kernel.sentences import marked, sentence, sentence_list, stored_sentence
from workitems.display.amounts import NEUTRAL
from workitems.display.fields import readable
from workitems.display.formats import formatted, value_at
from workitems.display.schema_view import SchemaView
from workitems.display.titles import one_line

_CLAUSE: Final = re.compile(
    r"(?P<path>(?:item|ctx|input)(?:\.[A-Za-z_]\w*)+)\s*(?P<sign>==|!=|>=|<=|>|<|in)\s*"
    r"(?P<literal>'[^'\\]*'|\"[^\"\\]*\"|-?[0-9]+(?:\.[0-9]+)?|true|false|lists\.[A-Za-z_]\w*)"
)
_EFFECTS: Final = {
    "allow": marked("The rule {rule} of {policy} allows it{because}."),
    "review": marked("The rule {rule} of {policy} asks for a review{because}."),
    "require_approval": marked("The rule {rule} of {policy} asks for an approval{because}."),
    "deny": marked("The rule {rule} of {policy} denies it{because}."),
}
_PAYLOAD: Final = "item.payload."
_LONGEST: Final = 300
_MOST_CLAUSES: Final = 6


def rule_sentence(
    rule: Mapping[str, Any], condition: str, *, schema: Any, payload: Any, locale: Locale = NEUTRAL
) -> str:
    """Return one sentence about a matched rule. `condition` is its CEL text; empty if it is unknown."""
    template = _EFFECTS.get(rule["effect"], _EFFECTS["deny"])
    if condition in ("", "true"):
        because: str = sentence(" in every case") if condition else ""
    else:
        clauses = _conjuncts(condition)
        said: list[str] = [
            _clause(clause, schema=schema, payload=payload, locale=locale) for clause in clauses[:_MOST_CLAUSES]
        ]
        if len(clauses) > _MOST_CLAUSES:
            said.append(sentence("{number} more conditions hold", number=len(clauses) - _MOST_CLAUSES))
        because = sentence(", because {clauses}", clauses=sentence_list(said, " and "))
    return sentence(template, rule=rule["rule"], policy=rule["policy"], because=because)


def _clause(clause: str, *, schema: Any, payload: Any, locale: Locale) -> str:
    found = _CLAUSE.fullmatch(clause)
    if found is None:
        return sentence("“{condition}” is true", condition=_cut(clause))
    path, sign, literal = found.group("path", "sign", "literal")
    name, words = _name(path, schema), stored_sentence(COMPARISONS[sign])
    if literal.startswith("lists."):
        listed = literal.removeprefix("lists.")
        return sentence("{name} {comparison} the list {list}", name=name, comparison=words, list=listed)
    limit: Any = literal[1:-1] if literal[0] in "'\"" else orjson.loads(literal)
    if not path.startswith(_PAYLOAD):
        return sentence("{name} {comparison} {value}", name=name, comparison=words, value=_cut(_plain(limit)))
    view, pointer = _place(path, schema)
    shown = {
        key: formatted(value, view.annotation, view.format, root=payload, people={}, locale=locale, zone=UTC)
        or _plain(value)
        for key, value in (("limit", limit), ("given", value_at(payload, pointer)))
    }
    limit = _cut(shown["limit"])
    if sign == "==" or not shown["given"]:
        return sentence("{name} {comparison} {value}", name=name, comparison=words, value=limit)
    given = _cut(shown["given"])
    return sentence("{name} {comparison} {value} (here {given})", name=name, comparison=words, value=limit, given=given)


def _name(path: str, schema: Any) -> str:
    if path.startswith(_PAYLOAD):
        view, _ = _place(path, schema)
        words = readable(path.rpartition(".")[2])
        if view.annotation.get("format") == "money":
            words = words.removesuffix(" minor")
        return f"“{view.label or words}”"
    return sentence("the {fact}", fact=stored_sentence(readable(path.partition(".")[2]).lower()))


def _place(path: str, schema: Any) -> tuple[SchemaView, str]:
    view = SchemaView.of(schema)
    names = path.removeprefix(_PAYLOAD).split(".")
    for name in names:
        view = view.member(name)
    return view, "".join(f"/{name}" for name in names)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return sentence("yes") if value else sentence("no")
    return "" if value is None or isinstance(value, dict | list) else str(value)


def _cut(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _conjuncts(condition: str) -> list[str]:
    """Split a CEL condition at `&&` outside of quotes and brackets."""
    found, depth, quote, start = [], 0, "", 0
    place = 0
    while place < len(condition):
        sign = condition[place]
        if quote:
            if sign == "\\":
                place += 1
            elif sign == quote:
                quote = ""
        elif sign in "'\"":
            quote = sign
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
        elif depth == 0 and condition.startswith("||", place):
            return [condition.strip()]
        elif depth == 0 and condition.startswith("&&", place):
            found.append(condition[start:place].strip())
            start = place = place + 2
            continue
        place += 1
    return [*found, condition[start:].strip()]
