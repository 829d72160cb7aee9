from __future__ import annotations

import itertools

import pytest

from integrations.lifecycle import EXECUTION, INTEGRATION_TEST, ExecutionStatus, IntegrationTestStatus
from threada_site.kernel.errors import TransitionNotAllowed

TABLE = {
    "awaiting_approval": "started rejected expired cancelled failed",
    "started": "running cancelled awaiting_approval outcome_unknown",
    "running": "succeeded failed outcome_unknown started",
    "succeeded": "",
    "failed": "started",
    "outcome_unknown": "succeeded failed",
    "rejected": "",
    "expired": "",
    "cancelled": "",
}


def test_the_states_are_those_of_the_table() -> None:
    assert {*TABLE} == {*ExecutionStatus}


@pytest.mark.parametrize(("current", "to"), list(itertools.product(ExecutionStatus, repeat=2)))
def test_an_execution_moves_as_the_table_says_and_no_other_way(current: ExecutionStatus, to: ExecutionStatus) -> None:
    if to in TABLE[current].split():
        EXECUTION.check_transition(current, to)
    else:
        with pytest.raises(TransitionNotAllowed) as refusal:
            EXECUTION.check_transition(current, to)
        assert refusal.value.extensions["allowed"] == sorted(TABLE[current].split())


def test_an_unknown_outcome_is_open_and_a_failure_is_not() -> None:
    assert [state for state in ExecutionStatus if EXECUTION.is_open(state)] == [
        "awaiting_approval",
        "started",
        "running",
        "outcome_unknown",
    ]


def test_a_test_ends_once() -> None:
    moves = [(a, b) for a, b in itertools.permutations(IntegrationTestStatus, 2) if _may(a, b)]
    assert moves == [("queued", "running"), ("running", "passed"), ("running", "failed")]


def _may(current: IntegrationTestStatus, to: IntegrationTestStatus) -> bool:
    try:
        INTEGRATION_TEST.check_transition(current, to)
    except TransitionNotAllowed:
        return False
    return True
