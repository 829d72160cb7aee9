"""Checking an expression against the types of one workflow's payload."""

from __future__ import annotations

from typing import Any

from threada_site.kernel.cel.environment import ExpressionProblem
from threada_site.kernel.cel.expression import ExpressionError, compile_expression


def check_typed(
    source: str,
    *,
    payload_schema: dict[str, Any],
    variables: tuple[str, ...] = ("item", "ctx", "input", "lists"),
) -> list[ExpressionProblem]:
    """What is wrong with `source` for payloads of this JSON Schema; empty when nothing is."""
    try:
        compile_expression(source, variables=variables)
    except ExpressionError as error:
        return [ExpressionProblem(error.line or 1, error.column or 1, error.message)]
    return []
