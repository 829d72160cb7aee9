"""Type check of an expression for one workflow, so that misspelt fields are found before publication.

The engine never runs the checked form: at run time everything is dynamic. Errors that are stricter than the run time
(comparison of two number types, whole objects used as maps) are dropped.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, Literal

from cel_expr_python import cel

from threada_site.kernel.cel.environment import ExpressionProblem, new_environment, position, read_problems
from threada_site.kernel.cel.expression import Expression, ExpressionError, compile_expression
from threada_site.kernel.cel.shapes import DYNAMIC, MAX_FIELDS, PACKAGE, Shape, Shapes
from threada_site.kernel.cel.tree import Tree
from threada_site.kernel.json.canonical import canonical_bytes
from threada_site.kernel.weighted_cache import WeightedCache

type Facts = Mapping[str, Mapping[str, Any]]
"""JSON Schema of each fact by variable (`item`, `ctx`) and name."""

type Kind = Literal["integer", "texts", "any"]
"""Kind of a variable: a whole number, texts by name, or anything."""

_TYPES: Final[Mapping[Kind, cel.Type]] = {
    "integer": cel.Type.INT,
    "texts": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
    "any": cel.Type.DYN,
}
_UNDEFINED: Final = re.compile(r"undefined field '(.*)' not found in struct '(.*)'")
_NO_OVERLOAD: Final = re.compile(r"found no matching overload for '(.*)' applied to '\((.*)\)'")
_COMPARISONS: Final = frozenset({"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "@in"})
_NUMBERS: Final = frozenset({"int", "uint", "double", "list(int)", "list(uint)", "list(double)"})
_ON_MAPS: Final = frozenset({"_==_", "_!=_", "_[_]", "@in", "size"})
_RANGE: Final = re.compile(r"expression of type '(.*)' cannot be the range of a comprehension")
_SHAPE_NAME: Final = re.compile(rf"\b{re.escape(PACKAGE)}\.Shape\d+\b")
_NAMED: Final = 8
_WRITE_DOUBLE: Final = "A JSON number arrives as int or double. Write double(…) around both sides to calculate."


_MOST_KEPT: Final = 4 * 1024 * 1024
"""Bytes of payload schemas."""
_OWN_WEIGHT: Final = 50_000


class _Workflow:
    """Environment of the checker for one payload schema, and the names behind its types."""

    def __init__(self, facts: Facts, payload_schema: Any, input_schema: Any, lists: tuple[str, ...] | None) -> None:
        shapes = Shapes()
        self._types = {"lists": cel.Type.Map(cel.Type.STRING, cel.Type.List(cel.Type.DYN))}
        for variable, schemas in facts.items():
            kinds = {name: shapes.add_schema(f"{variable}.{name}", schema) for name, schema in schemas.items()}
            if variable == "item":
                kinds["payload"] = shapes.add_schema("item.payload", payload_schema)
            self._types[variable] = _type_of(shapes.add(variable, kinds))
        self._types["input"] = _type_of(shapes.add_schema("input", input_schema))
        if lists is not None and len(lists) <= MAX_FIELDS:
            self._types["lists"] = _type_of(shapes.add("lists", dict.fromkeys(lists, f"*{DYNAMIC}")))
        self.shapes = shapes.by_name
        self._pool = shapes.pool()
        self._environments: dict[tuple[str, ...], cel.Env] = {}

    def environment(self, variables: tuple[str, ...]) -> cel.Env:
        if variables not in self._environments:
            types = {name: self._types[name] for name in variables}
            self._environments[variables] = new_environment(types, descriptor_pool=self._pool)
        return self._environments[variables]


_workflows: Final = WeightedCache[tuple[bytes, bytes, bytes, tuple[str, ...] | None], _Workflow](max_weight=_MOST_KEPT)
_texts: Final = WeightedCache[int, tuple[Any, bytes]](max_weight=_MOST_KEPT)
"""The schema is part of the entry, so that its identity is not used for another object."""


def check_typed(
    source: str,
    *,
    facts: Facts,
    payload_schema: Any,
    input_schema: Any = None,
    lists: Collection[str] | None = None,
    variables: tuple[str, ...],
    is_condition: bool = True,
) -> list[ExpressionProblem]:
    """Return the errors of `source` for payloads that match this JSON Schema, in source order.

    `facts` contains the other facts. Without `input_schema` the input is dynamic, without `lists` every list name
    passes. Conditions cannot name a list whose name is no identifier. `is_condition` requires that the expression
    returns true or false.
    """
    try:
        expression = compile_expression(source, variables=variables)
    except ExpressionError as error:
        return [ExpressionProblem(error.line or 1, error.column or 1, error.message)]
    named = None if lists is None else tuple(sorted(filter(str.isidentifier, lists)))
    workflow = _workflow(facts, payload_schema, input_schema, named)
    try:
        program = workflow.environment(variables).compile(source)
    except RuntimeError as error:
        return list(_translated(read_problems(str(error)), source, workflow))
    problems = [
        ExpressionProblem(*position(source, offset), _WRITE_DOUBLE) for offset in Tree(program).arithmetic_on_doubles()
    ]
    return [*problems, *_no_truth(expression, program)] if is_condition else problems


def check_condition(source: str, *, kinds: Mapping[str, Kind]) -> list[ExpressionProblem]:
    """Return the errors of a condition over variables of these kinds, in source order."""
    try:
        expression = compile_expression(source, variables=tuple(kinds))
        program = _environment_of(tuple(kinds.items())).compile(source)
    except ExpressionError as error:
        return [ExpressionProblem(error.line or 1, error.column or 1, error.message)]
    except RuntimeError as error:
        return [problem for problem in read_problems(str(error)) if not _works_at_run_time(problem.message, {})]
    return list(_no_truth(expression, program))


@lru_cache(maxsize=16)
def _environment_of(kinds: tuple[tuple[str, Kind], ...]) -> cel.Env:
    return new_environment({name: _TYPES[kind] for name, kind in kinds})


def _no_truth(expression: Expression, program: cel.Expression) -> Iterator[ExpressionProblem]:
    """Yield the error of a condition that never gives true or false."""
    if not (expression.may_be_truth and program.return_type() in (cel.Type.BOOL, cel.Type.DYN)):
        kind = program.return_type().name().lower()
        yield ExpressionProblem(1, 1, f"A condition must say true or false, and this says {kind}.")


def _workflow(facts: Facts, payload_schema: Any, input_schema: Any, lists: tuple[str, ...] | None) -> _Workflow:
    payload_text = _canonical(payload_schema)
    key = canonical_bytes(facts), payload_text, canonical_bytes(input_schema), lists
    known = _workflows.get(key)
    if known is None:
        known = _Workflow(facts, payload_schema, input_schema, lists)
        _workflows.put(key, known, weight=len(payload_text) + _OWN_WEIGHT)
    return known


def _canonical(schema: Any) -> bytes:
    """Return canonical JSON. A large schema is checked with many conditions in turn, so its text is kept."""
    known = _texts.get(id(schema))
    if known is not None and known[0] is schema:
        return known[1]
    text = canonical_bytes(schema)
    _texts.put(id(schema), (schema, text), weight=len(text) + _OWN_WEIGHT)
    return text


def _type_of(kind: str) -> cel.Type:
    return cel.Type.DYN if kind == DYNAMIC or not kind.startswith(".") else cel.Type(kind[1:])


def _translated(problems: list[ExpressionProblem], source: str, workflow: _Workflow) -> Iterator[ExpressionProblem]:
    for problem in problems:
        if undefined := _UNDEFINED.fullmatch(problem.message):
            shape = workflow.shapes.get(undefined[2])
            if shape is None or not shape.is_open:
                yield _unknown_field(problem, undefined[1], shape, source)
        elif "*error*" not in problem.message and not _works_at_run_time(problem.message, workflow.shapes):
            yield ExpressionProblem(problem.line, problem.column, _worded(problem.message))


def _unknown_field(problem: ExpressionProblem, name: str, shape: Shape | None, source: str) -> ExpressionProblem:
    """Return the error at the field itself; the engine reports the dot before it."""
    line = source.split("\n")[problem.line - 1]
    column = problem.column + (line[problem.column - 1 : problem.column] == ".")
    if shape is None:
        return ExpressionProblem(problem.line, column, problem.message)
    nearest = difflib.get_close_matches(name, shape.fields, n=1)
    advice = f"Did you mean {shape.path}.{nearest[0]}?" if nearest else _known(shape)
    return ExpressionProblem(problem.line, column, f"{shape.path}.{name} is unknown. {advice}".rstrip())


def _known(shape: Shape) -> str:
    names = sorted(shape.fields)
    return f"Known are {', '.join(names[:_NAMED])}{' and others' if len(names) > _NAMED else ''}." if names else ""


def _worded(message: str) -> str:
    overload = _NO_OVERLOAD.fullmatch(message)
    if overload and all(operand in _NUMBERS for operand in overload[2].split(", ")):
        return _WRITE_DOUBLE
    return _SHAPE_NAME.sub("object", message)


def _works_at_run_time(message: str, shapes: Mapping[str, Shape]) -> bool:
    """Return True if the checker refuses what works at run time: objects as maps, mixed number types."""
    if ranged := _RANGE.match(message):
        return ranged[1] in shapes
    overload = _NO_OVERLOAD.fullmatch(message)
    if overload is None:
        return False
    function, operands = overload[1], overload[2].split(", ")
    if function in _ON_MAPS and any(_SHAPE_NAME.search(operand) for operand in operands):
        return True
    return function in _COMPARISONS and ("null_type" in operands or all(operand in _NUMBERS for operand in operands))
