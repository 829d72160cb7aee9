"""The engine's environment, hardened, and the reading of its messages. Nothing outside this package imports the engine.

Excluded, because the engine limits neither time nor memory: `matches` (seconds over a long string), `map` and `filter`
(they build lists, in an order that differs between processes), `+` on strings, bytes and lists (nested loops double them
into gigabytes). `tree` closes what the checker cannot see: `+` over two dynamic operands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cel_expr_python import cel

_CONFIG: Final = """
stdlib:
  exclude_macros: [map, filter]
  exclude_functions:
    - name: matches
    - name: "_+_"
      overloads: [{id: add_string}, {id: add_bytes}, {id: add_list}]
"""
_PROBLEM: Final = re.compile(
    r"^(?:INVALID_ARGUMENT: )?ERROR: <input>:(\d+):(\d+): (.*?)(?: \(in container ''\))?$",
    re.MULTILINE,
)
_STATUS: Final = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")


@dataclass(frozen=True, slots=True)
class ExpressionProblem:
    """What is wrong at one place of an expression; line and column count from 1."""

    line: int
    column: int
    message: str


def new_environment(
    variables: Mapping[str, cel.Type], *, descriptor_pool: object = None
) -> cel.Env:
    """An environment that knows `variables` and the hardened standard library."""
    config = cel.NewEnvConfigFromYaml(_CONFIG)
    return cel.NewEnv(
        descriptor_pool=descriptor_pool, config=config, variables=variables
    )


def read_problems(message: str) -> list[ExpressionProblem]:
    """The problems in the engine's answer to an expression it does not compile; at least one."""
    found = [
        ExpressionProblem(int(line), int(column), detail.strip())
        for line, column, detail in _PROBLEM.findall(message)
    ]
    return found or [ExpressionProblem(1, 1, readable(message.partition("\n")[0]))]


def readable(message: str) -> str:
    """The engine's message without the status code around it."""
    return _STATUS.sub("", message.strip())
