"""CEL expressions: the only wrapper of the engine. See docs/adr/0004-cel-for-conditions.md."""

from threada_site.kernel.cel.cost import MAX_COST
from threada_site.kernel.cel.environment import ExpressionProblem
from threada_site.kernel.cel.expression import (
    ENGINE,
    MAX_LENGTH,
    ORDINARY_BYTES,
    BoundFacts,
    ConditionList,
    Expression,
    ExpressionError,
    ExpressionTooExpensive,
    compile_expression,
    compile_together,
    worst_cost,
)
from threada_site.kernel.cel.hardening import assert_hardened
from threada_site.kernel.cel.logic import Logic, compared_with, logic_of, paths_of, unguarded_reads
from threada_site.kernel.cel.sizes import AnyValue, Built, Size, size_of_lists, size_of_schema
from threada_site.kernel.cel.typed import check_condition, check_typed

__all__ = [
    "ENGINE",
    "MAX_COST",
    "MAX_LENGTH",
    "ORDINARY_BYTES",
    "AnyValue",
    "BoundFacts",
    "Built",
    "ConditionList",
    "Expression",
    "ExpressionError",
    "ExpressionProblem",
    "ExpressionTooExpensive",
    "Logic",
    "Size",
    "assert_hardened",
    "check_condition",
    "check_typed",
    "compared_with",
    "compile_expression",
    "compile_together",
    "logic_of",
    "paths_of",
    "size_of_lists",
    "size_of_schema",
    "unguarded_reads",
    "worst_cost",
]
