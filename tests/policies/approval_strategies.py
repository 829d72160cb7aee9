"""Hypothesis strategies of approval trees and rules, small enough to check by brute force."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import strategies as st

from policies.language.approvals import EXCLUSIONS, AllOf, AnyOf, ApprovalRule, InOrder, Leaf, Node

ROLES = ("finance", "legal", "risk")

leaves = st.builds(Leaf, st.just("role"), st.sampled_from(ROLES), st.integers(1, 2))
trees: st.SearchStrategy[Node] = st.recursive(
    leaves,
    lambda parts: st.lists(parts, min_size=1, max_size=3).flatmap(
        lambda of: st.sampled_from((AllOf(tuple(of)), AnyOf(tuple(of))))
    ),
    max_leaves=4,
)
staged = st.lists(trees, min_size=1, max_size=3).map(lambda stages: InOrder(tuple(stages)))
durations = st.none() | st.integers(1, 10).map(lambda hours: timedelta(hours=hours))
rules = st.builds(
    ApprovalRule,
    tree=trees | staged,
    exclude=st.frozensets(st.sampled_from(EXCLUSIONS)),
    respond_within=durations,
    remind_after=durations,
    escalate_after=durations,
    escalate_to=st.lists(st.sampled_from([Leaf("role", "lead"), Leaf("user", "ann")]), unique=True, max_size=2).map(
        lambda targets: tuple(sorted(targets, key=lambda target: target.name, reverse=True))
    ),
    expires_after=durations,
    on_expiry=st.sampled_from(("reject", "escalate")),
    step_up=st.booleans(),
    authentication=st.sampled_from(("any", "session", "phishing_resistant")),
    approval_valid_for=st.integers(1, 60).map(lambda days: timedelta(days=days)),
    veto=st.integers(1, 3),
)
