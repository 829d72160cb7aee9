"""Hardened environment of the engine, and parsing of its messages. Only this package imports the engine.

Excluded, because the engine limits neither time nor memory: `matches` (seconds over a long string), `map` and
`filter` (they build lists, in an order that differs between processes), `+` on strings, bytes and lists (nested loops
double them into gigabytes). `tree` excludes what the checker cannot detect: `+` over two dynamic operands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cel_expr_python import cel

_CONFIG: Final = """
stdlib:
  exclude_macros: [map, filter]
  exclude_functions:
    - name: matches
    - name: "_+_"
      overloads: [{id: add_string}, {id: add_bytes}, {id: add_list}]
"""
_PROBLEM: Final = re.compile(r"^(?:INVALID_ARGUMENT: )?ERROR: <input>:(-?\d+):(-?\d+): (.*)$", re.MULTILINE)
_STATUS: Final = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")
_CONTAINER: Final = " (in container '')"
_EXCLUDED: Final = re.compile(r"undeclared reference to '(map|filter|matches)'$")
_ADDITION: Final = re.compile(r"found no matching overload for '_\+_' applied to '\((.*)\)'$")
_MAX_MESSAGE: Final = 300


@dataclass(frozen=True, slots=True)
class ExpressionProblem:
    """Error at one place of an expression. Line and column count from 1, in characters."""

    line: int
    column: int
    message: str


def new_environment(variables: Mapping[str, cel.Type], *, descriptor_pool: Any = None) -> cel.Env:
    """Return an environment with `variables` and the hardened standard library."""
    return cel.NewEnv(
        descriptor_pool=descriptor_pool, config=cel.NewEnvConfigFromYaml(_CONFIG), variables=dict(variables)
    )


def read_problems(message: str) -> list[ExpressionProblem]:
    """Return the errors in the engine's message about an expression; at least one, without duplicates.

    Excluded functions come first, because the engine also reports errors in their arguments.
    """
    problems = {
        ExpressionProblem(max(int(line), 1), max(int(column), 1), _explain(readable(detail))): None
        for line, column, detail in _PROBLEM.findall(message)
    }
    ordered = sorted(problems, key=lambda problem: " is not available" not in problem.message)
    return ordered or [ExpressionProblem(1, 1, readable(message.partition("\n")[0]))]


def readable(message: str) -> str:
    """Return the engine's message without its status code."""
    return _STATUS.sub("", message.strip()).replace(_CONTAINER, "")[:_MAX_MESSAGE]


def position(source: str, offset: int) -> tuple[int, int]:
    """Return line and column, from 1, of the character at `offset`."""
    before = source[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def _explain(detail: str) -> str:
    if excluded := _EXCLUDED.match(detail):
        return f"{excluded[1]} is not available in expressions."
    if addition := _ADDITION.match(detail):
        return f"+ adds numbers, instants and durations, not ({addition[1]})."
    return detail
