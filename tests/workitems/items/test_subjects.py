"""Cases about data subjects: contents are encrypted with the subject's key by every writer, and pages decrypt them."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from integrations.executions.envelope import open_envelope
from integrations.models import Envelope, Execution
from policies.models import PolicyDecision
from telemetry.models import Receipt
from tests.factories import make_tenant
from tests.jobs import run_jobs
from tests.workitems.office import Office, open_office
from tests.workitems.people_cases import (
    ALICE,
    SECRETS,
    about_people,
    ended_case,
    found_in_tables,
    payload,
    waiting_case,
)
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors, ids
from threada_site.kernel.json.canonical import canonical_bytes, sha256_hex
from threada_site.kernel.json.strict import parse_json
from threada_site.personal_data.encrypted_blob import BlobUnreadableError
from threada_site.tenancy.models import DataSubject
from workitems.models import Vote, WorkItem


def test_no_table_holds_a_value_in_the_clear(office: Office) -> None:
    about_people(office)
    ended_case(office)
    assert found_in_tables(*SECRETS) == {("workitems_workitem", ALICE)}  # in external_ref, which people choose
    office.upsert_workflow(subject=None)
    ended_case(office)
    assert ("workitems_workitem", "Q-PAYLOAD") in found_in_tables(*SECRETS)


def test_everybody_who_may_read_a_case_reads_it_as_before(office: Office) -> None:
    about_people(office)
    item, step, execution = waiting_case(office)
    assert item.payload == payload()
    shown = office.api("rita").get(f"/work-items/{item}").json()
    assert shown["payload"] == payload()
    assert shown["evidence"][0]["content"] == {"title": "Q-EVIDENCE"}
    assert (shown["subject_id"], shown["contents_erased"]) == (ids.public_id(ids.DATA_SUBJECT, item.subject_id), None)
    answer = office.api("fay").get(f"/decision-steps/{step}").json()
    assert answer["envelope"]["request"]["body"] == {"amount": 500, "note": "Q-PAYLOAD", "memo": "Q-INPUT"}
    assert [vote["comment"] for vote in answer["votes"]] == ["Q-COMMENT"]
    with unit_of_work(office.tenant.id):
        envelope = Envelope.objects.get(id=execution.envelope_id)
        assert open_envelope(bytes(envelope.body), envelope.sha256)["request"]["body"]["note"] == "Q-PAYLOAD"
        facts = [parse_json(bytes(row.facts)) for row in PolicyDecision.objects.order_by("id")]
        assert [fact["item"]["payload"] for fact in facts] == [payload()] * 2
        assert Execution.objects.get(id=execution.id).input == {"memo": "Q-INPUT"}
        assert list(Vote.objects.values_list("comment", flat=True)) == ["Q-COMMENT"]


def test_an_approved_action_about_a_person_is_carried_out(office: Office) -> None:
    about_people(office)
    _, step, execution = waiting_case(office)
    office.vote(step, "finn")
    run_jobs()
    tried = office.execution(execution)
    assert (tried.status, tried.failure) == ("failed", "blocked_address")  # the envelope held; the bank is not allowed
    assert tried.attempts_made >= 1
    assert found_in_tables(*SECRETS[:-1]) == set()


def test_one_person_is_one_key_and_tenants_share_none(office: Office) -> None:
    about_people(office)
    first, second = office.create(payload=payload(1)), office.create(payload=payload(2))
    third = office.create(payload=payload(3, person="bob@example.org"))
    assert first.subject_id == second.subject_id != third.subject_id
    other = open_office(make_tenant("other"))
    about_people(other)
    elsewhere = other.create(payload=payload(4))
    assert elsewhere.subject_id not in {first.subject_id, third.subject_id}
    assert (office.count(DataSubject), other.count(DataSubject)) == (2, 1)
    with unit_of_work(office.tenant.id):
        rows = [
            bytes(value)
            for row in DataSubject.objects.values_list("lookup", "reference", "wrapped_key")
            for value in row
        ]
    assert len(set(rows)) == 6
    assert not any(b"alice" in row for row in rows)


@pytest.mark.parametrize(
    "sent",
    [{"amount": 1}, {"amount": 1, "person": {}}, {"amount": 1, "person": {"mail": ""}}, {"amount": 1, "person": "x"},
     {"amount": 1, "person": {"mail": True}}, {"amount": 1, "person": {"mail": "a" * 513}}],
)  # fmt: skip
def test_a_request_that_names_nobody_is_refused(office: Office, sent: dict[str, Any]) -> None:
    about_people(office)
    before = office.count(WorkItem)
    with pytest.raises(errors.PayloadSchemaViolation) as refused:
        office.create(payload=sent)
    assert [(error.pointer, error.code) for error in refused.value.errors] == [("/payload/person/mail", "required")]
    assert (office.count(WorkItem), office.count(DataSubject)) == (before, 0)


def test_a_case_stays_about_the_same_person(office: Office) -> None:
    about_people(office)
    item = office.decided(payload=payload(5))
    answer = office.api("rita").edit(f"/work-items/{item}", {"payload": payload(5, person="bob@example.org")})
    assert answer.json()["errors"][0]["code"] == "immutable"
    answer = office.api("rita").edit(f"/work-items/{item}", {"payload": payload(6)})
    assert (answer.status_code, answer.json()["payload"]) == (200, payload(6))
    assert office.item(item).subject_id == item.subject_id
    assert found_in_tables("Q-PAYLOAD") == set()


def test_receipts_contain_no_value_and_no_guessable_digest(office: Office) -> None:
    about_people(office)
    _, step, _ = ended_case(office)
    with unit_of_work(office.tenant.id):
        bodies = b"\n".join(bytes(body) for body in Receipt.objects.values_list("body", flat=True)).decode()

    for word in (*SECRETS, *(f'"{name}"' for name in office.people)):
        assert word not in bodies, word
    for value in ({"memo": "Q-INPUT"}, payload(), [{"kind": "citation", "content": {"title": "Q-EVIDENCE"}}]):
        assert sha256_hex(canonical_bytes(value)) not in bodies
    with unit_of_work(office.tenant.id):
        content = parse_json(bytes(Envelope.objects.get(id=step.envelope_id).body))
    assert content["salt"] not in bodies


def test_a_blob_moved_elsewhere_does_not_open(office: Office) -> None:
    about_people(office)
    item, _, _ = waiting_case(office)
    with unit_of_work(office.tenant.id), connection.cursor() as cursor:
        cursor.execute("UPDATE workitems_workitem SET ended_reason = (SELECT comment FROM workitems_vote LIMIT 1)")
    with pytest.raises(BlobUnreadableError, match=r"workitems_workitem\.ended_reason"):
        office.item(item)


def test_half_an_erasure_is_refused_by_the_database(office: Office) -> None:
    about_people(office)
    office.create(payload=payload())
    with (
        unit_of_work(office.tenant.id),
        pytest.raises(IntegrityError, match="datasubject_erased_wholly"),
        transaction.atomic(),
    ):
        DataSubject.objects.update(wrapped_key=None)


def test_a_value_that_looks_sealed_is_only_a_value(office: Office) -> None:
    item = office.create(payload={"amount": 5, "x": {"threada:sealed": "AAAA"}})
    other = office.create(payload={"amount": 5}, evidence=[{"threada:sealed": "AAAA"}])
    assert office.item(item).payload["x"] == {"threada:sealed": "AAAA"}
    assert [part.content for part in office.item(other).evidence.all()] == [{"threada:sealed": "AAAA"}]
