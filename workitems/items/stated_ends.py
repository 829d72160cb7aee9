"""Calls and ends of executions as the receipts of their case state them. Pure.

Receipts that processes of several machines wrote are not compared by time as far as possible: their clocks differ.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from integrations.attempts.failures import FailureClass, TransportFailure, envelope_mismatch

type Content = Mapping[str, Any]

_FINAL: Final = ("cancelled", "expired", "rejected", "succeeded")
_ENDS: Final = tuple(f"execution.{verb}" for verb in (*_FINAL, "failed", "outcome_unknown", "reconciled"))
_RETRIED: Final = "execution.retried"
_CALLED: Final = "execution.executed"
_POSTPONED: Final = "execution.postponed"
KINDS: Final = (*_ENDS, _RETRIED, _CALLED, _POSTPONED)
_CLOCKS_DIFFER: Final = timedelta(seconds=5)
"""Most by which a retry may be later than its call in their receipts."""


def has_ended(execution: str, contents: Iterable[Content]) -> bool:
    """Return True if receipts say that an execution ended after its last retry. `execution`: public id.

    Nothing follows an end but a retry of a failed one, and the reconciliation of an unknown outcome.
    """
    said = _said(content for content in contents if content["subject"].get("execution_id") == execution)
    unknown = said["outcome_unknown"] > said["reconciled"]
    return unknown or said["failed"] > said["retried"] or any(said[verb] for verb in _FINAL)


def open_calls(execution: str, contents: Iterable[Content]) -> set[int]:
    """Return the numbers of the attempts of an execution that were called, and whose outcome no receipt states."""
    attempts: dict[bool, set[int]] = defaultdict(set)
    for content in contents:
        is_about = content["subject"].get("execution_id") == execution and content["kind"] in KINDS
        if is_about and "attempt" in content["inputs"]:
            attempts[content["kind"] == _CALLED].add(content["inputs"]["attempt"])
    return attempts[True] - attempts[False]


def check_may_run(execution: str, contents: Sequence[Content]) -> None:
    """Raise `TransportFailure` (`envelope_mismatch`) if receipts say that an execution ended, or is being called."""
    if has_ended(execution, contents):
        raise envelope_mismatch(f"The receipts of {execution} say that it has ended. What was approved runs once.")
    if open_calls(execution, contents):
        detail = f"The receipts of {execution} name a call whose outcome is not known."
        raise TransportFailure(FailureClass.ENVELOPE_MISMATCH, detail, ambiguous=True)


def has_succeeded(execution: str, contents: Iterable[Content]) -> bool:
    """Return True if receipts say that an execution succeeded, or that a person reconciled it as succeeded."""
    return _said(one for one in contents if one["subject"].get("execution_id") == execution)["succeeded"] > 0


def acts_after_end(contents: Iterable[Content]) -> Iterator[str]:
    """Yield a sentence for each execution of a case that ended twice, and each call after an end or during another."""
    of_executions: dict[str, list[Content]] = defaultdict(list)
    for content in contents:
        if (execution := content["subject"].get("execution_id")) and content["kind"].startswith("execution."):
            of_executions[execution].append(content)
    for execution, about in of_executions.items():
        said = _said(about)
        ends = [verb for verb in _FINAL for _ in range(said[verb])]
        if len(ends) > 1:
            yield f"{execution}: its receipts say that it ended {len(ends)} times ({', '.join(ends)})"
        calls = [content for content in about if content["kind"] == _CALLED]
        for call in calls:
            before = [one for one in about if one["kind"] in (*_ENDS, _RETRIED) and _is_before(one, call)]
            if has_ended(execution, before):
                yield f"{execution}: its receipts say that it was called after its end ({call['id']})"
        last = max((call["inputs"]["attempt"] for call in calls), default=0)
        for attempt in sorted(open_calls(execution, about) - {last}):
            yield f"{execution}: its receipts say that it was called again before attempt {attempt} had an outcome"


def _said(contents: Iterable[Content]) -> Counter[str]:
    """Return the number of receipts by verb; a reconciliation counts as the outcome that it states too."""
    said: Counter[str] = Counter()
    for content in contents:
        verb = content["kind"].removeprefix("execution.")
        said[verb] += 1
        if verb == "reconciled":
            said[content["outcome"]["status"]] += 1
    return said


def _is_before(end: Content, call: Content) -> bool:
    """Return True if an end or a retry was before a call: by the number of the attempt, otherwise by time."""
    if end["kind"] == _RETRIED:
        return _instant(end) < _instant(call) + _CLOCKS_DIFFER
    if "attempt" in end["inputs"]:
        return bool(end["inputs"]["attempt"] < call["inputs"].get("attempt", 0))
    return bool(end["id"] < call["id"])


def _instant(content: Content) -> datetime:
    return datetime.fromisoformat(content["occurred_at"])
