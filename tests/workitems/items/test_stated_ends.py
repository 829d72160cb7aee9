"""Ends of executions in receipts: nothing runs again after one, in whatever order clocks put the receipts."""

from __future__ import annotations

from typing import Any

import pytest

from threada_site.kernel import clock, ids
from workitems.items.stated_ends import acts_after_end, has_ended, has_succeeded, open_calls

PAYMENT, OTHER = "ex_payment", "ex_other"


def contents(*said: str, execution: str = PAYMENT) -> list[dict[str, Any]]:
    """Return receipts about an execution: `executed 1` is the call of attempt 1, `reconciled failed` an outcome."""
    found = []
    for words in said:
        verb, _, more = words.partition(" ")
        found.append(
            {
                "id": ids.public_id(ids.RECEIPT, ids.new_uuid()),
                "occurred_at": clock.rfc3339(clock.now()),
                "kind": f"execution.{verb}",
                "subject": {"execution_id": execution},
                "inputs": {"attempt": int(more)} if more.isdigit() else {},
                "outcome": {"status": more if verb == "reconciled" else verb},
            }
        )
    return found


@pytest.mark.parametrize(
    "said",
    [
        [],
        ["executed 1", "postponed 1", "executed 2"],
        ["executed 1", "accepted 1"],
        ["executed 1", "failed 1", "retried"],
        ["retried", "executed 1", "failed 1"],
        ["failed 1", "retried", "failed 2", "retried", "approval_missing"],
        ["outcome_unknown 1", "reconciled failed", "retried"],
        ["failed 1", "retried", "outcome_unknown 2", "reconciled failed", "retried"],
    ],
)
def test_an_execution_that_goes_on(said: list[str]) -> None:
    about = [*contents(*said), *contents("executed 1", "succeeded 1", execution=OTHER)]
    assert not has_ended(PAYMENT, about)
    assert not has_succeeded(PAYMENT, about)
    assert list(acts_after_end(about)) == []


@pytest.mark.parametrize(
    "said",
    [
        ["executed 1", "succeeded 1"],
        ["executed 1", "succeeded 1", "retried"],
        ["cancelled"],
        ["expired"],
        ["rejected"],
        ["failed 1"],
        ["failed 1", "retried", "failed 2"],
        ["outcome_unknown 1"],
        ["outcome_unknown 1", "retried"],
        ["failed 1", "retried", "outcome_unknown 2", "retried"],
        ["outcome_unknown 1", "reconciled failed"],
        ["outcome_unknown 1", "reconciled succeeded", "retried"],
    ],
)
def test_an_execution_that_has_ended(said: list[str]) -> None:
    about = contents(*said)
    assert has_ended(PAYMENT, about)
    assert has_succeeded(PAYMENT, about) == any("succeeded" in words for words in said)
    assert list(acts_after_end(about)) == []
    after = contents(*said, "executed 9")
    [named] = acts_after_end(after)
    assert named == f"{PAYMENT}: its receipts say that it was called after its end ({after[-1]['id']})"


def test_calls_of_other_clocks_are_not_named() -> None:
    """The receiver calls back to a process that is behind; a retry of a process that is ahead."""
    assert list(acts_after_end(contents("succeeded 1", "executed 1"))) == []
    assert list(acts_after_end(contents("executed 1", "failed 1", "executed 2", "retried"))) == []


def test_two_ends() -> None:
    named = f"{PAYMENT}: its receipts say that it ended 2 times"
    assert list(acts_after_end(contents("succeeded 1", "succeeded 1"))) == [f"{named} (succeeded, succeeded)"]
    assert list(acts_after_end(contents("succeeded 1", "cancelled"))) == [f"{named} (cancelled, succeeded)"]


def test_calls_whose_outcome_no_receipt_states() -> None:
    about = contents("executed 1", "postponed 1", "executed 2", "accepted 2")
    assert open_calls(PAYMENT, about) == {2}
    assert list(acts_after_end(about)) == []
    assert list(acts_after_end([*about, *contents("executed 3", "succeeded 3")])) == [
        f"{PAYMENT}: its receipts say that it was called again before attempt 2 had an outcome"
    ]
