"""Compiled expressions and their evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Final

import orjson
from cel_expr_python import cel

from threada_site.kernel.cel.actual_sizes import TooManyValuesError, actual_sizes
from threada_site.kernel.cel.cost import MAX_COST, cost_of
from threada_site.kernel.cel.environment import new_environment, position, read_problems, readable
from threada_site.kernel.cel.sizes import AnyValue, Size, size_of_any_lists, size_of_lists
from threada_site.kernel.cel.tree import Tree
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.errors import JsonNotInteroperable
from threada_site.kernel.json.strict import check_value
from threada_site.kernel.weighted_cache import WeightedCache

ENGINE: Final = f"cel-expr-python {version('cel-expr-python')}"
MAX_LENGTH: Final = 4096

_BOOL: Final = cel.Type.BOOL
_DYNAMIC: Final = cel.Type.DYN
_ERROR: Final = cel.Type.ERROR
_NEGATION: Final = "-_("
_LISTS: Final = "lists"

ORDINARY_BYTES: Final = 1024 * 1024
"""Size of facts up to which conditions that are evaluated together are known to be cheap enough."""
_LARGEST_BYTES: Final = 64 * 1024 * 1024
_MOST_LISTED: Final = 10_000

_OWN_WEIGHT: Final = 20
_MOST_KEPT: Final = 400_000
"""Bytes of source. One takes about 100 bytes of memory when it is compiled."""


class ExpressionError(Exception):
    """Error for an expression that does not compile, or that has no usable value for the given facts.

    Line and column count from 1; errors of evaluation have neither.
    """

    def __init__(self, message: str, *, line: int | None = None, column: int | None = None) -> None:
        self.message = message
        self.line = line
        self.column = column
        super().__init__(message)


class ExpressionTooExpensive(ExpressionError):
    """Refusal to evaluate an expression, because it could hold the process for too long with these facts."""

    def __init__(self, cost: float) -> None:
        super().__init__(
            f"It may cost {cost:,.0f} units with these facts; {MAX_COST:,} are allowed. Compare less inside of loops, "
            "or shorten the payload."
        )


class BoundFacts:
    """Facts converted for the engine once for many expressions. Conversion takes most of a short evaluation."""

    __slots__ = ("_facts", "_size_known", "_sizes", "activation")

    def __init__(self, facts: Mapping[str, Any], *, variables: tuple[str, ...]) -> None:
        self.activation = _environment(variables).Activation(dict(facts))
        self._facts = facts
        self._sizes: dict[str, Size] | None = None
        self._size_known: float | None = None

    @property
    def is_ordinary(self) -> bool:
        """Return True if the facts beside lists have at most `ORDINARY_BYTES`."""
        return self._size() <= ORDINARY_BYTES

    def cost_of(self, source: str, variables: tuple[str, ...]) -> float:
        """Return a bound for these facts: from their size alone if that suffices, else from each of them."""
        rough = _rough_cost(source, variables, _next_power(self._size()))
        if rough <= MAX_COST:
            return rough
        if self._sizes is None:
            self._sizes = actual_sizes(self._facts) | _sizes_of_lists(self._facts)
        try:
            return cost_of(_tree(source, variables), self._sizes)
        except TooManyValuesError:
            return rough

    def _size(self) -> float:
        if self._size_known is None:
            self._size_known = _json_size({name: value for name, value in self._facts.items() if name != _LISTS})
        return self._size_known


type Facts = Mapping[str, Any] | BoundFacts
"""I-JSON by variable name. The engine cuts strings at U+0000, so nothing that `interop` refuses may get here."""


@dataclass(frozen=True, slots=True)
class Expression:
    """One compiled expression. Evaluation raises `ExpressionError` for missing keys, wrong types and overflows."""

    source: str
    variables: tuple[str, ...]
    lists: frozenset[str] | None = field(compare=False)
    """The members of the variable `lists` it reads; None when it may read any."""
    loops: bool = field(compare=False)
    """True if it goes over a list or map."""
    cost: float = field(compare=False)
    """Largest cost for facts of at most `ORDINARY_BYTES`."""
    largest_cost: float = field(compare=False)
    """Largest cost for facts of any size. Above `MAX_COST`, the facts are measured before each evaluation."""
    may_be_truth: bool = field(compare=False)
    """False when it can never say true or false, as `1 + 1`."""
    _program: cel.Expression = field(repr=False, compare=False)
    _adds_dynamically: bool = field(repr=False, compare=False)

    def truth(self, facts: Facts) -> bool:
        """Return the boolean value of the expression. Raise for any other value."""
        result = self._evaluate(facts)
        value = result.value() if result.type() == _BOOL else None
        if value is True or value is False:
            return value
        raise ExpressionError(f"It must say true or false, and says {result.type().name().lower()}.")

    def value(self, facts: Facts) -> Any:
        """Return the value as I-JSON; instants become RFC 3339 text. Raise for values that JSON cannot represent."""
        result = self._evaluate(facts)
        try:
            plain = _as_json(result.plain_value())
            check_value(plain)
        except JsonNotInteroperable as error:
            raise ExpressionError(error.detail) from None
        except (RuntimeError, TypeError, ValueError) as error:
            raise ExpressionError(readable(str(error))) from None
        return plain

    def _evaluate(self, facts: Facts) -> cel.Value:
        bound = facts if isinstance(facts, BoundFacts) else BoundFacts(facts, variables=self.variables)
        self._check_cost(bound)
        try:
            result = self._program.eval(bound.activation)
        except (RuntimeError, TypeError, ValueError) as error:
            raise ExpressionError(readable(str(error))) from None
        if result.type() != _ERROR:
            return result
        message = readable(str(result.value()))
        if self._adds_dynamically and _NEGATION in message:
            message = f"+ adds numbers only. {message}"
        raise ExpressionError(message)

    def _check_cost(self, facts: BoundFacts) -> None:
        """Raise `ExpressionTooExpensive` if the evaluation may cost more than `MAX_COST`."""
        if self.largest_cost <= MAX_COST or (self.cost <= MAX_COST and facts.is_ordinary):
            return
        cost = facts.cost_of(self.source, self.variables)
        if cost > MAX_COST:
            raise ExpressionTooExpensive(cost)


@dataclass(frozen=True, slots=True)
class ConditionList:
    """Several conditions evaluated as one list, which takes a third of the time of single evaluations.

    It does not check the costs of its conditions.
    """

    size: int
    _program: cel.Expression = field(repr=False)

    def truths(self, facts: BoundFacts) -> list[bool] | None:
        """Return the values of all conditions in order; None if one has none and each must be evaluated alone."""
        try:
            answers = self._program.eval(facts.activation).plain_value()
        except (RuntimeError, TypeError, ValueError):
            return None
        if type(answers) is not list or len(answers) != self.size or set(map(type, answers)) != {bool}:
            return None
        return answers


_compiled: Final = WeightedCache[tuple[str, tuple[str, ...]], Expression](max_weight=_MOST_KEPT)
_lists: Final = WeightedCache[tuple[str, tuple[str, ...]], ConditionList](max_weight=_MOST_KEPT)


def compile_expression(source: str, *, variables: tuple[str, ...]) -> Expression:
    """Compile `source` over dynamic `variables`. Raise `ExpressionError` with the position of the first error."""
    try:
        length = len(source.encode())
    except UnicodeEncodeError:
        raise ExpressionError("It holds a lone surrogate, which is no Unicode text.", line=1, column=1) from None
    if length > MAX_LENGTH:
        raise ExpressionError(f"It is longer than {MAX_LENGTH} bytes.", line=1, column=1)
    return _compile(source, variables)


def compile_tree(source: str, *, variables: tuple[str, ...]) -> Tree:
    """Return the syntax tree of an expression. Raise the errors of `compile_expression`."""
    compile_expression(source, variables=variables)
    return _guarded(source, variables)[0]


def worst_cost(source: str, *, variables: tuple[str, ...], sizes: Mapping[str, Size]) -> float:
    """Return the largest cost of an expression for facts of these sizes. Raise the errors of `compile_expression`.

    Keys count as present: only facts tell whether long keys are missing, and an evaluation with such facts is refused.
    """
    return cost_of(_tree(source, variables), sizes, keys_missing=False)


def compile_together(conditions: Sequence[Expression]) -> ConditionList | None:
    """Compile conditions with the same variables as one list; None if the engine does not support it."""
    if not conditions:
        return None
    source = "[" + ",".join(f"({condition.source}\n)" for condition in conditions) + "]"
    variables = conditions[0].variables
    known = _lists.get((source, variables))
    if known is None:
        try:
            _, program, _ = _guarded(source, variables)
        except ExpressionError:
            return None
        known = ConditionList(len(conditions), program)
        _lists.put((source, variables), known, weight=len(source) + _OWN_WEIGHT)
    return known


def _compile(source: str, variables: tuple[str, ...]) -> Expression:
    known = _compiled.get((source, variables))
    if known is None:
        known = _compile_source(source, variables)
        _compiled.put((source, variables), known, weight=len(source) + _OWN_WEIGHT)
    return known


def _compile_source(source: str, variables: tuple[str, ...]) -> Expression:
    tree, program, adds_dynamically = _guarded(source, variables)
    return Expression(
        source,
        variables,
        lists=tree.members_of("lists"),
        loops=tree.loops,
        cost=cost_of(tree, _unknown_sizes(variables, ORDINARY_BYTES)),
        largest_cost=cost_of(tree, _unknown_sizes(variables, _LARGEST_BYTES)),
        may_be_truth=program.return_type() in (_BOOL, _DYNAMIC),
        _program=program,
        _adds_dynamically=adds_dynamically,
    )


def _guarded(source: str, variables: tuple[str, ...]) -> tuple[Tree, cel.Expression, bool]:
    """Return the tree, the program that is safe to run, and True if the program differs from the tree."""
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
    numeric = tree.without_dynamic_addition(environment)
    return tree, numeric or program, numeric is not None


@lru_cache(maxsize=16)
def _environment(variables: tuple[str, ...]) -> cel.Env:
    return new_environment(dict.fromkeys(variables, _DYNAMIC))


def _as_json(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _as_json(node[key]) for key in sorted(node, key=str)}
    if isinstance(node, list):
        return [_as_json(child) for child in node]
    return rfc3339(node) if isinstance(node, datetime) else node


@lru_cache(maxsize=256)
def _tree(source: str, variables: tuple[str, ...]) -> Tree:
    return compile_tree(source, variables=variables)


@lru_cache(maxsize=4096)
def _rough_cost(source: str, variables: tuple[str, ...], size: int) -> float:
    """Return the largest cost for facts of `size` bytes, whatever they contain."""
    return cost_of(_tree(source, variables), _unknown_sizes(variables, size))


@lru_cache(maxsize=64)
def _unknown_sizes(variables: tuple[str, ...], size: int) -> Mapping[str, Size]:
    sizes: dict[str, Size] = dict.fromkeys(variables, AnyValue(size))
    return sizes | ({_LISTS: size_of_any_lists(_MOST_LISTED)} if _LISTS in variables else {})


def _sizes_of_lists(facts: Mapping[str, Any]) -> dict[str, Size]:
    lists = facts.get(_LISTS)
    if not isinstance(lists, Mapping):
        return {}
    return {_LISTS: size_of_lists({name: len(items) for name, items in lists.items()})}


def _next_power(size: float) -> int:
    return 1 << int(min(size, _LARGEST_BYTES)).bit_length()


def _json_size(facts: Mapping[str, Any]) -> float:
    try:
        return len(orjson.dumps(facts))
    except TypeError:  # no I-JSON
        return float(_LARGEST_BYTES)
