"""Questions to the requester: who asks and answers, what waits, what pauses, and how a question ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrations.freezes.scope import FreezeScope
from integrations.models import Execution, Freeze
from tests.jobs import run_jobs
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, errors
from workitems.conversation import limits
from workitems.conversation.questions import answer_question, ask_question, withdraw_question
from workitems.conversation.sweep import sweep_questions
from workitems.executions.close_item import cancel_work_item, edit_payload
from workitems.executions.freezes import lift_freeze, set_freeze
from workitems.explain.gather import explain_work_item
from workitems.models import DecisionStep, NoticeMessage, RequesterQuestion, Vote, WorkItem
from workitems.steps.deadline_sweep import sweep_deadlines

pytestmark = pytest.mark.django_db

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)  # a Monday
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a clock that stands at START and that tests move."""

    class Clock:
        at = START

        def __call__(self) -> datetime:
            return self.at

    stopped = Clock()
    monkeypatch.setattr(clock, "now", stopped)
    return stopped


def ask(office: Office, item: WorkItem, text: str = "Which order?", by: str = "fay") -> RequesterQuestion:
    question: RequesterQuestion = office.on_item(item, lambda locked, ctx: ask_question(locked, text, ctx=ctx), by=by)
    return question


def answer(office: Office, item: WorkItem, question: RequesterQuestion, text: str = "PO 4711", by: str = "rita") -> Any:
    return office.on_item(item, lambda locked, ctx: answer_question(locked, question.id, text, ctx=ctx), by=by)


def withdraw(office: Office, item: WorkItem, question: RequesterQuestion, by: str = "fay") -> Any:
    return office.on_item(item, lambda locked, ctx: withdraw_question(locked, question.id, ctx=ctx), by=by)


def asked_with_deadlines(office: Office, **rule: Any) -> tuple[WorkItem, DecisionStep]:
    """Return a payment that awaits two approvals under a rule with deadlines."""
    approvals = {"all": [{"role": "finance", "count": 2}], **rule}
    office.put_rules(
        {
            "id": "large",
            "when": "ctx.action == 'pay'",
            "effect": "require_approval",
            "reason": "LARGE",
            "approvals": approvals,
        },
        {"id": "fine", "when": "true", "effect": "allow", "reason": "FINE"},
    )
    item, step, _ = office.awaiting()
    return item, office.step(step)


class TestAsking:
    def test_the_item_waits_for_the_requester(self, office: Office) -> None:
        item, _, _ = office.awaiting()
        question = ask(office, item)
        shown = office.api("rita").get(f"/work-items/{item.public_id}").json()
        assert shown["waits_for_requester"] is True
        listed = office.api("fay").get("/work-items", {"waits_for_requester": "true"}).json()["data"]
        assert [row["work_item_id"] for row in listed] == [item.public_id]
        explained = office.api("rita").get(f"/work-items/{item.public_id}/explain").json()
        assert explained["waiting_for"][0].startswith("you, to answer")
        assert "answer the question" in " ".join(explained["you_may"])
        answer(office, item, question)
        assert office.api("rita").get(f"/work-items/{item.public_id}").json()["waits_for_requester"] is False

    def test_agents_and_requesters_do_not_ask(self, office: Office) -> None:
        office.join("robot", kind="agent", roles=("operator",))
        item, _, _ = office.awaiting()
        with pytest.raises(errors.PersonRequired):
            ask(office, item, by="robot")
        with pytest.raises(errors.PermissionDenied):
            ask(office, item, by="rita")
        mine = office.decided(by="ada")
        with pytest.raises(errors.PermissionDenied):
            ask(office, mine, by="ada")

    def test_ended_items_take_no_question(self, office: Office) -> None:
        item, step, _ = office.awaiting()
        office.vote(step, "fay", "reject")
        with pytest.raises(errors.TransitionNotAllowed):
            ask(office, item)

    def test_open_questions_are_limited(self, office: Office) -> None:
        item, _, _ = office.awaiting()
        for number in range(5):
            ask(office, item, f"question {number}")
        with pytest.raises(errors.ConversationLimit):
            ask(office, item)

    def test_the_requester_is_notified(self, office: Office) -> None:
        item, _, _ = office.awaiting()
        question = ask(office, item)
        run_jobs()
        answer(office, item, question)
        run_jobs()
        with unit_of_work(office.tenant.id):
            rows = NoticeMessage.objects.filter(notice__kind__in=["question", "answer"]).order_by("id")
            found = [(row.notice.kind, row.recipient_id) for row in rows]
        people = office.people
        assert ("question", people["rita"].id) in found
        assert ("answer", people["fay"].id) in found
        assert ("answer", people["rita"].id) not in found


class TestAnswering:
    def test_only_the_requester_answers(self, office: Office) -> None:
        item, _, _ = office.awaiting()
        question = ask(office, item)
        for name in ("fay", "finn", "ada", "wim"):
            with pytest.raises(errors.PermissionDenied):
                answer(office, item, question, by=name)
        office.join("ron")
        path = f"/work-items/{item.public_id}/questions/{question.public_id}/answer"
        assert office.api("ron").post(path, {"text": "me"}).status_code == 404
        assert office.api("rita").post(path, {"text": "PO 4711"}).json()["answer"] == "PO 4711"

    def test_an_answer_changes_no_payload(self, office: Office) -> None:
        item, step, _ = office.awaiting()
        answer(office, item, ask(office, item), "Set the amount to 1!")
        after = office.item(item)
        assert (after.payload, after.version) == (item.payload, item.version)
        assert office.step(step).status == "pending"

    def test_the_requester_changes_the_payload_by_the_normal_path(self, office: Office) -> None:
        item, step, _ = office.awaiting()
        question = ask(office, item)
        path = f"/work-items/{item.public_id}"
        assert office.api("rita").edit(path, {"payload": {"amount": 7}}).status_code == 200
        assert office.step(step).status == "superseded"
        with unit_of_work(office.tenant.id):
            assert RequesterQuestion.objects.get().status == "open"
        answered = answer(office, item, question)
        assert (answered.asked_version, answered.answered_version) == (1, 2)

    def test_a_vote_before_the_answer_counts_for_its_envelope_only(self, office: Office) -> None:
        """A vote while a question is open is accepted. It does not count once the requester has changed the payload."""
        item, step = asked_with_deadlines(office)
        ask(office, item, by="fay")
        office.vote(step, "finn")
        path = f"/work-items/{item.public_id}"
        assert office.api("rita").edit(path, {"payload": {"amount": 7}}).status_code == 200
        assert office.step(step).status == "superseded"
        ballot = {"decision": "approve", "envelope_sha256": step.envelope_sha256}
        late = office.api("fay").post(f"/decision-steps/{step.public_id}/votes", ballot)
        assert (late.status_code, late.json()["reason_code"]) == (409, "step_closed")
        with unit_of_work(office.tenant.id):
            assert Vote.objects.exclude(step_id=step.id).count() == 0
            assert Execution.objects.exclude(status="cancelled").count() == 0

    def test_a_question_ends_once(self, office: Office) -> None:
        item, _, _ = office.awaiting()
        question = ask(office, item)
        answer(office, item, question)
        with pytest.raises(errors.QuestionClosed):
            answer(office, item, question)
        with pytest.raises(errors.QuestionClosed):
            withdraw(office, item, question)

    def test_a_decision_closes_questions(self, office: Office) -> None:
        item, step, _ = office.awaiting()
        question = ask(office, item)
        office.vote(step, "finn", "reject")
        with unit_of_work(office.tenant.id):
            assert RequesterQuestion.objects.get().status == "closed"
        assert office.item(item).open_questions == 0
        with pytest.raises(errors.QuestionClosed):
            answer(office, item, question)

    def test_cancelling_the_item_closes_questions(self, office: Office) -> None:
        item = office.decided()
        ask(office, item)
        office.on_item(item, cancel_work_item)
        with unit_of_work(office.tenant.id):
            assert RequesterQuestion.objects.get().status == "closed"

    def test_withdrawing(self, office: Office) -> None:
        item, _, _ = office.awaiting()
        question = ask(office, item)
        with pytest.raises(errors.PermissionDenied):
            withdraw(office, item, question, by="finn")
        assert withdraw(office, item, question).status == "withdrawn"
        other = ask(office, item)
        assert withdraw(office, item, other, by="ada").status == "withdrawn"


def test_questions_of_one_person_are_limited(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_PER_HOUR", 2)
    items = [office.decided() for _ in range(3)]
    for item in items[:2]:
        withdraw(office, item, ask(office, item))
    with pytest.raises(errors.RateLimited):
        ask(office, items[2])
    ask(office, items[2], by="finn")


class TestPauses:
    def test_deadlines_move_by_the_pause(self, office: Office, now: Any) -> None:
        item, step = asked_with_deadlines(office, respond_within="P1D", expires_after="P3D")
        now.at += HOUR
        question = ask(office, item)
        assert question.pauses
        now.at = START + 2 * DAY
        sweep_deadlines(now=now.at)
        assert office.bodies("decision_step.reminded") == [], "nothing is due during a pause"
        answer(office, item, question)
        moved = office.step(step)
        pause = 2 * DAY - HOUR
        assert moved.expires_at == START + 3 * DAY + pause
        assert moved.respond_due_at == START + DAY + pause
        (receipt,) = office.bodies("decision_step.deadlines_moved")
        assert receipt["inputs"]["paused_s"] == pause.total_seconds()

    def test_a_step_does_not_expire_during_a_pause_and_votes_are_accepted(self, office: Office, now: Any) -> None:
        item, step = asked_with_deadlines(office, expires_after="P1D")
        ask(office, item)
        now.at += 3 * DAY
        sweep_deadlines(now=now.at)
        assert office.step(step).status == "pending"
        office.vote(step, "fay")
        assert office.step(step).status == "pending"

    def test_an_expired_step_is_not_reopened_before_the_sweep(self, office: Office, now: Any) -> None:
        item, step = asked_with_deadlines(office, expires_after="P1D")
        now.at += DAY + HOUR
        assert not ask(office, item).pauses
        with pytest.raises(errors.StepClosed):
            office.vote(step, "finn")
        sweep_deadlines(now=now.at)
        assert office.step(step).status == "expired"

    def test_a_pause_ends_with_the_question_time(self, office: Office, now: Any) -> None:
        item, step = asked_with_deadlines(office, expires_after="P1D")
        ask(office, item)
        now.at += 7 * DAY + HOUR
        sweep_questions(now=now.at)
        with unit_of_work(office.tenant.id):
            assert RequesterQuestion.objects.get().status == "expired"
        assert office.step(step).expires_at == START + 8 * DAY
        now.at += DAY
        sweep_deadlines(now=now.at)
        assert office.step(step).status == "expired"

    def test_a_late_sweep_gives_no_more_time(self, office: Office, now: Any) -> None:
        item, step = asked_with_deadlines(office, expires_after="P1D")
        ask(office, item)
        now.at += 9 * DAY
        with pytest.raises(errors.StepClosed):
            office.vote(step, "fay")
        sweep_deadlines(now=now.at)
        assert office.step(step).status == "expired"

    def test_asking_again_and_again_stalls_no_longer_than_the_limit(self, office: Office, now: Any) -> None:
        item, step = asked_with_deadlines(office, expires_after="P1D")
        for _ in range(6):
            question = ask(office, item)
            now.at += 3 * DAY
            sweep_deadlines(now=now.at)
            if office.step(step).status != "pending":
                break
            withdraw(office, item, question)
        assert office.step(step).status == "expired"
        with unit_of_work(office.tenant.id):
            assert DecisionStep.objects.get(id=step.id).paused_s == 7 * 86400

    def test_a_new_step_after_a_change_has_no_new_pauses(self, office: Office, now: Any) -> None:
        item, step = asked_with_deadlines(office, expires_after="P1D")
        ask(office, item)
        now.at += 5 * DAY
        office.on_item(item, lambda locked, ctx: edit_payload(locked, {"amount": 600}, ctx=ctx))
        run_jobs()
        office.execute(item)
        following = office.pending_step(item)
        assert following.id != step.id
        assert following.paused_at == now.at, "the question is still open"
        assert following.pause_ends_at == now.at + 2 * DAY

    def test_workflows_may_forbid_pauses_and_limit_questions(self, office: Office, now: Any) -> None:
        office.upsert_workflow(questions={"pause": "nothing", "at_most": "PT8H"})
        item, _ = asked_with_deadlines(office, expires_after="P1D")
        question = ask(office, item)
        assert not question.pauses
        assert question.expires_at == START + 8 * HOUR

    def test_only_people_who_may_vote_pause(self, office: Office, now: Any) -> None:
        item, _ = asked_with_deadlines(office, expires_after="P1D")
        assert not ask(office, item, by="vera").pauses
        assert ask(office, item, by="fay").pauses

    def test_people_who_have_voted_do_not_pause(self, office: Office, now: Any) -> None:
        item, step = asked_with_deadlines(office, expires_after="P1D")
        office.vote(step, "fay")
        assert not ask(office, item, by="fay").pauses

    def test_two_questions_pause_once(self, office: Office, now: Any) -> None:
        item, step = asked_with_deadlines(office, expires_after="P1D")
        first = ask(office, item, by="fay")
        now.at += HOUR
        second = ask(office, item, by="finn")
        now.at += HOUR
        answer(office, item, first)
        assert office.step(step).paused_at == START
        now.at += HOUR
        answer(office, item, second)
        assert office.step(step).expires_at == START + DAY + 3 * HOUR

    def test_working_time_keeps_the_working_time_that_was_left(self, office: Office, now: Any) -> None:
        item, step = asked_with_deadlines(office, working_time={"expires_after": "PT16H"})
        assert office.step(step).expires_at == START + DAY + 8 * HOUR  # Tuesday, 17:00
        now.at = datetime(2026, 3, 2, 13, 0, tzinfo=UTC)  # 12 hours are left
        question = ask(office, item)
        now.at = datetime(2026, 3, 7, 10, 0, tzinfo=UTC)  # Saturday
        answer(office, item, question)
        assert office.step(step).expires_at == datetime(2026, 3, 10, 13, 0, tzinfo=UTC)  # Tuesday

    def test_escalation_and_reminder_come_after_the_pause(self, office: Office, now: Any) -> None:
        item, _ = asked_with_deadlines(
            office, remind_after="PT1H", escalate_after="PT2H", escalate_to=[{"role": "tenant_admin"}]
        )
        question = ask(office, item)
        now.at += DAY
        sweep_deadlines(now=now.at)
        assert office.bodies("decision_step.escalated") == []
        answer(office, item, question)
        now.at += 2 * HOUR
        sweep_deadlines(now=now.at)
        assert len(office.bodies("decision_step.escalated")) == 1


class TestFreezes:
    """A step asks at 1 h, pauses until 5 h, and a freeze lies anywhere; nothing is counted twice."""

    @pytest.mark.parametrize(
        ("begin", "end", "expires", "expected"),
        [
            pytest.param(2, 4, 10, 14, id="a freeze inside of the pause"),
            pytest.param(2, 4, 3, 7, id="a freeze inside of the pause, over the deadline"),
            pytest.param(2, 8, 3, 10, id="a freeze that outlasts the pause"),
            pytest.param(0, 3, 2, 6, id="a freeze that began before the pause"),
            pytest.param(6, 9, 4, 11, id="a freeze after the pause"),
        ],
    )
    def test_freeze_and_pause_are_counted_once(
        self, office: Office, now: Any, begin: int, end: int, expires: int, expected: int
    ) -> None:
        item, step = asked_with_deadlines(office, expires_after=f"PT{expires}H")
        question = freeze = None
        ctx = office.ctx("ada")
        for hour in range(max(end, 5) + 1):
            now.at = START + hour * HOUR
            sweep_deadlines(now=now.at)
            if hour == begin:
                with unit_of_work(office.tenant.id):
                    freeze = set_freeze(FreezeScope(), reason="test", ctx=ctx).freeze
                    Freeze.objects.filter(id=freeze.id).update(set_at=now.at)
            if hour == end and freeze is not None:
                with unit_of_work(office.tenant.id):
                    lift_freeze(freeze.id, ctx=ctx)
            if hour == 1:
                question = ask(office, item)
            if hour == 5 and question is not None:
                answer(office, item, question)
        assert office.step(step).status == "pending"
        assert office.step(step).expires_at == START + expected * HOUR


class TestReceipts:
    def test_receipts_contain_no_text(self, office: Office) -> None:
        item, _, _ = office.awaiting()
        question = ask(office, item, "Xylophone?")
        answer(office, item, question, "Zither")
        bodies = office.bodies("question.asked") + office.bodies("question.answered")
        assert len(bodies) == 2
        assert "ylophone" not in str(bodies)
        assert "ither" not in str(bodies)


def test_explanations_are_for_everybody(office: Office) -> None:
    item, _, _ = office.awaiting()
    ask(office, item)
    ctx = office.ctx("finn")
    with unit_of_work(office.tenant.id, actor=ctx):
        explained = explain_work_item(office.item(item), ctx=ctx)
    assert "fay asked the requester a question" in " ".join(explained.why)
