"""Compiled expressions and their evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Final

from cel_expr_python import cel

from threada_site.kernel.cel.environment import new_environment, position, read_problems, readable
from threada_site.kernel.cel.tree import Tree
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.errors import JsonNotInteroperable
from threada_site.kernel.interop import check_value

ENGINE: Final = f"cel-expr-python {version('cel-expr-python')}"
MAX_LENGTH: Final = 4096

_BOOL: Final = cel.Type.BOOL
_DYNAMIC: Final = cel.Type.DYN
_ERROR: Final = cel.Type.ERROR


class ExpressionError(Exception):
    """An expression that does not compile, or that has no usable value for the facts at hand.

    Line and column count from 1; evaluation knows neither.
    """

    def __init__(self, message: str, *, line: int | None = None, column: int | None = None) -> None:
        self.message = message
        self.line = line
        self.column = column
        super().__init__(message)


class BoundFacts:
    """Facts handed to the engine once for many expressions: most of a short evaluation is converting them."""

    __slots__ = ("activation", "variables")

    def __init__(self, facts: Mapping[str, Any], *, variables: tuple[str, ...]) -> None:
        self.variables = variables
        self.activation = _environment(variables).Activation(dict(facts))


type Facts = Mapping[str, Any] | BoundFacts
"""I-JSON by variable name. The engine cuts strings at U+0000, so nothing that `interop` refuses may get here."""


@dataclass(frozen=True, slots=True)
class Expression:
    """One compiled expression. Evaluating it raises `ExpressionError` for missing keys, wrong types and overflows."""

    source: str
    variables: tuple[str, ...]
    lists: frozenset[str] | None = field(compare=False)
    """The members of the variable `lists` it reads; None when it may read any."""
    may_be_truth: bool = field(compare=False)
    """False when it can never say true or false, as `1 + 1`."""
    program: cel.Expression = field(repr=False, compare=False)

    def truth(self, facts: Facts) -> bool:
        """Whether the expression holds. Anything but a plain true or false raises."""
        result = _evaluate(self.program, facts, self.variables)
        value = result.value() if result.type() == _BOOL else None
        if value is True or value is False:
            return value
        raise ExpressionError(f"It must say true or false, and says {result.type().name().lower()}.")

    def value(self, facts: Facts) -> Any:
        """The expression's value as I-JSON; instants become RFC 3339 text. Raises for whatever JSON cannot say."""
        result = _evaluate(self.program, facts, self.variables)
        try:
            plain = _as_json(result.plain_value())
            check_value(plain)
        except JsonNotInteroperable as error:
            raise ExpressionError(error.detail) from None
        except (RuntimeError, TypeError, ValueError) as error:
            raise ExpressionError(readable(str(error))) from None
        return plain


@dataclass(frozen=True, slots=True)
class Conjoint:
    """Several conditions evaluated as one list, which costs a third of evaluating each by itself."""

    size: int
    variables: tuple[str, ...]
    program: cel.Expression = field(repr=False)

    def truths(self, facts: BoundFacts) -> list[bool] | None:
        """Every condition's answer in order; None when any has none, and each must be asked by itself."""
        try:
            result = self.program.eval(facts.activation)
            answers = result.plain_value()
        except (RuntimeError, TypeError, ValueError):
            return None
        if type(answers) is not list or len(answers) != self.size:
            return None
        return answers if all(answer is True or answer is False for answer in answers) else None


def compile_expression(source: str, *, variables: tuple[str, ...]) -> Expression:
    """Compile `source` over dynamic `variables`. Raises `ExpressionError` with the first problem's line and column."""
    try:
        length = len(source.encode())
    except UnicodeEncodeError:
        raise ExpressionError("It holds a lone surrogate, which is no Unicode text.", line=1, column=1) from None
    if length > MAX_LENGTH:
        raise ExpressionError(f"It is longer than {MAX_LENGTH} bytes.", line=1, column=1)
    return _compile(source, variables)


def compile_conjoint(conditions: Sequence[Expression]) -> Conjoint | None:
    """The conditions as one list; None when the engine cannot take them together (nesting, mixed types)."""
    if not conditions:
        return None
    variables = conditions[0].variables
    source = "[" + ",".join(f"({condition.source}\n)" for condition in conditions) + "]"
    try:
        program = _guarded(source, variables)[0]
    except ExpressionError:
        return None
    return Conjoint(len(conditions), variables, program)


@lru_cache(maxsize=4096)
def _compile(source: str, variables: tuple[str, ...]) -> Expression:
    program, tree = _guarded(source, variables)
    lists = tree.members_of("lists") if "lists" in variables else frozenset()
    kind = program.return_type()
    return Expression(source, variables, lists, kind in (_BOOL, _DYNAMIC), program)


def _guarded(source: str, variables: tuple[str, ...]) -> tuple[cel.Expression, Tree]:
    if "\x00" in source:
        raise ExpressionError("It holds U+0000, behind which the engine would not read.", line=1, column=1)
    environment = _environment(variables)
    try:
        program = environment.compile(source)
    except RuntimeError as error:
        first = read_problems(str(error))[0]
        raise ExpressionError(first.message, line=first.line, column=first.column) from None
    tree = Tree(program)
    for refusal in tree.refusals():
        line, column = position(source, refusal.offset)
        raise ExpressionError(refusal.message, line=line, column=column)
    return tree.without_dynamic_addition(environment) or program, tree


@lru_cache(maxsize=16)
def _environment(variables: tuple[str, ...]) -> cel.Env:
    return new_environment(dict.fromkeys(variables, _DYNAMIC))


def _evaluate(program: cel.Expression, facts: Facts, variables: tuple[str, ...]) -> cel.Value:
    bound = facts if isinstance(facts, BoundFacts) else BoundFacts(facts, variables=variables)
    try:
        result = program.eval(bound.activation)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ExpressionError(readable(str(error))) from None
    if result.type() == _ERROR:
        raise ExpressionError(readable(str(result.value())))
    return result


def _as_json(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _as_json(node[key]) for key in sorted(node, key=str)}
    if isinstance(node, list):
        return [_as_json(child) for child in node]
    return rfc3339(node) if isinstance(node, datetime) else node
