"""Texts of conversations in retention, erasure, exports and the completeness check."""

from __future__ import annotations

import orjson
import pytest

from telemetry.models import Receipt
from tests.workitems.conversation.test_comments import say
from tests.workitems.conversation.test_questions import answer, ask
from tests.workitems.office import WORKFLOW, Office
from tests.workitems.people_cases import payload, readable_answers
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors
from threada_site.personal_data.erasable_fields import is_erased
from workitems.completeness.verify import verify_completeness
from workitems.conversation.comments import edit_comment, remove_comment
from workitems.models import CommentVersion, LegalHold, RequesterQuestion
from workitems.retention.erasure import erase_principal
from workitems.retention.run import empty_contents
from workitems.retention.subject_export import export_principal

pytestmark = pytest.mark.django_db


def test_erasing_a_person_erases_what_the_person_wrote(office: Office) -> None:
    item, _, _ = office.awaiting()
    say(office, item, "by fay")
    say(office, item, "by finn", by="finn")
    answer(office, item, ask(office, item, "asked by fay"), "answered by rita")
    with unit_of_work(office.tenant.id):
        erase_principal(office.people["fay"], ctx=office.system)
        texts = {version.comment.author.username: version.text for version in CommentVersion.objects.all()}
        question = RequesterQuestion.objects.get()
        fay = CommentVersion.objects.get(comment__author=office.people["fay"])
    assert is_erased(fay.text)
    assert is_erased(fay.text_salt)
    assert "by finn" in texts.values()
    assert is_erased(question.text)
    assert question.answer == "answered by rita"


@pytest.mark.parametrize("is_about_a_person", [False, True], ids=["key of the instance", "key of a person"])
def test_erasing_a_person_empties_the_stored_answers_with_the_texts(office: Office, is_about_a_person: bool) -> None:
    if is_about_a_person:
        office.upsert_workflow(payload_schema=dict(WORKFLOW["payload_schema"]), subject="/person/mail")
    item, _, _ = office.awaiting(payload=payload())
    assert (item.subject_id is not None) == is_about_a_person
    path = f"/work-items/{item.public_id}"
    key = {"Idempotency-Key": "k1"}
    said = office.api("fay").post(f"{path}/comments", {"text": "said by fay"}, headers=key)
    asked = office.api("fay").post(f"{path}/questions", {"text": "asked by fay"}, headers=key)
    assert (said.status_code, asked.status_code) == (201, 201), (said.content, asked.content)
    where = f"{path}/questions/{asked.json()['question_id']}/answer"
    answered = office.api("rita").post(where, {"text": "answered by rita"}, headers=key)
    assert answered.status_code == 200, answered.content
    assert sum(b"by fay" in answer for answer in readable_answers(office)) == 3
    with unit_of_work(office.tenant.id):
        erase_principal(office.people["fay"], ctx=office.system)
    assert not any(b"by fay" in answer for answer in readable_answers(office))
    again = office.api("rita").post(where, {"text": "answered by rita"}, headers=key)
    assert (again.status_code, again.json()["reason_code"]) == (409, "idempotency_answer_gone")


def test_a_legal_hold_on_a_commented_item_keeps_the_author(office: Office) -> None:
    item = office.decided()
    say(office, item, "by fay")
    with unit_of_work(office.tenant.id):
        LegalHold.objects.create(tenant=office.tenant, work_item_id=item.id, reason="x", set_by=None)
        with pytest.raises(errors.UnderLegalHold):
            erase_principal(office.people["fay"], ctx=office.system)


def test_retention_empties_conversations(office: Office) -> None:
    item, _, _ = office.awaiting()
    say(office, item, "gone")
    answer(office, item, ask(office, item, "gone"), "gone")
    with unit_of_work(office.tenant.id):
        empty_contents([item.id], by="retention", ctx=office.system)
        version, question = CommentVersion.objects.get(), RequesterQuestion.objects.get()
    assert is_erased(version.text)
    assert is_erased(question.text)
    assert is_erased(question.answer)
    answered = office.api("fay").get(f"/work-items/{item.public_id}/comments")
    assert answered.json()["data"][0]["text"] == "[erased: retention]"


def test_the_export_of_a_person_contains_what_the_person_wrote(office: Office) -> None:
    item, _, _ = office.awaiting()
    say(office, item, "by fay")
    say(office, item, "by finn", by="finn")
    answer(office, item, ask(office, item, "asked by fay"), "answered by rita")
    with unit_of_work(office.tenant.id):
        lines = [orjson.loads(line) for line in export_principal(office.people["fay"], ctx=office.system)]
    found = [line for line in lines if line.get("table") in ("commentversion", "requesterquestion")]
    assert [line["text"] for line in found] == ["by fay", "asked by fay"]
    assert "by finn" not in str(lines)
    assert "answered by rita" not in str(lines)


@pytest.mark.parametrize(
    "kind", ["comment.added", "comment.edited", "comment.removed", "question.asked", "question.answered"]
)
def test_a_missing_receipt_is_found(office: Office, kind: str) -> None:
    item, _, _ = office.awaiting()
    comment = say(office, item).comment
    office.on_item(item, lambda locked, ctx: edit_comment(locked, comment.id, "other", ctx=ctx), by="fay")
    office.on_item(item, lambda locked, ctx: remove_comment(locked, comment.id, ctx=ctx), by="fay")
    answer(office, item, ask(office, item))
    with unit_of_work(office.tenant.id):
        assert list(verify_completeness(office.tenant)) == []
        with platform_role():
            Receipt.objects.filter(kind=kind).delete()
        (finding,) = verify_completeness(office.tenant)
    assert finding.code == "act_without_receipt"
