"""Compiled expressions and their evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from cel_expr_python import cel

from threada_site.kernel.cel.environment import new_environment, readable, read_problems
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.errors import JsonNotInteroperable
from threada_site.kernel.interop import check_value

ENGINE: Final = "cel-expr-python 0.1.3"
MAX_LENGTH: Final = 4096


class ExpressionError(Exception):
    """An expression that does not compile, or that has no usable value for the facts at hand."""

    def __init__(
        self, message: str, *, line: int | None = None, column: int | None = None
    ) -> None:
        self.message = message
        self.line = line
        self.column = column
        super().__init__(message)


@dataclass(frozen=True)
class Expression:
    """One compiled expression. Missing keys, wrong types and overflows raise `ExpressionError`."""

    source: str
    _program: cel.Expression = field(repr=False, compare=False)

    def truth(self, facts: Mapping[str, Any]) -> bool:
        """Whether the expression holds. Anything but a plain true or false raises."""
        result = _evaluate(self._program, facts)
        value = result.value() if result.type() == cel.Type.BOOL else None
        if value is True or value is False:
            return value
        raise ExpressionError(
            f"It must say true or false, and says {_type_name(result)}."
        )

    def value(self, facts: Mapping[str, Any]) -> Any:
        """The expression's value as I-JSON; instants become RFC 3339 text. Raises for whatever JSON cannot say."""
        plain = _as_json(_evaluate(self._program, facts).plain_value())
        try:
            check_value(plain)
        except JsonNotInteroperable as error:
            raise ExpressionError(error.detail) from None
        return plain


def compile_expression(source: str, *, variables: tuple[str, ...]) -> Expression:
    """Compile `source` over dynamic `variables`. Raises `ExpressionError` with the first problem's line and column."""
    if len(source.encode("utf-8", "surrogatepass")) > MAX_LENGTH:
        raise ExpressionError(
            f"It is longer than {MAX_LENGTH} bytes.", line=1, column=1
        )
    return _compile(source, variables)


@lru_cache(maxsize=4096)
def _compile(source: str, variables: tuple[str, ...]) -> Expression:
    try:
        program = _environment(variables).compile(source)
    except RuntimeError as error:
        first = read_problems(str(error))[0]
        raise ExpressionError(
            first.message, line=first.line, column=first.column
        ) from None
    return Expression(source, program)


@lru_cache(maxsize=16)
def _environment(variables: tuple[str, ...]) -> cel.Env:
    return new_environment(dict.fromkeys(variables, cel.Type.DYN))


def _evaluate(program: cel.Expression, facts: Mapping[str, Any]) -> cel.Value:
    try:
        result = program.eval(data=facts)
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise ExpressionError(readable(str(error))) from None
    if result.type() == cel.Type.ERROR:
        raise ExpressionError(readable(str(result.value())))
    return result


def _type_name(result: cel.Value) -> str:
    return str(result.type().name()).lower()


def _as_json(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _as_json(node[key]) for key in sorted(node, key=str)}
    if isinstance(node, list):
        return [_as_json(child) for child in node]
    return rfc3339(node) if isinstance(node, datetime) else node
