"""An answer and the vote that decides, and two answers, at the same moment: one order, and a typed refusal."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.races import after, rounds_until
from tests.workitems.conversation.test_questions import ask
from tests.workitems.office import Office
from tests.workitems.test_concurrency import at_once
from threada_site.database.unit_of_work import unit_of_work
from workitems.completeness.verify import verify_completeness
from workitems.models import RequesterQuestion

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_an_answer_and_a_decision_have_one_order(office: Office) -> None:
    seen: Counter[str] = Counter()
    for early, late in rounds_until(seen):
        item, step, _ = office.awaiting()
        question = ask(office, item)
        path = f"/work-items/{item.public_id}/questions/{question.public_id}/answer"
        ballot = {"decision": "reject", "envelope_sha256": step.envelope_sha256, "reason_code": "WRONG"}
        answered, voted = at_once(
            after(early, lambda path=path: office.api("rita").post(path, {"text": "PO 4711"})),
            after(
                late,
                lambda step=step, body=ballot: office.api("finn").post(f"/decision-steps/{step.public_id}/votes", body),
            ),
        )
        assert voted.status_code == 201
        with unit_of_work(office.tenant.id):
            status = RequesterQuestion.objects.get(id=question.id).status
        assert (answered.status_code, status) in ((200, "answered"), (409, "closed"))
        if answered.status_code == 409:
            assert answered.json()["reason_code"] == "question_closed"
        assert office.item(item).open_questions == 0
        seen[status] += 1
    with unit_of_work(office.tenant.id):
        assert list(verify_completeness(office.tenant)) == []


def test_of_two_answers_one_counts(office: Office) -> None:
    item, _, _ = office.awaiting()
    question = ask(office, item)
    path = f"/work-items/{item.public_id}/questions/{question.public_id}/answer"
    answers = at_once(*[lambda text=text: office.api("rita").post(path, {"text": text}) for text in ("one", "two")])
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert office.item(item).open_questions == 0
