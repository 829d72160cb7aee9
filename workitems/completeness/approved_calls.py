"""Calls of a case that needed approvals, compared with the approvals that its receipts state. Pure.

Rows of steps and votes do not matter: they may have been inserted for the call, and deleted after it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from policies.language.approvals import demands, tree_from_json, whole

type Content = Mapping[str, Any]

_CLOCKS_DIFFER: Final = timedelta(seconds=5)
"""Most by which the receipt of an approval may be later than that of its call."""


def calls_without_approvals(contents: Iterable[Content]) -> Iterator[str]:
    """Yield a sentence for each call after `require_approval` that had fewer approvals than its step asked for.

    `contents`: receipts of one case that count. A used unit of a permit takes the place of the approvals. Roles of
    voters are not compared: receipts do not state them.
    """
    of_executions: dict[Any, list[Content]] = defaultdict(list)
    approvals: dict[Any, list[Content]] = defaultdict(list)
    for content in sorted(contents, key=lambda content: str(content["id"])):
        of_executions[content["subject"].get("execution_id")].append(content)
        if _is_approval(content):
            approvals[content["inputs"].get("envelope_sha256")].append(content)
    for execution, about in of_executions.items():
        for call in about:
            if call["kind"] != "execution.executed" or not _is_required(about, call):
                continue
            envelope = call["inputs"].get("envelope_sha256")
            over = [one for one in _before(call, about) if one["inputs"].get("envelope_sha256") == envelope]
            if any(one["kind"] == "permit.used" for one in over):
                continue
            opened = [one for one in over if one["kind"] == "decision_step.opened"]
            needed = _least_approvals(opened[-1]) if opened else 1
            found = len({one["actor"]["principal"] for one in _before(call, approvals[envelope])}) if opened else 0
            if found < needed:
                yield (
                    f"{execution}: its receipts say that it was called after require_approval ({call['id']}), and "
                    f"state {found} of at least {needed} approvals before"
                )


def _before(call: Content, contents: Iterable[Content]) -> list[Content]:
    until = _instant(call) + _CLOCKS_DIFFER
    return [one for one in contents if _instant(one) < until]


def _is_required(about: Sequence[Content], call: Content) -> bool:
    """Return True if the last decision about an execution, or the evaluation right before its call, requires approval.

    The evaluation has an earlier id than the call: one process writes both.
    """
    decided = [one["outcome"].get("effect") for one in _before(call, about) if one["kind"] == "policy.decided"]
    rechecked = [
        one["outcome"].get("effect") for one in about if one["kind"] == "policy.rechecked" and one["id"] < call["id"]
    ]
    return "require_approval" in (*decided[-1:], *rechecked[-1:])


def _least_approvals(opened: Content) -> int:
    """Return the number of people that the rule of a step needs at least."""
    rule = opened["policy"].get("rule")
    ways = demands(whole(tree_from_json(rule))) if rule else ()
    return min((sum(leaf.count for leaf in way) for way in ways), default=1)


def _is_approval(content: Content) -> bool:
    outcome = content["outcome"]
    is_counted = content["kind"] == "vote.recorded" and outcome.get("counted") is True
    return is_counted and outcome.get("decision") == "approve" and content["actor"]["kind"] == "human"


def _instant(content: Content) -> datetime:
    return datetime.fromisoformat(content["occurred_at"])
