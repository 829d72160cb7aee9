from __future__ import annotations

import itertools

import pytest

from threada_site.kernel.errors import TransitionNotAllowed
from workitems.lifecycle import DECISION_STEP, WORK_ITEM, StepStatus, WorkItemStatus

WORK_ITEM_TABLE = {
    "new": "new refused in_review awaiting_approval ready cancelled",
    "in_review": "new ready awaiting_approval rejected expired cancelled",
    "awaiting_approval": "new ready executing rejected expired cancelled",
    "ready": "new awaiting_approval executing resolved cancelled",
    "executing": "ready awaiting_approval resolved failed cancelled",
    "failed": "new executing ready awaiting_approval resolved cancelled",
    "refused": "",
    "rejected": "",
    "expired": "",
    "resolved": "",
    "cancelled": "",
}
STEP_TABLE = {
    "pending": "approved rejected expired cancelled superseded",
    "approved": "",
    "rejected": "",
    "expired": "",
    "cancelled": "",
    "superseded": "",
}


def test_the_states_are_those_of_the_tables() -> None:
    assert {*WORK_ITEM_TABLE} == {*WorkItemStatus}
    assert {*STEP_TABLE} == {*StepStatus}


@pytest.mark.parametrize(("current", "to"), list(itertools.product(WORK_ITEM_TABLE, repeat=2)))
def test_a_work_item_moves_as_the_table_says_and_no_other_way(current: str, to: str) -> None:
    start, end = WorkItemStatus(current), WorkItemStatus(to)
    if to in WORK_ITEM_TABLE[current].split():
        WORK_ITEM.check_transition(start, end)
        return
    with pytest.raises(TransitionNotAllowed) as refusal:
        WORK_ITEM.check_transition(start, end)
    assert refusal.value.extensions == {
        "current": current,
        "requested": to,
        "allowed": sorted(WORK_ITEM_TABLE[current].split()),
    }


@pytest.mark.parametrize(("current", "to"), list(itertools.product(STEP_TABLE, repeat=2)))
def test_a_step_moves_as_the_table_says_and_no_other_way(current: str, to: str) -> None:
    start, end = StepStatus(current), StepStatus(to)
    if to in STEP_TABLE[current].split():
        DECISION_STEP.check_transition(start, end)
    else:
        with pytest.raises(TransitionNotAllowed):
            DECISION_STEP.check_transition(start, end)


def test_the_refusal_names_both_states_and_what_is_allowed() -> None:
    with pytest.raises(TransitionNotAllowed) as refusal:
        WORK_ITEM.check_transition(WorkItemStatus.READY, WorkItemStatus.REJECTED)
    assert refusal.value.detail == (
        "A work item that is ready cannot become rejected. "
        "It can become awaiting_approval, cancelled, executing, new, resolved."
    )
    with pytest.raises(TransitionNotAllowed) as refusal:
        DECISION_STEP.check_transition(StepStatus.EXPIRED, StepStatus.APPROVED)
    assert refusal.value.detail == "A decision step that is expired cannot become approved. Expired is an end."


def test_ends_are_exactly_the_states_without_a_way_out() -> None:
    assert {*WORK_ITEM.ends} == {state for state, following in WORK_ITEM_TABLE.items() if not following}
    assert {*DECISION_STEP.ends} == {state for state, following in STEP_TABLE.items() if not following}
    assert [state for state in WorkItemStatus if WORK_ITEM.is_open(state)] == [
        "new",
        "in_review",
        "awaiting_approval",
        "ready",
        "executing",
        "failed",
    ]
