"""Upper bound on the cost of one evaluation, in units of about 0.1 µs.

The model is that of cel-go (`checker/cost.go`): every node has a cost, a loop multiplies the cost of its body by the
size of its range, and a comparison costs the size of the smaller operand. The factors are measured with the engine used
here, which neither counts costs nor can be interrupted, and are at least what it takes.

The engine ends an evaluation after `MAX_STEPS` steps of all loops together, so nested loops cost no more than these.

A look-up of a key that a map does not have writes the whole key into an error, and `exists` and `all` go on after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from threada_site.kernel.cel.sizes import (
    BYTES_PER_UNIT,
    KEY_WEIGHT,
    SCALAR,
    Built,
    Size,
    Text,
    joined,
)
from threada_site.kernel.cel.tree import Tree

MAX_COST: Final = 2_500_000
"""Largest cost of one evaluation, during which no other thread of the process runs: about 0.25 s at the most."""
MAX_STEPS: Final = 10_000

_NODE: Final = 2.0
_STEP: Final = 3.0
_CONVERSION: Final = 15.0
_MEMBER: Final = 0.4
_BYTES_PER_UNIT_COUNTED: Final = 64
_BYTES_PER_UNIT_CONVERTED: Final = 8
_BYTES_PER_UNIT_SEARCHED: Final = 20
_BYTES_PER_UNIT_QUOTED: Final = 20
_CONTAINS: Final = 1 / 4000
_LOGIC: Final = ("_&&_", "_||_", "!_", "@not_strictly_false", "-_")
_CONSTANT_TIME: Final = ("_+_", "_-_", "_*_", "_/_", "_%_", "_[_]", *_LOGIC)

type _Operand = tuple[Any, Size]


def cost_of(tree: Tree, sizes: Mapping[str, Size], *, keys_missing: bool = True) -> float:
    """Return the bound for variables with these sizes. `keys_missing=False`: if all keys that are looked up exist."""
    cost, _ = _Bound(keys_missing=keys_missing).of(tree.root, sizes, 1)
    return cost


class _Bound:
    """Walk over a tree. `times`: how often a node is evaluated at the most; costs are those of one evaluation."""

    def __init__(self, *, keys_missing: bool) -> None:
        self._keys_missing = keys_missing

    def of(self, node: Any, sizes: Mapping[str, Size], times: float) -> tuple[float, Size]:
        match node.WhichOneof("kind"):
            case "constant":
                return _NODE, Text(len(node.constant.string.encode()) or len(node.constant.bytes))
            case "ident":
                return _NODE, sizes.get(node.ident.name, SCALAR)
            case "select":
                cost, operand = self.of(node.select.operand, sizes, times)
                return cost + _NODE, operand.field(node.select.field)
            case "call":
                return self._call(node.call, sizes, times)
            case "list":
                return self._list(node.list.elements, sizes, times)
            case "struct":
                return self._struct(node.struct.entries, sizes, times)
            case "loop":
                return self._loop(node.loop, sizes, times)
        return _NODE, SCALAR

    def _list(self, elements: Any, sizes: Mapping[str, Size], times: float) -> tuple[float, Size]:
        found = [self.of(element, sizes, times) for element in elements]
        weight = 1 + sum(size.weight for _, size in found)
        built = Built({}, joined([size for _, size in found]), count=len(found), weight=weight)
        return _NODE + sum(cost for cost, _ in found), built

    def _struct(self, entries: Any, sizes: Mapping[str, Size], times: float) -> tuple[float, Size]:
        cost, weight = _NODE, 1.0
        parts: list[Size] = []
        for entry in entries:
            for part in (entry.key, entry.value):
                part_cost, size = self.of(part, sizes, times)
                cost += part_cost + _NODE
                weight += size.weight + KEY_WEIGHT
                parts.append(size)
        return cost, Built({}, joined(parts), count=len(entries), weight=weight)

    def _loop(self, loop: Any, sizes: Mapping[str, Size], times: float) -> tuple[float, Size]:
        range_cost, over = self.of(loop.range, sizes, times)
        init_cost, init = self.of(loop.init, sizes, times)
        steps = min(over.count, MAX_STEPS / times)
        inner = {**sizes, loop.result: init, loop.variable: over.looped()}
        if loop.second_variable:
            inner |= {loop.variable: joined([SCALAR, over.looped()]), loop.second_variable: over.child()}
        inside = min(times * max(steps, 1), MAX_STEPS)
        each = _STEP + self.of(loop.go_on, inner, inside)[0] + self.of(loop.step, inner, inside)[0]
        end_cost, end = self.of(loop.end, inner, times)
        return range_cost + init_cost + steps * each + end_cost, end

    def _call(self, call: Any, sizes: Mapping[str, Size], times: float) -> tuple[float, Size]:
        nodes = [*([call.target] if call.HasField("target") else []), *call.args]
        found = [self.of(node, sizes, times) for node in nodes]
        costs, operands = [cost for cost, _ in found], [size for _, size in found]
        if call.function == "_?_:_":
            return _NODE + costs[0] + max(costs[1:]), joined(operands[1:])
        own, result = _of_function(call.function, list(zip(nodes, operands, strict=True)))
        if self._keys_missing and call.function == "_[_]":
            own += operands[1].text / _BYTES_PER_UNIT_QUOTED
        return _NODE + sum(costs) + own, result


def _of_function(name: str, operands: list[_Operand]) -> tuple[float, Size]:
    """Return the cost of a call beside its operands, and the size of its value."""
    sizes = [size for _, size in operands]
    if name == "_[_]":
        return _keys(sizes[1]), _entry(operands)
    if name in _CONSTANT_TIME:
        return _NODE, SCALAR
    if name in ("_==_", "_!=_"):
        return min(size.weight for size in sizes), SCALAR
    if rule := _RULES.get(name):
        return rule(sizes), SCALAR
    if name in ("string", "bytes"):
        return _CONVERSION + sizes[0].text / _BYTES_PER_UNIT_COUNTED, Text(max(sizes[0].text, 64))
    if name == "dyn":
        return _NODE, sizes[0]
    return _CONVERSION + sum(size.text / _BYTES_PER_UNIT_CONVERTED for size in sizes), SCALAR


def _entry(operands: list[_Operand]) -> Size:
    (_, container), (key, _) = operands
    is_name = key.WhichOneof("kind") == "constant" and key.constant.HasField("string")
    return container.field(key.constant.string) if is_name else container.child()


def _ordered(sizes: list[Size]) -> float:
    return min(size.text for size in sizes) / BYTES_PER_UNIT


def _member(sizes: list[Size]) -> float:
    """Return the cost of `value in container`: a comparison with each item of a list, or one key of a map."""
    value, container = sizes
    compared = min(value.weight, container.child().weight) - 1
    return _keys(value) + container.count * _MEMBER + min(container.weight, container.count * compared)


def _keys(key: Size) -> float:
    return _NODE + key.text / BYTES_PER_UNIT


def _contains(sizes: list[Size]) -> float:
    text, part = sizes
    return text.text * (1 / _BYTES_PER_UNIT_SEARCHED + part.text * _CONTAINS)


_RULES: Final[Mapping[str, Callable[[list[Size]], float]]] = {
    "_<_": _ordered,
    "_<=_": _ordered,
    "_>_": _ordered,
    "_>=_": _ordered,
    "@in": _member,
    "size": lambda sizes: sizes[0].text / _BYTES_PER_UNIT_COUNTED,
    "contains": _contains,
    "startsWith": _ordered,
    "endsWith": _ordered,
    "type": lambda _sizes: _CONVERSION,
}
