"""Proof, taken at start-up, that the engine refuses what it must: it ignores configuration keys it does not know."""

from __future__ import annotations

from typing import Final

from threada_site.kernel.cel.expression import (
    MAX_LENGTH,
    ExpressionError,
    compile_expression,
)

_MUST_BE_REFUSED: Final = (
    "'a'.matches('a')",
    "[1].map(x, x) == [1]",
    "[1].filter(x, true) == [1]",
    "'a' + 'b' == 'ab'",
    "[1] + [2] == [1, 2]",
    "'" + "a" * MAX_LENGTH + "' == ''",
)


def assert_hardened() -> None:
    """Raise `RuntimeError` when an expression that must be refused is accepted."""
    for source in _MUST_BE_REFUSED:
        try:
            compile_expression(source, variables=("item",)).truth({"item": {}})
        except ExpressionError:
            continue
        raise RuntimeError(f"The expression engine accepts {source[:80]!r}, which it must refuse.")
