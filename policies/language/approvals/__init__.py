"""Approval rules as data. Pure: no Django, no current time, no accounts.

`trees` defines which approvers are required, `stages` in which order, `rules` deadlines and exclusions; `documents`
parses approval rules of policy documents.
"""

from policies.language.approvals.documents import parse_approvals
from policies.language.approvals.permits import PermitLimits, SumLimit
from policies.language.approvals.rules import (
    EXCLUSIONS,
    REVIEW_DEFAULT,
    ApprovalRule,
    Exclusion,
    OnExpiry,
    from_json,
    merge,
    to_json,
)
from policies.language.approvals.stages import (
    InOrder,
    Opened,
    Together,
    Tree,
    canonical_tree,
    has_stages,
    leaves_of,
    opened_part,
    ranks,
    stage_of,
    tracks,
    tree_from_json,
    whole,
)
from policies.language.approvals.trees import AllOf, AnyOf, Demand, Leaf, LeafKind, Node, demands, leaves

__all__ = [
    "EXCLUSIONS",
    "REVIEW_DEFAULT",
    "AllOf",
    "AnyOf",
    "ApprovalRule",
    "Demand",
    "Exclusion",
    "InOrder",
    "Leaf",
    "LeafKind",
    "Node",
    "OnExpiry",
    "Opened",
    "PermitLimits",
    "SumLimit",
    "Together",
    "Tree",
    "canonical_tree",
    "demands",
    "from_json",
    "has_stages",
    "leaves",
    "leaves_of",
    "merge",
    "opened_part",
    "parse_approvals",
    "ranks",
    "stage_of",
    "to_json",
    "tracks",
    "tree_from_json",
    "whole",
]
