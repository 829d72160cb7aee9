"""Syntax tree of the engine: unsafe constructs that the checker accepts, and the facts that an expression reads.

The engine returns its checked expression as a serialized `cel.expr.CheckedExpr` (github.com/google/cel-spec,
proto/cel/expr) without descriptors for it; the few fields read here are declared below, the others are preserved.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from cel_expr_python import cel
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE: Final = "threada.cel_tree"
_LAYOUT: Final[dict[str, tuple[tuple[str, int, str], ...]]] = {
    "Any": (("type_url", 1, "STRING"), ("value", 2, "BYTES")),
    "Checked": (("types", 3, "*TypeEntry"), ("expr", 4, "Expr"), ("source", 5, "Source")),
    "TypeEntry": (("id", 1, "INT64"), ("type", 2, "Type")),
    "Type": (("primitive", 3, "INT32"), ("well_known", 5, "INT32")),
    "Source": (("positions", 4, "*Position"),),
    "Position": (("id", 1, "INT64"), ("offset", 2, "INT32")),
    "Expr": (
        ("id", 2, "INT64"),
        ("constant", 3, "Constant"),
        ("ident", 4, "Ident"),
        ("select", 5, "Select"),
        ("call", 6, "Call"),
        ("list", 7, "List"),
        ("struct", 8, "Struct"),
        ("loop", 9, "Loop"),
    ),
    "Constant": (("bool", 2, "BOOL"), ("string", 6, "STRING"), ("bytes", 7, "BYTES")),
    "Ident": (("name", 1, "STRING"),),
    "Select": (("operand", 1, "Expr"), ("field", 2, "STRING"), ("test_only", 3, "BOOL")),
    "Call": (("target", 1, "Expr"), ("function", 2, "STRING"), ("args", 3, "*Expr")),
    "List": (("elements", 1, "*Expr"),),
    "Struct": (("name", 1, "STRING"), ("entries", 2, "*Entry")),
    "Entry": (("key", 3, "Expr"), ("value", 4, "Expr")),
    "Loop": (
        ("variable", 1, "STRING"),
        ("range", 2, "Expr"),
        ("result", 3, "STRING"),
        ("init", 4, "Expr"),
        ("go_on", 5, "Expr"),
        ("step", 6, "Expr"),
        ("end", 7, "Expr"),
        ("second_variable", 8, "STRING"),
    ),
}
type Path = tuple[str, ...]
_INT, _UINT, _DOUBLE = 2, 3, 4
_TIMESTAMP, _DURATION = 2, 3
_ARITHMETIC: Final = ("_+_", "_-_", "_*_", "_/_")
_PARTS_OF_TIME: Final = (
    *("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"),
    *("getHours", "getMinutes", "getSeconds", "getMilliseconds"),
)
_TIME_ZONE: Final = re.compile(r"(?!.{65})(?:[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*|[+-]?[0-9]{2}:[0-9]{2})")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Node that must not run: its offset in the source (code points, from 0) and the reason."""

    offset: int
    message: str


class Tree:
    """Tree of one compiled expression."""

    def __init__(self, program: cel.Expression) -> None:
        self._wrapped = _CLASSES["Any"].FromString(program.serialize())
        self._checked = _CLASSES["Checked"].FromString(self._wrapped.value)
        self._types = {entry.id: entry.type for entry in self._checked.types}
        self.root = self._checked.expr

    def refusals(self) -> Iterator[Refusal]:
        """Yield nodes that build protobuf messages, unsafe time zones, and lists or maps of facts that a loop builds
        and loops over.

        The latter multiply a value with every nesting level: with `[[x, x, x, x]].exists(y, …)` one comparison takes
        0.16 s at eleven levels, four times as long with each further level, and cannot be interrupted.

        The engine opens the file that a time zone names, also by an absolute path: `getHours("/dev/ptmx")` never
        returns and holds the interpreter. It keeps every name in memory for good. So names are written out.
        """
        for node, loops_around in _walk(self.root):
            kind = _kind(node)
            if kind == "struct" and node.struct.name:
                yield Refusal(self._offset(node), "An expression cannot build a protobuf message.")
            elif _calls(node, *_PARTS_OF_TIME) and not all(map(_is_time_zone, node.call.args)):
                yield Refusal(
                    self._offset(node),
                    "A time zone is written out as a name or an offset, as 'Europe/Berlin' or '+01:00'.",
                )
            elif kind == "loop" and loops_around:
                built = next((inner for inner, _ in _walk(node.loop.range) if _is_built_from_facts(inner)), None)
                if built is not None:
                    yield Refusal(
                        self._offset(built), "A list or map made of facts inside a loop cannot be looped over in turn."
                    )

    def without_dynamic_addition(self, environment: cel.Env) -> cel.Expression | None:
        """Return the program with `a + b` over dynamic operands replaced by `a - (-b)`; None if there are none.

        The checker refuses `+` on strings and lists where it knows the types; the engine itself adds all values.
        Subtraction has the same result for numbers and is refused for other types.
        """
        fresh = 1 + max((entry.id for entry in self._checked.source.positions), default=0)
        changed = False
        for node, _ in _walk(self.root):
            if _calls(node, "_+_") and not any(self._is_addable(operand) for operand in node.call.args):
                negated = type(node)(id=fresh)
                negated.call.function = "-_"
                negated.call.args.append(node.call.args[1])
                node.call.function = "_-_"
                node.call.args[1].CopyFrom(negated)
                fresh += 1
                changed = True
        if not changed:
            return None
        self._wrapped.value = self._checked.SerializeToString()
        return environment.deserialize(self._wrapped.SerializeToString())

    def members_of(self, variable: str) -> frozenset[str] | None:
        """Return the names read from `variable` (`variable.name`, `variable["name"]`); None for other uses."""
        names: set[str] = set()
        other_uses = 0
        for node, _ in _walk(self.root):
            if _is_variable(node, variable):
                other_uses += 1
            elif _kind(node) == "select" and _is_variable(node.select.operand, variable):
                names.add(node.select.field)
                other_uses -= 1
            elif _calls(node, "_[_]") and _is_variable(node.call.args[0], variable):
                key = node.call.args[1]
                if _kind(key) == "constant" and key.constant.HasField("string"):
                    names.add(key.constant.string)
                    other_uses -= 1
        return None if other_uses else frozenset(names)

    @property
    def loops(self) -> bool:
        """Return True if the expression loops over a list or map. It may take seconds and cannot be interrupted."""
        return any(_kind(node) == "loop" for node, _ in _walk(self.root))

    def arithmetic_on_doubles(self) -> Iterator[int]:
        """Yield offsets of double fields in arithmetic without `double(…)` around them.

        JSON writes 5 and 5.0 alike, so such a field sometimes arrives as an int, and CEL does not mix both types.
        """
        for node, _ in _walk(self.root):
            if _calls(node, *_ARITHMETIC):
                for operand in node.call.args:
                    if _kind(operand) == "select" and self._type(operand).primitive == _DOUBLE:
                        yield self._offset(operand)

    def conjuncts(self) -> list[Any]:
        """Return the operands of the outermost `&&`, which must all hold; the node itself if there is no `&&`."""
        found, pending = [], [self.root]
        while pending:
            node = pending.pop()
            if _calls(node, "_&&_"):
                pending += reversed(node.call.args)
            else:
                found.append(node)
        return found

    def _is_addable(self, node: Any) -> bool:
        known = self._type(node)
        return known.primitive in (_INT, _UINT, _DOUBLE) or known.well_known in (_TIMESTAMP, _DURATION)

    def _type(self, node: Any) -> Any:
        return self._types.get(node.id, _UNKNOWN)

    def _offset(self, node: Any) -> int:
        return next((entry.offset for entry in self._checked.source.positions if entry.id == node.id), 0)


def settled(node: Any) -> bool | None:
    """Return the value of a condition if it does not depend on facts, else None.

    As in the engine, false on either side of `&&`, and true on either side of `||`, decide the result even if the
    other side fails.
    """
    if _kind(node) == "constant" and node.constant.HasField("bool"):
        return bool(node.constant.bool)
    if _calls(node, "!_"):
        inner = settled(node.call.args[0])
        return None if inner is None else not inner
    if _calls(node, "_&&_", "_||_"):
        decides = node.call.function == "_||_"
        sides = [settled(argument) for argument in node.call.args]
        return decides if decides in sides else None if None in sides else not decides
    return None


def comparison_with_text(node: Any) -> tuple[str, str] | None:
    """Return `("ctx.action", "pay")` for `ctx.action == 'pay'` and `'pay' == ctx.action`, else None."""
    if not _calls(node, "_==_"):
        return None
    for fact, text in (node.call.args, reversed(node.call.args)):
        if _kind(text) == "constant" and text.constant.HasField("string") and _kind(fact) == "select":
            operand = fact.select.operand
            if _kind(operand) == "ident":
                return f"{operand.ident.name}.{fact.select.field}", text.constant.string
    return None


def texts_compared_with(root: Any, fact: str) -> Iterator[tuple[str, str]]:
    """Yield what an expression compares `fact` with, such as `ctx.action`, by `==`, `!=` or `in`.

    `("text", "pay")` for a text, also one of a list that is written out; `("list", "name")` for `in lists.name`.
    """
    for node, _ in _walk(root):
        if not _calls(node, "_==_", "_!=_", "@in"):
            continue
        one, other = node.call.args
        compared = other if _named(one) == fact else one if _named(other) == fact else None
        if compared is None or (node.call.function == "@in" and compared is one):
            continue
        listed = compared.list.elements if _kind(compared) == "list" else [compared]
        for value in listed:
            if _kind(value) == "constant" and value.constant.HasField("string"):
                yield "text", value.constant.string
        name = _named(compared) or ""
        if name.startswith("lists."):
            yield "list", name.removeprefix("lists.")


def paths_read(root: Any, variable: str) -> tuple[frozenset[Path], frozenset[Path]]:
    """Return the paths that are read from `variable`, and those that `has` or `in` tests for.

    A path through another one stands for both. Computed keys end a path.
    """
    read: set[Path] = set()
    tested: set[Path] = set()
    for node, _ in _walk(root):
        path = _path(node, variable)
        if path:
            (tested if node.select.test_only else read).add(path)
        elif _calls(node, "@in") and _kind(node.call.args[0]) == "constant":
            container = _path(node.call.args[1], variable)
            if container is not None:
                tested.add((*container, node.call.args[0].constant.string))
    passed = {path[:length] for path in read | tested for length in range(len(path))}
    return frozenset(read - passed), frozenset(tested)


def _path(node: Any, variable: str) -> Path | None:
    """Return the names that lead from `variable` to a node: () for the variable, None for another node."""
    if _is_variable(node, variable):
        return ()
    if _kind(node) == "select":
        operand, name = node.select.operand, node.select.field
    elif _calls(node, "_[_]") and _kind(node.call.args[1]) == "constant" and node.call.args[1].constant.string:
        operand, name = node.call.args[0], node.call.args[1].constant.string
    else:
        return None
    path = _path(operand, variable)
    return None if path is None else (*path, name)


def _named(node: Any) -> str | None:
    """Return `ctx.action` for a node that selects the field `action` of the variable `ctx`, else None."""
    if _kind(node) != "select" or _kind(node.select.operand) != "ident":
        return None
    return f"{node.select.operand.ident.name}.{node.select.field}"


def identity(node: Any) -> bytes:
    """Return equal bytes for expressions that differ only in white space, brackets and comments."""
    bare = type(node)()
    bare.CopyFrom(node)
    for inner, _ in _walk(bare):
        inner.ClearField("id")
    return bare.SerializeToString(deterministic=True)  # type: ignore[no-any-return]


def _kind(node: Any) -> str | None:
    return node.WhichOneof("kind")  # type: ignore[no-any-return]


def _calls(node: Any, *functions: str) -> bool:
    return _kind(node) == "call" and node.call.function in functions


def _is_variable(node: Any, name: str) -> bool:
    return _kind(node) == "ident" and node.ident.name == name


def _is_time_zone(node: Any) -> bool:
    return _kind(node) == "constant" and _TIME_ZONE.fullmatch(node.constant.string) is not None


def _is_built_from_facts(node: Any) -> bool:
    return _kind(node) in ("list", "struct") and any(_kind(inner) == "ident" for inner, _ in _walk(node))


def _walk(node: Any, loops_around: int = 0) -> Iterator[tuple[Any, int]]:
    """Yield all nodes including `node`, parents first, with the number of enclosing loops."""
    yield node, loops_around
    kind = _kind(node)
    children: list[Any] = []
    if kind == "call":
        children = [*([node.call.target] if node.call.HasField("target") else []), *node.call.args]
    elif kind == "select":
        children = [node.select.operand]
    elif kind == "list":
        children = list(node.list.elements)
    elif kind == "struct":
        children = [part for entry in node.struct.entries for part in (entry.key, entry.value)]
    elif kind == "loop":
        yield from _walk(node.loop.range, loops_around)
        loops_around += 1
        children = [node.loop.init, node.loop.go_on, node.loop.step, node.loop.end]
    for child in children:
        yield from _walk(child, loops_around)


def _message_classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="threada/cel_tree.proto", package=_PACKAGE, syntax="proto2")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in _LAYOUT.items():
        message = file.message_type.add(name=name)
        if name == "Expr":
            message.oneof_decl.add(name="kind")
        for field_name, number, kind in fields:
            field = message.field.add(name=field_name, number=number)
            field.label = kinds.LABEL_REPEATED if kind.startswith("*") else kinds.LABEL_OPTIONAL
            if kind.lstrip("*") in _LAYOUT:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".{_PACKAGE}.{kind.lstrip('*')}"
                if name == "Expr":
                    field.oneof_index = 0
            else:
                field.type = kinds.Type.Value(f"TYPE_{kind}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _LAYOUT}


_CLASSES: Final = _message_classes()
_UNKNOWN: Final = _CLASSES["Type"]()
