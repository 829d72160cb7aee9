"""Self-test at start that the engine refuses excluded functions; it ignores unknown configuration keys."""

from __future__ import annotations

from typing import Final

from threada_site.kernel.cel.expression import MAX_LENGTH, ExpressionError, compile_expression

_TEN: Final = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"
_INSTANT: Final = "timestamp('2026-01-01T00:00:00Z')"
_REFUSED: Final = (
    "'a'.matches('a')",
    "[1].map(x, x) == [1]",
    "[1].filter(x, true) == [1]",
    "'a' + 'b' == 'ab'",
    "b'a' + b'b' == b'ab'",
    "[1] + [2] == [1, 2]",
    "item.text + item.text == 'aa'",
    "item.list + item.list == [1, 1]",
    "dyn('a') + dyn('b') == 'ab'",
    "item.list.all(x, [[x, x]].all(y, y == y))",
    "google.protobuf.BoolValue{value: true}",
    f"{_INSTANT}.getHours(item.zone) == 0",
    f"{_INSTANT}.getHours('/usr/share/zoneinfo/UTC') == 0",
    "item.missing",
    "item.text",
    "true\x00&& false",
    "(" * 40 + "true" + ")" * 40,
    "'" + "a" * MAX_LENGTH + "' != ''",
    f"{_TEN}.all(a, {_TEN}.all(b, {_TEN}.all(c, {_TEN}.all(d, true))))",
)
_ACCEPTED: Final = (
    "1 + 1 == 2 && item.number + item.number == 2",
    f"{_TEN}.all(a, {_TEN}.all(b, {_TEN}.exists(c, c == a)))",
    "has(item.text) && !has(item.missing) && item.number in item.list",
)
_FACTS: Final = {"item": {"text": "a", "list": [1], "number": 1, "zone": "UTC"}}


def assert_hardened() -> None:
    """Raise `RuntimeError` if an excluded expression is accepted, or an ordinary one is refused."""
    for source in _REFUSED:
        if _holds(source) is not None:
            raise RuntimeError(f"The expression engine accepts {source[:60]!r}, which it must refuse.")
    for source in _ACCEPTED:
        if _holds(source) is not True:
            raise RuntimeError(f"The expression engine does not evaluate {source[:60]!r} as it must.")


def _holds(source: str) -> bool | None:
    try:
        return compile_expression(source, variables=("item",)).truth(_FACTS)
    except ExpressionError:
        return None
