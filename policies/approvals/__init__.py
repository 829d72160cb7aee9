"""Approval rules: who has to agree before something happens, as data. No Django, no clock, no people.

`trees` holds the demand itself, `rules` what surrounds it, `documents` reads it out of a policy document.
"""

from policies.approvals.documents import parse_approvals
from policies.approvals.rules import (
    EXCLUSIONS,
    REVIEW_DEFAULT,
    ApprovalRule,
    Exclusion,
    OnExpiry,
    from_json,
    merge,
    to_json,
)
from policies.approvals.trees import AllOf, AnyOf, Demand, Leaf, LeafKind, Node, demands, leaves

__all__ = [
    "EXCLUSIONS",
    "REVIEW_DEFAULT",
    "AllOf",
    "AnyOf",
    "ApprovalRule",
    "Demand",
    "Exclusion",
    "Leaf",
    "LeafKind",
    "Node",
    "OnExpiry",
    "demands",
    "from_json",
    "leaves",
    "merge",
    "parse_approvals",
    "to_json",
]
