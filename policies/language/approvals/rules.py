"""Approval rules: required approvers, exclusions, deadlines and escalation.

`merge` combines the rules of several matched policy rules; `to_json` gives the form stored on a step. Votes are counted
in `workitems.approvers.count_votes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

from policies.language.approvals.permits import PermitLimits, limits_from_json, merge_limits
from policies.language.approvals.stages import Tree, canonical_tree, together, tree_from_json, tree_to_json, whole
from policies.language.approvals.trees import Leaf, demands
from policies.language.durations import format_duration, format_working_time, parse_duration, parse_working_time
from threada_site.kernel.context import Scope

type Exclusion = Literal["requester", "last_editor", "policy_author", "agent_owner"]
type RequiredAuthentication = Literal["any", "session", "phishing_resistant"]
type OnExpiry = Literal["reject", "escalate"]

DURATION_FIELDS: Final = ("respond_within", "remind_after", "escalate_after", "expires_after")
EXCLUSIONS: Final[tuple[Exclusion, ...]] = ("requester", "last_editor", "policy_author", "agent_owner")
AUTHENTICATIONS: Final[tuple[RequiredAuthentication, ...]] = ("any", "session", "phishing_resistant")
"""Requirements on the authentication of voters, the weakest first. `step_up` is a rule field of its own."""
DEFAULT_VALIDITY: Final = timedelta(days=30)
DEFAULT_EXCLUDE: Final[frozenset[Exclusion]] = frozenset({"requester", "last_editor", "agent_owner"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRule:
    """The approval that one step requires.

    `exclude` lists roles in the case that may not vote. A document adds to the defaults (`DEFAULT_EXCLUDE`); only
    `exclude: []` lifts them, and excludes nobody. Durations start when the step opens. If `expires_after` is None there
    is no deadline, and `on_expiry` has no meaning. `working_time` contains durations under the same names that count
    only working time; if both are given, the earlier instant applies. `on_expiry` `reject` ends the step with status
    `expired`: documents say `expire` (or `reject`, the older word), and both are stored as `reject`. `escalate` extends
    the deadline once, for more approvers. `veto` is the number of counted rejections that ends the step.
    `authentication` is what the authentication of a voter must be at least; documents write `step_up` there too.
    `approval_valid_for` is the time after which an approval no longer counts before a call. `permit` contains the upper
    limits of permits; None means that approvals are for one execution each.
    """

    tree: Tree
    exclude: frozenset[Exclusion] = DEFAULT_EXCLUDE
    respond_within: timedelta | None = None
    remind_after: timedelta | None = None
    escalate_after: timedelta | None = None
    escalate_to: tuple[Leaf, ...] = ()
    expires_after: timedelta | None = None
    working_time: tuple[tuple[str, timedelta], ...] = ()
    on_expiry: OnExpiry = "reject"
    step_up: bool = False
    authentication: RequiredAuthentication = "any"
    approval_valid_for: timedelta = DEFAULT_VALIDITY
    veto: int = 1
    permit: PermitLimits | None = None

    @property
    def expires(self) -> bool:
        """Return True if the rule has a deadline."""
        return self.expires_after is not None or "expires_after" in dict(self.working_time)


REVIEW_DEFAULT: Final = ApprovalRule(tree=Leaf("scope", Scope.DECISIONS_DECIDE.value))
"""Rule of a review without `approvals`: one vote by a holder of `decisions:decide` whom the defaults do not exclude."""


def merge(rules: Sequence[ApprovalRule]) -> ApprovalRule:
    """Return one rule that satisfies all `rules`. The order of `rules` does not matter.

    Trees are combined with AND (identical leaves: the larger count) and keep the order of their stages. Exclusions and
    escalation targets are united. Each duration is the shortest, cut to the deadline. `reject` wins over `escalate`
    among rules with a deadline. Step-up applies if any rule requires it; the strongest authentication, the shortest
    validity of approvals and the smallest veto count. Permits need every rule to allow them. Raises
    `PolicyDocumentInvalid` if the result can be satisfied in too many ways (see `demands`).
    """
    if not rules:
        raise ValueError("There is no rule to merge.")
    tree = together([rule.tree for rule in rules])
    demands(whole(tree))
    targets = {target for rule in rules for target in rule.escalate_to}
    deadline = _shortest(rule.expires_after for rule in rules)
    on_expiry = {rule.on_expiry for rule in rules if rule.expires}
    return ApprovalRule(
        tree=tree,
        exclude=frozenset[Exclusion]().union(*(rule.exclude for rule in rules)),
        respond_within=_cut(_shortest(rule.respond_within for rule in rules), deadline),
        remind_after=_unless_past(_shortest(rule.remind_after for rule in rules), deadline),
        escalate_after=_unless_past(_shortest(rule.escalate_after for rule in rules), deadline),
        escalate_to=tuple(sorted(targets, key=lambda target: (target.kind, target.name))),
        expires_after=deadline,
        working_time=_shortest_each(rule.working_time for rule in rules),
        on_expiry="escalate" if on_expiry == {"escalate"} else "reject",
        step_up=any(rule.step_up for rule in rules),
        authentication=max((rule.authentication for rule in rules), key=AUTHENTICATIONS.index),
        approval_valid_for=min(rule.approval_valid_for for rule in rules),
        veto=min(rule.veto for rule in rules),
        permit=merge_limits([rule.permit for rule in rules]),
    )


def _shortest(durations: Iterable[timedelta | None]) -> timedelta | None:
    return min((duration for duration in durations if duration is not None), default=None)


def _cut(duration: timedelta | None, deadline: timedelta | None) -> timedelta | None:
    """Return the response time, cut to the deadline."""
    return min(duration, deadline) if duration and deadline else duration


def _unless_past(duration: timedelta | None, deadline: timedelta | None) -> timedelta | None:
    """Return the duration, or None if it ends after the deadline and therefore never applies."""
    return None if duration and deadline and duration > deadline else duration


def _shortest_each(rules: Iterable[tuple[tuple[str, timedelta], ...]]) -> tuple[tuple[str, timedelta], ...]:
    """Return the shortest duration for each name of durations in working time."""
    shortest: dict[str, timedelta] = {}
    for durations in rules:
        for name, duration in durations:
            shortest[name] = min(duration, shortest.get(name, duration))
    deadline = shortest.get("expires_after")
    kept = {name: _unless_past(duration, deadline) for name, duration in shortest.items()}
    if "respond_within" in shortest:
        kept["respond_within"] = _cut(shortest["respond_within"], deadline)
    return tuple(sorted((name, duration) for name, duration in kept.items() if duration is not None))


def to_json(rule: ApprovalRule) -> dict[str, Any]:
    """Return the canonical form, also a valid document. Steps store it and the API returns it as `rule`."""
    value: dict[str, Any] = tree_to_json(canonical_tree(rule.tree))
    value["exclude"] = sorted(rule.exclude)
    for name in DURATION_FIELDS:
        duration: timedelta | None = getattr(rule, name)
        if duration is not None:
            value[name] = format_duration(duration)
    if rule.working_time:
        value["working_time"] = {name: format_working_time(duration) for name, duration in rule.working_time}
    if rule.expires:
        value["on_expiry"] = rule.on_expiry
    if rule.escalate_to:
        value["escalate_to"] = [{target.kind: target.name} for target in rule.escalate_to]
    if rule.authentication != "any":
        value["authentication"] = rule.authentication
    if rule.approval_valid_for != DEFAULT_VALIDITY:
        value["approval_valid_for"] = format_duration(rule.approval_valid_for)
    if rule.permit is not None:
        value["permit"] = rule.permit.as_json()
    return value | {"step_up": rule.step_up, "veto": rule.veto}


def from_json(value: Mapping[str, Any]) -> ApprovalRule:
    """Return the rule that `to_json` serialized. Not for documents; see `parse_approvals`."""
    return ApprovalRule(
        tree=tree_from_json(value),
        exclude=frozenset(value["exclude"]),
        **{name: parse_duration(value[name]) for name in DURATION_FIELDS if name in value},
        working_time=tuple(
            sorted((name, parse_working_time(text)) for name, text in value.get("working_time", {}).items())
        ),
        escalate_to=tuple(
            Leaf(target_kind, name) for target in value.get("escalate_to", ()) for target_kind, name in target.items()
        ),
        on_expiry=value.get("on_expiry", "reject"),
        step_up=value["step_up"],
        authentication=value.get("authentication", "any"),
        approval_valid_for=(
            parse_duration(value["approval_valid_for"]) if "approval_valid_for" in value else DEFAULT_VALIDITY
        ),
        veto=value["veto"],
        permit=limits_from_json(value["permit"]) if "permit" in value else None,
    )
