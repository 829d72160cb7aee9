"""The sentences are part of the API, so they are tested word for word."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from integrations.lifecycle import ExecutionStatus
from policies.language.approvals import Leaf
from workitems.approvers.count_votes import Eligibility, Need
from workitems.explain.facts import (
    DecisionFacts,
    ExecutionFacts,
    ExplainInput,
    Explanation,
    MatchedRule,
    Reader,
    StepFacts,
)
from workitems.explain.wording import excluded_in_words, explain
from workitems.lifecycle import StepKind, WorkItemStatus

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
FINANCE = Leaf("role", "finance", 2)
OPERATOR = Reader(may_write=True, may_execute=True)
LARGE = DecisionFacts(
    effect="require_approval", matched=(MatchedRule("payments", "large-payment", "AMOUNT_OVER_LIMIT"),)
)
ALLOWED = DecisionFacts(effect="allow", matched=(MatchedRule("payments", "within-limits", "WITHIN_LIMITS"),))


def pay(
    status: ExecutionStatus, failure: str = "", next_at: datetime | None = None, *, frozen: bool = False
) -> ExecutionFacts:
    return ExecutionFacts(
        status=status, action="pay", integration="int_bank", failure=failure, next_at=next_at, frozen=frozen
    )


def test_new() -> None:
    assert explain(ExplainInput(status=WorkItemStatus.NEW, reader=OPERATOR)) == Explanation(
        why=["It was received. The policies have not decided yet."],
        waiting_for=[],
        until=None,
        next=["The policies in force decide, usually within seconds."],
        you_may=["execute an action", "change its payload, which starts the case again", "cancel it"],
    )


def test_refused_by_rules() -> None:
    decision = DecisionFacts(
        effect="deny",
        matched=(
            MatchedRule("payments", "sanctioned-vendor", "SANCTIONED_VENDOR"),
            MatchedRule("house_rules", "no-weekend", "CLOSED"),
        ),
    )
    assert explain(ExplainInput(status=WorkItemStatus.REFUSED, decision=decision, reader=OPERATOR)) == Explanation(
        why=[
            "Policy payments denies it: SANCTIONED_VENDOR (rule sanctioned-vendor).",
            "Policy house_rules denies it: CLOSED (rule no-weekend).",
        ],
        waiting_for=[],
        until=None,
        next=["Nothing: refused is final."],
        you_may=[],
    )


def test_refused_because_no_rule_matched() -> None:
    decision = DecisionFacts(effect="deny", failure="no_rule_matched")
    assert explain(ExplainInput(status=WorkItemStatus.REFUSED, decision=decision)).why == [
        "No rule matched, so it was refused. Add a rule that covers this case."
    ]


def test_in_review() -> None:
    case = ExplainInput(
        status=WorkItemStatus.IN_REVIEW,
        decision=DecisionFacts(effect="review", matched=(MatchedRule("payments", "low-confidence", "LOW_CONFIDENCE"),)),
        step=StepFacts(
            kind=StepKind.REVIEW,
            approvals=0,
            needs=(Need(Leaf("scope", "decisions:decide"), 1),),
            exclude={"requester"},
            respond_due_at=NOON,
        ),
        reader=Reader(eligibility=Eligibility.COUNTS),
    )
    assert explain(case) == Explanation(
        why=[
            "Policy payments requires a review: LOW_CONFIDENCE (rule low-confidence).",
            "0 of 1 vote given.",
        ],
        waiting_for=["1 more person with decisions:decide on this workflow, other than the requester"],
        until=NOON,
        next=["With the last vote it becomes ready."],
        you_may=[
            "approve or reject it",
            "approve it with changes, which starts the decision again",
            "claim it",
        ],
    )


def test_awaiting_approval_with_one_of_two_votes() -> None:
    case = ExplainInput(
        status=WorkItemStatus.AWAITING_APPROVAL,
        decision=LARGE,
        step=StepFacts(
            kind=StepKind.APPROVAL,
            approvals=1,
            needs=(Need(FINANCE, 1),),
            exclude={"policy_author", "requester"},
            expires_at=NOON,
        ),
        execution=pay(ExecutionStatus.AWAITING_APPROVAL),
        reader=Reader(may_write=True, may_execute=True, eligibility=Eligibility.COUNTS, has_voted=True),
    )
    assert explain(case) == Explanation(
        why=[
            "Policy payments requires an approval: AMOUNT_OVER_LIMIT (rule large-payment).",
            "1 of 2 votes given.",
        ],
        waiting_for=["1 more person with role finance, other than the requester or the policy's author"],
        until=NOON,
        next=["With the last vote pay on int_bank starts.", "Without a decision by then it ends without approval."],
        you_may=["change its payload, which starts the case again", "cancel it"],
    )


def test_awaiting_approval_by_several_kinds_of_people() -> None:
    needs = (Need(Leaf("group", "board", 2), 2), Need(Leaf("role", "legal"), 1), Need(Leaf("user", "ann"), 1))
    step = StepFacts(
        kind=StepKind.APPROVAL, approvals=0, needs=needs, expires_at=NOON, respond_due_at=NOON, on_expiry="escalate"
    )
    explanation = explain(ExplainInput(status=WorkItemStatus.AWAITING_APPROVAL, decision=LARGE, step=step))
    assert explanation.waiting_for == ["2 more people in group board", "1 more person with role legal", "ann"]
    assert explanation.next == [
        "With the last vote it becomes ready.",
        "Without a decision by then it is escalated.",
    ]


def test_nobody_can_decide() -> None:
    step = StepFacts(kind=StepKind.APPROVAL, approvals=1, needs=(Need(FINANCE, 1),), nobody_can_decide=True)
    case = ExplainInput(
        status=WorkItemStatus.AWAITING_APPROVAL,
        decision=LARGE,
        step=step,
        reader=Reader(eligibility=Eligibility.EXCLUDED),
    )
    assert explain(case) == Explanation(
        why=[
            "Policy payments requires an approval: AMOUNT_OVER_LIMIT (rule large-payment).",
            "1 of 2 votes given.",
            "No member can complete the approval.",
        ],
        waiting_for=["1 more person with role finance"],
        until=None,
        next=["Somebody needs the required role or group, or the approval cannot be completed."],
        you_may=[],
    )


def test_ready() -> None:
    assert explain(ExplainInput(status=WorkItemStatus.READY, decision=ALLOWED, reader=OPERATOR)) == Explanation(
        why=["Policy payments allows it: WITHIN_LIMITS (rule within-limits)."],
        waiting_for=[],
        until=None,
        next=["An action of its workflow can be executed, or it can be resolved."],
        you_may=["execute an action", "change its payload, which starts the case again", "resolve it", "cancel it"],
    )


def test_executing() -> None:
    running = ExplainInput(
        status=WorkItemStatus.EXECUTING,
        decision=ALLOWED,
        execution=pay(ExecutionStatus.RUNNING),
        reader=OPERATOR,
    )
    assert explain(running) == Explanation(
        why=["pay on int_bank is running."],
        waiting_for=[],
        until=None,
        next=["The outcome is recorded when the receiver answers."],
        you_may=[],
    )


def test_executing_before_and_between_tries() -> None:
    def why(execution: ExecutionFacts) -> list[str]:
        return explain(ExplainInput(status=WorkItemStatus.EXECUTING, execution=execution)).why

    assert why(pay(ExecutionStatus.STARTED)) == ["pay on int_bank is about to start."]
    waiting = pay(ExecutionStatus.STARTED, "receiver_rate_limited", NOON)
    assert why(waiting) == ["pay on int_bank did not succeed yet: The receiver asks to slow down. It will be retried."]
    assert explain(ExplainInput(status=WorkItemStatus.EXECUTING, execution=waiting)).until == NOON
    held = ExplainInput(
        status=WorkItemStatus.EXECUTING, execution=pay(ExecutionStatus.STARTED, frozen=True), reader=OPERATOR
    )
    assert explain(held).why == ["pay on int_bank is blocked by a freeze."]
    assert explain(held).next == ["It starts when the freeze is lifted."]
    assert explain(held).you_may == ["resolve it", "cancel it"]


def test_failed() -> None:
    case = ExplainInput(
        status=WorkItemStatus.FAILED,
        decision=ALLOWED,
        execution=pay(ExecutionStatus.FAILED, "rejected_by_receiver"),
        reader=OPERATOR,
    )
    assert explain(case) == Explanation(
        why=["pay on int_bank failed: The receiver refused the request."],
        waiting_for=[],
        until=None,
        next=["The execution can be retried, another action executed, or the work item resolved or cancelled."],
        you_may=[
            "execute an action",
            "retry the execution",
            "change its payload, which starts the case again",
            "resolve it",
            "cancel it",
        ],
    )


def test_failed_after_an_ambiguous_outcome() -> None:
    ambiguous = replace(pay(ExecutionStatus.FAILED, "timeout"), repeatable=False)
    case = ExplainInput(status=WorkItemStatus.FAILED, decision=ALLOWED, execution=ambiguous, reader=OPERATOR)
    assert explain(case).next == [
        "The execution cannot be retried, because the receiver may have acted on it.",
        "An action can be executed, or the work item resolved or cancelled.",
    ]
    assert "retry the execution" not in explain(case).you_may


def test_outcome_unknown() -> None:
    case = ExplainInput(
        status=WorkItemStatus.EXECUTING,
        decision=ALLOWED,
        execution=pay(ExecutionStatus.OUTCOME_UNKNOWN, "timeout"),
        reader=replace(OPERATOR, may_reconcile=True),
    )
    assert explain(replace(case, reader=OPERATOR)).you_may == []
    assert explain(case) == Explanation(
        why=["pay on int_bank has an unknown outcome: The receiver did not answer in time."],
        waiting_for=["a person other than the requester and the agent's owner, who reconciles the execution"],
        until=None,
        next=["It does not change until the execution is reconciled as succeeded or failed."],
        you_may=["reconcile the execution"],
    )


def test_resolved_by_an_action_and_by_a_person() -> None:
    by_action = ExplainInput(status=WorkItemStatus.RESOLVED, execution=pay(ExecutionStatus.SUCCEEDED), reader=OPERATOR)
    assert explain(by_action) == Explanation(
        why=["pay on int_bank succeeded, which resolves it."],
        waiting_for=[],
        until=None,
        next=["Nothing: resolved is final."],
        you_may=[],
    )
    by_person = ExplainInput(
        status=WorkItemStatus.RESOLVED,
        execution=pay(ExecutionStatus.SUCCEEDED),
        ended_by=("ann",),
        ended_reason="settled by phone",
    )
    assert explain(by_person).why == ["It was resolved by ann: settled by phone."]


def test_cancelled() -> None:
    assert explain(ExplainInput(status=WorkItemStatus.CANCELLED, ended_by=("ann",), reader=OPERATOR)) == Explanation(
        why=["It was cancelled by ann."],
        waiting_for=[],
        until=None,
        next=["Nothing: cancelled is final."],
        you_may=[],
    )


def test_rejected() -> None:
    case = ExplainInput(status=WorkItemStatus.REJECTED, decision=LARGE, ended_by=("bob",), ended_reason="NOT_BUDGETED")
    assert explain(case).why == ["It was rejected by bob: NOT_BUDGETED."]


def test_the_reader_is_you() -> None:
    reader = Reader(name="ann", is_requester=True, may_answer=True)
    case = ExplainInput(
        status=WorkItemStatus.IN_REVIEW,
        step=StepFacts(
            kind=StepKind.REVIEW, approvals=0, needs=(), assignee="ann", exclude=("requester", "last_editor")
        ),
        asked_by=("bob",),
        reader=reader,
    )
    said = explain(case)
    assert said.why == [
        "bob asked you a question that is not answered yet.",
        "0 of 0 votes given.",
        "It is assigned to you.",
    ]
    assert said.waiting_for == ["you, to answer a question"]
    assert excluded_in_words(("requester", "last_editor"), reader_requested=True) == "yourself or the last editor"
    ended = ExplainInput(status=WorkItemStatus.CANCELLED, ended_by=("ann",), reader=reader)
    assert explain(ended).why == ["It was cancelled by you."]


def test_expired() -> None:
    assert explain(ExplainInput(status=WorkItemStatus.EXPIRED, decision=LARGE, reader=OPERATOR)) == Explanation(
        why=[
            "Policy payments requires an approval: AMOUNT_OVER_LIMIT (rule large-payment).",
            "It was not decided in time.",
        ],
        waiting_for=[],
        until=None,
        next=["Nothing: expired is final."],
        you_may=[],
    )
