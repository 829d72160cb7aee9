"""Comparison of answers: flips, approvers, and decisions that are not replayable."""

from __future__ import annotations

from typing import Any

import pytest

from policies.deciding.comparison import Answer, Asking, NotReplayable, Unanswerable, compare, people_asked, why_not
from policies.language.approvals import parse_approvals, to_json
from policies.language.evaluation import RuleError, Verdict
from policies.language.rules import Effect


def asking(document: Any) -> dict[str, Any]:
    return to_json(parse_approvals(document, pointer=""))


ONE, TWO = asking({"role": "finance"}), asking({"role": "finance", "count": 2})
ALLOW = Answer("allow", ("YES",))
DENY = Answer("deny", ("NO",))


@pytest.mark.parametrize(
    ("before", "after", "is_flip", "asked", "people"),
    [
        (ALLOW, ALLOW, False, None, 0),
        (ALLOW, DENY, True, None, 0),
        (ALLOW, Answer("allow", ("OTHER",)), True, None, 0),
        (Answer("deny", ("A", "B")), Answer("deny", ("B", "A")), False, None, 0),
        (ALLOW, Answer("require_approval", ("BIG",), TWO), True, Asking.APPEARS, 2),
        (Answer("require_approval", ("BIG",), TWO), ALLOW, True, Asking.VANISHES, -2),
        (
            Answer("require_approval", ("BIG",), ONE),
            Answer("require_approval", ("BIG",), TWO),
            False,
            Asking.CHANGES,
            1,
        ),
        (Answer("require_approval", ("BIG",), ONE), Answer("require_approval", ("BIG",), ONE), False, None, 0),
        (Answer("review", ("ODD",), ONE), Answer("require_approval", ("ODD",), ONE), True, None, 0),
    ],
)
def test_effect_and_reasons_make_a_flip_and_approvers_are_counted(
    before: Answer, after: Answer, is_flip: bool, asked: Asking | None, people: int
) -> None:
    found = compare(before, after)
    assert (found.is_flip, found.asking, found.people) == (is_flip, asked, people)


@pytest.mark.parametrize(
    ("document", "people"),
    [
        ({"role": "finance"}, 1),
        ({"all": [{"role": "finance", "count": 2}, {"group": "legal"}]}, 3),
        ({"any": [{"role": "finance", "count": 2}, {"user": "ada"}]}, 1),
    ],
)
def test_people_asked_is_the_minimum_number_of_approvers(document: Any, people: int) -> None:
    assert people_asked(asking(document)) == people
    assert people_asked(None) == 0


def failed(code: str, *errors: RuleError) -> Verdict:
    return Verdict(outcome=Effect.DENY, reason_codes=(code,), errors=errors, trace=[], duration_us=1)


MISSING = RuleError("payments", "big", 'Key not found in map : "country"')
WRONG = RuleError("payments", "odd", "cannot convert string to int")


@pytest.mark.parametrize(
    ("verdict", "recorded", "expected"),
    [
        (failed("no_rule_matched"), [], None),
        (failed("policy_missing"), [], None),
        (failed("policy_error", WRONG), [], None),
        (failed("policy_error", MISSING), [], Unanswerable(NotReplayable.FACT_NOT_RECORDED, ("payments/big",))),
        (failed("policy_error", MISSING, WRONG), [], Unanswerable(NotReplayable.FACT_NOT_RECORDED, ("payments/big",))),
        (failed("policy_error", MISSING), [{"policy": "payments", "rule": "big"}], None),
        (failed("policy_error", RuleError("", "", "It broke.")), [], Unanswerable(NotReplayable.EVALUATION_FAILED)),
        (failed("policy_too_slow"), [], Unanswerable(NotReplayable.TOO_SLOW)),
        (
            failed("policy_malformed", RuleError("wide", "", "pv_1 cannot be read.")),
            [],
            Unanswerable(NotReplayable.VERSION_UNREADABLE, ("wide",)),
        ),
    ],
)
def test_missing_records_are_not_guessed(verdict: Verdict, recorded: list[Any], expected: Unanswerable) -> None:
    assert why_not(verdict, recorded) == expected
