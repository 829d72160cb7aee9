"""CEL expressions: the only wrapper of the engine. See docs/adr/0004-cel-for-conditions.md."""

from threada_site.kernel.cel.environment import ExpressionProblem
from threada_site.kernel.cel.expression import (
    ENGINE,
    MAX_LENGTH,
    BoundFacts,
    ConditionList,
    Expression,
    ExpressionError,
    compile_expression,
    compile_together,
)
from threada_site.kernel.cel.hardening import assert_hardened
from threada_site.kernel.cel.logic import Logic, logic_of
from threada_site.kernel.cel.typed import check_typed

__all__ = [
    "ENGINE",
    "MAX_LENGTH",
    "BoundFacts",
    "ConditionList",
    "Expression",
    "ExpressionError",
    "ExpressionProblem",
    "Logic",
    "assert_hardened",
    "check_typed",
    "compile_expression",
    "compile_together",
    "logic_of",
]
