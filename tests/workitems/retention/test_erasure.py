"""Erasing a person: nobody reads their contents any more, everything that proves stays, and nothing else is touched."""

from __future__ import annotations

import io
from typing import Any

import orjson
import pytest
from django.core.management import call_command

from integrations.freezes.scope import FreezeScope
from integrations.models import Freeze
from tests.factories import acting_system, make_principal, make_tenant
from tests.workitems.office import Office
from tests.workitems.people_cases import (
    ALICE,
    SECRETS,
    about_people,
    ended_case,
    found_in_tables,
    payload,
    readable_answers,
    stored_rows,
    waiting_case,
)
from tests.workitems.retention.archives import aged, dry_run, put_rule, run
from threada_site.api.models import IdempotencyRecord
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.admission import add_principal
from threada_site.identity.change_sets.publish import publish
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import PrincipalKind
from threada_site.kernel.json.canonical import commitment, sha256_hex
from threada_site.personal_data.erasable_fields import is_erased
from threada_site.tenancy.authority_models import ChangeSet
from threada_site.tenancy.change_sets import store_proposal
from threada_site.tenancy.models import DataSubject, IdentityLink, IdentityProvider, User
from workitems.executions.freezes import set_freeze
from workitems.models import LegalHold, WorkItem
from workitems.retention.erasure import erase_principal, erase_subject
from workitems.retention.legal_holds import LegalHoldRequest, lift_legal_hold, set_legal_hold
from workitems.retention.subject_export import export_principal

KEPT = (
    "workitems_evidence", "workitems_vote", "integrations_envelope", "integrations_execution", "policies_policydecision",
    "telemetry_logleaf", "telemetry_checkpoint",
)  # fmt: skip


def erase(office: Office, item: WorkItem, by: str = "ada") -> int:
    assert item.subject_id is not None
    with unit_of_work(office.tenant.id):
        return erase_subject(item.subject_id, now=clock.now(), ctx=office.ctx(by))


def command(*arguments: str) -> list[str]:
    out = io.StringIO()
    call_command("subject", *arguments, stdout=out)
    return out.getvalue().splitlines()


def test_contents_are_gone_and_nothing_else_is(office: Office) -> None:
    about_people(office)
    alice, _, _ = ended_case(office)
    again, _, _ = ended_case(office)
    bob, _, _ = ended_case(office, person="bob@example.org")
    before, receipts = stored_rows(*KEPT), stored_rows("telemetry_receipt")["telemetry_receipt"]
    assert erase(office, alice) == 2
    assert stored_rows(*KEPT) == before
    assert stored_rows("telemetry_receipt")["telemetry_receipt"][: len(receipts)] == receipts
    for item in (alice, again):
        shown = office.api("rita").get(f"/work-items/{item}").json()
        assert (shown["payload"], shown["contents_erased"]) == ({"erased": "subject"}, "subject")
        assert (shown["payload_sha256"], shown["external_ref"]) == (None, None)
        assert shown["evidence"][0]["content"] == {"erased": "subject"}
        why = office.api("rita").get(f"/work-items/{item}/explain").json()["why"]
        assert "The data subject was erased, so the contents are no longer readable." in why
    assert office.item(bob).payload == payload(person="bob@example.org")
    assert found_in_tables(ALICE) == set()
    (body,) = office.bodies("subject.erased")
    assert body["inputs"] == {"subject_id": ids.public_id(ids.DATA_SUBJECT, alice.subject_id)}
    assert body["outcome"] == {"cases": 2}


def test_every_page_of_an_erased_case_still_opens(office: Office) -> None:
    about_people(office)
    item, step, execution = ended_case(office)
    erase(office, item)
    fay = office.api("fay")
    case = f"/work-items/{item}"
    for path in (case, f"{case}/timeline", f"/decision-steps/{step}", f"/executions/{execution}"):
        api = office.api("ada") if "timeline" in path else fay
        answer = api.get(path)
        assert answer.status_code == 200, (path, answer.content)
        assert not [word for word in SECRETS if word in answer.content.decode()]


def test_no_table_shows_the_contents_of_a_case_about_a_person_during_its_life(office: Office) -> None:
    about_people(office)
    rita, fay = office.api("rita"), office.api("fay")
    sent = {
        "workflow_id": "payments",
        "channel_id": "web",
        "payload": payload(),
        "evidence": [{"kind": "citation", "title": "Q-EVIDENCE"}],
    }
    made = rita.post("/work-items", sent, headers={"Idempotency-Key": "one"})
    assert made.status_code == 201, made.content
    path = f"/work-items/{made.json()['work_item_id']}"
    asked = {"work_item_id": made.json()["work_item_id"], "action_id": "pay", "integration_id": "bank"}
    started = rita.post("/actions/execute", {**asked, "input": {"memo": "Q-INPUT"}}, headers={"Idempotency-Key": "two"})
    assert started.status_code == 202, started.content
    said = fay.post(f"{path}/comments", {"text": "Q-COMMENT"}, headers={"Idempotency-Key": "three"})
    assert said.status_code == 201, said.content
    assert office.count(IdempotencyRecord) == 3
    assert found_in_tables(*SECRETS) == set()
    again = rita.post("/work-items", sent, headers={"Idempotency-Key": "one"})
    assert again.content == made.content


def test_answers_kept_for_repetition_go_too(office: Office) -> None:
    about_people(office)
    sent = {"workflow_id": "payments", "channel_id": "web", "payload": payload()}
    other = {"workflow_id": "payments", "channel_id": "web", "payload": payload(person="bob@example.org")}
    rita = office.api("rita")
    made = rita.post("/work-items", sent, headers={"Idempotency-Key": "one"}).json()
    rita.post("/work-items", other, headers={"Idempotency-Key": "two"})
    rita.post(f"/work-items/{made['work_item_id']}/cancel", {}, headers={"Idempotency-Key": "three"})
    assert office.count(IdempotencyRecord) == 3
    with unit_of_work(office.tenant.id):
        item = WorkItem.objects.get(id=ids.parse_public_id(ids.WORK_ITEM, made["work_item_id"]))
    erase(office, item)
    with unit_of_work(office.tenant.id):
        items = WorkItem.objects.count()
    assert found_in_tables(ALICE) == set()
    again = rita.post("/work-items", sent, headers={"Idempotency-Key": "one"})
    assert (again.status_code, again.json()["reason_code"]) == (409, "idempotency_answer_gone")
    assert again.headers["Location"] == f"/work-items/{made['work_item_id']}"
    assert rita.post("/work-items", other, headers={"Idempotency-Key": "two"}).status_code == 201
    assert office.count(WorkItem) == items


def test_answers_about_several_people_go_with_one_of_them(office: Office) -> None:
    """They are stored under the key of the instance, which no erasure removes."""
    about_people(office)
    rita, bob = office.api("rita"), "bob@example.org"

    def batch(key: str, *people: str) -> Any:
        sent = [{"workflow_id": "payments", "channel_id": "web", "payload": payload(person=one)} for one in people]
        return rita.post("/work-items/batch", {"work_items": sent}, headers={"Idempotency-Key": key})

    both, others = batch("both", ALICE, bob), batch("others", bob, "carol@example.org")
    made = [result["work_item"]["work_item_id"] for result in both.json()["results"]]
    for item in made:
        assert rita.post(f"/work-items/{item}/cancel", {}).status_code == 200
    assert [ALICE.encode() in answer for answer in readable_answers(office)] == [True, False]
    with unit_of_work(office.tenant.id):
        item = WorkItem.objects.get(id=ids.parse_public_id(ids.WORK_ITEM, made[0]))
    erase(office, item)
    assert readable_answers(office) == [others.content]
    again = batch("both", ALICE, bob)
    assert (again.status_code, again.json()["reason_code"]) == (409, "idempotency_answer_gone")
    assert batch("others", bob, "carol@example.org").content == others.content
    assert office.count(WorkItem) == 4


def test_what_forbids_an_erasure(office: Office) -> None:
    about_people(office)
    item, _, _ = waiting_case(office)
    before = stored_rows("tenancy_datasubject", "workitems_workitem")
    with pytest.raises(errors.Conflict, match=f"{item}, a case about su_.* is still open"):
        erase(office, item)
    with pytest.raises(errors.PermissionDenied):
        erase(office, item, by="fay")
    assert stored_rows("tenancy_datasubject", "workitems_workitem") == before
    ended, _, _ = ended_case(office, person="bob@example.org")
    with unit_of_work(office.tenant.id):
        set_legal_hold(LegalHoldRequest(reason="The auditor asked.", work_item_id=ended.id), ctx=office.ctx("ada"))
    before = stored_rows("tenancy_datasubject", "workitems_workitem")
    with pytest.raises(errors.UnderLegalHold, match=f"{ended} is under a legal hold"):
        erase(office, ended)
    assert stored_rows("tenancy_datasubject", "workitems_workitem") == before
    other = make_tenant("other")
    with unit_of_work(other.id), pytest.raises(errors.NotFound):
        erase_subject(ended.subject_id, now=clock.now(), ctx=acting_system(other))  # type: ignore[arg-type]


def test_a_legal_hold_on_a_requester_without_cases_prevents_the_erasure(office: Office) -> None:
    quinn = office.join("quinn")
    with unit_of_work(office.tenant.id):
        request = LegalHoldRequest(reason="The auditor asked.", requester_id=quinn.id)
        legal_hold = set_legal_hold(request, ctx=office.ctx("ada"))
        with pytest.raises(errors.UnderLegalHold, match="names this person as requester"):
            erase_principal(quinn, ctx=office.ctx("ada"))
        lift_legal_hold(legal_hold.id, reason="The audit is over.", ctx=office.publishing("ada"))
        erase_principal(quinn, ctx=office.ctx("ada"))
    assert [body["inputs"]["principal"] for body in office.bodies("principal.erased")] == [quinn.public_id]


def test_erased_once_a_person_may_come_back_as_somebody_new(office: Office) -> None:
    about_people(office)
    item, _, _ = ended_case(office)
    erase(office, item)
    erase(office, item)  # as after a restored backup
    new = office.create(payload=payload())
    assert new.subject_id != item.subject_id
    assert office.item(new).payload == payload()
    assert office.item(item).payload == {"erased": "subject"}
    with unit_of_work(office.tenant.id):
        assert [row.erased_at is not None for row in DataSubject.objects.order_by("id")] == [True, False]


def test_retention_empties_an_erased_case_as_any_other(office: Office) -> None:
    about_people(office)
    item, _, _ = ended_case(office)
    erase(office, item)
    aged(office, item, days=91)
    put_rule(office, keep_payload="P90D")
    dry_run(office)
    assert run(office) == 1
    assert office.item(item).payload == {"erased": "retention"}


def test_the_person_gets_everything_that_is_kept(office: Office) -> None:
    about_people(office)
    item, _, _ = ended_case(office)
    ended_case(office, person="bob@example.org")
    lines = command("export", "--tenant", "acme", "--reference", ALICE)
    told = [orjson.loads(line) for line in lines]
    assert (told[0]["format"], told[0]["reference"]) == ("threada-person/1", ALICE)
    kinds = [line["table"] for line in told[1:]]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "workitem": 1, "evidence": 1, "decisionstep": 1, "vote": 1, "execution": 1, "envelope": 1, "policydecision": 2,
        "receipt": len(office.kinds(item)),
    }  # fmt: skip
    text = "\n".join(lines)
    assert [word for word in SECRETS if word not in text] == []
    assert "bob@example.org" not in text
    (body,) = office.bodies("subject.exported")
    assert body["outcome"] == {"lines": len(lines), "sha256": sha256_hex(("\n".join(lines) + "\n").encode())}


def test_command_exports_and_erases_a_person(office: Office, tmp_path: Any) -> None:
    about_people(office)
    item, _, _ = ended_case(office)
    subject = ids.public_id(ids.DATA_SUBJECT, item.subject_id)
    file = tmp_path / "alice.ndjson"
    assert command("export", "--tenant", "acme", "--subject", subject, "--output", str(file)) == []
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(SystemExit):
        command("erase", "--tenant", "acme", "--subject", subject)
    assert not is_erased(office.item(item).payload)
    assert command("erase", "--tenant", "acme", "--reference", ALICE, "--yes") == [
        f"{subject}: erased; the contents of 1 cases are no longer readable."
    ]
    assert is_erased(office.item(item).payload)
    for refused in (("--reference", ALICE), ("--subject", "su_00000000000000000000000000"), ("--principal", "nobody")):
        with pytest.raises(SystemExit) as stopped:
            command("erase", "--tenant", "acme", *refused, "--yes")
        assert stopped.value.code == 1
    with pytest.raises(SystemExit) as stopped:
        command("export", "--tenant", "acme", "--subject", subject)
    assert stopped.value.code == 1


class TestPrincipals:
    def test_name_and_sentences_go_and_the_acts_stay(self, office: Office) -> None:
        User.objects.filter(username="fay").update(display_name="Fay Q-NAME", email="fay@q-mail.example")
        item, step, _ = office.awaiting()
        office.vote(step, "fay", comment="Q-COMMENT")
        fay = office.people["fay"]
        assert office.api("fay").get("/me").status_code == 200
        with unit_of_work(office.tenant.id):
            assert erase_principal(User.objects.get(id=fay.id), ctx=office.ctx("ada")) == 1
        assert found_in_tables("Q-NAME", "q-mail", "Q-COMMENT") == set()
        found = User.objects.get(id=fay.id)
        assert (found.username, found.is_active, found.has_usable_password()) == (f"erased-{fay.id.hex}", False, False)
        assert office.api("fay").get("/me").status_code == 401
        (vote,) = office.api("rita").get(f"/decision-steps/{step}").json()["votes"]
        assert (vote["decision"], vote["comment"]) == ("approve", "[erased: subject]")
        (body,) = office.bodies("principal.erased")
        assert body["inputs"] == {"principal": fay.public_id}
        assert body["outcome"] == {"sentences": 1, "account": "erased"}
        assert "decision_step.opened" in office.kinds(item)

    def test_accounts_at_identity_providers_are_exported_and_go(self, office: Office) -> None:
        fay = User.objects.get(id=office.people["fay"].id)
        here = {"tenant_id": office.tenant.id}
        with unit_of_work(office.tenant.id):
            provider = IdentityProvider.objects.create(**here, slug="corp", name="Corp")
            IdentityLink.objects.create(
                **here, provider=provider, user=fay, issuer="https://idp.example", subject="q-subject@idp.example"
            )
            exported = b"".join(export_principal(fay, ctx=office.ctx("ada")))
            assert b"q-subject@idp.example" in exported
            erase_principal(fay, ctx=office.ctx("ada"))
        assert found_in_tables("q-subject") == set()

    def test_name_and_address_in_change_sets_go(self, office: Office) -> None:
        office.join("bo", roles=("tenant_admin",))
        asked = {"kind": PrincipalKind.HUMAN, "display_name": "Nora Q-NAME", "email": "nora@q-mail.example"}
        with unit_of_work(office.tenant.id):
            for second in (False, True):
                with pytest.raises(errors.ConfirmationRequired) as proposed:
                    add_principal("q-nora", roles=["viewer"] if second else [], **asked, ctx=office.ctx("bo"))
                change_set = store_proposal(proposed.value, ctx=office.ctx("bo"))
                if not second:
                    publish(change_set, change_set.digest, ctx=office.ctx("ada"))
                nora = User.objects.get(username="q-nora")
            assert erase_principal(nora, ctx=office.system) == 0
            first, second_one = ChangeSet.objects.order_by("id")
            assert first.title == f"Add the person {nora.public_id}"
            assert (second_one.status, "Propose the change again" in second_one.reason) == ("stale", True)
        (stale,) = office.bodies("change_set.stale")
        assert stale["inputs"]["change_set_id"] == second_one.public_id
        assert found_in_tables("Q-NAME", "q-mail", "q-nora") == set()

    def test_reasons_of_freezes_and_legal_holds_are_committed_and_erased(self, office: Office) -> None:
        office.join("bo", roles=("tenant_admin",))
        with unit_of_work(office.tenant.id):
            frozen = set_freeze(FreezeScope(), reason="Q-FREEZE", ctx=office.ctx("bo")).freeze
            legal_hold = set_legal_hold(LegalHoldRequest(reason="Q-HOLD", workflow="payments"), ctx=office.ctx("bo"))
            lift_legal_hold(legal_hold.id, reason="Q-LIFT", ctx=office.publishing("bo"))
            assert frozen.reason_salt != legal_hold.reason_salt
            told = {
                "freeze.set": commitment(frozen.reason_salt, "Q-FREEZE"),
                "legal_hold.set": commitment(legal_hold.reason_salt, "Q-HOLD"),
                "legal_hold.lifted": commitment(legal_hold.reason_salt, "Q-LIFT"),
            }
        for kind, expected in told.items():
            (body,) = office.bodies(kind)
            assert body["inputs"]["reason_commitment"] == expected
        with unit_of_work(office.tenant.id):
            lines = b"".join(export_principal(office.people["bo"], ctx=office.ctx("ada")))
            assert all(word in lines for word in (b"Q-FREEZE", b"Q-HOLD", b"Q-LIFT"))
            assert erase_principal(User.objects.get(username="bo"), ctx=office.ctx("ada")) == 3
            assert {bytes(row.reason_salt) for row in (Freeze.objects.get(), LegalHold.objects.get())} == {b""}
            assert LegalHold.objects.get().lifted_reason == "[erased: subject]"
        assert found_in_tables("Q-FREEZE", "Q-HOLD", "Q-LIFT") == set()

    def test_an_account_of_two_tenants_is_kept_for_the_other(self, office: Office) -> None:
        make_principal(make_tenant("other"), "wim", roles=("viewer",))
        with unit_of_work(office.tenant.id):
            erase_principal(User.objects.get(username="wim"), ctx=office.system)
        assert User.objects.filter(username="wim", is_active=True).exists()
        (body,) = office.bodies("principal.erased")
        assert body["outcome"]["account"] == "kept: it belongs to another tenant"

    def test_legal_hold_and_own_case_block_erasure(self, office: Office) -> None:
        item, step, _ = office.awaiting()
        office.vote(step, "fay", comment="Q-COMMENT")
        with unit_of_work(office.tenant.id):
            set_legal_hold(LegalHoldRequest(reason="The auditor asked.", work_item_id=item.id), ctx=office.ctx("ada"))
        for name in ("fay", "rita"):
            with unit_of_work(office.tenant.id), pytest.raises(errors.UnderLegalHold):
                erase_principal(office.people[name], ctx=office.ctx("ada"))
        with unit_of_work(office.tenant.id), pytest.raises(errors.Conflict):
            erase_principal(office.people["ada"], ctx=office.ctx("ada"))
        assert User.objects.filter(username__startswith="erased-").count() == 0

    def test_a_principal_gets_what_is_kept(self, office: Office) -> None:
        item, step, _ = office.awaiting()
        office.vote(step, "fay", comment="Q-COMMENT")
        lines = [orjson.loads(line) for line in command("export", "--tenant", "acme", "--principal", "fay")]
        assert lines[0]["username"] == "fay"
        assert next(line for line in lines if line.get("table") == "vote")["comment"] == "Q-COMMENT"
        lines = [orjson.loads(line) for line in command("export", "--tenant", "acme", "--principal", "rita")]
        (handed_in,) = [line for line in lines if line.get("table") == "workitem"]
        assert (handed_in["work_item_id"], handed_in["as"]) == (item.public_id, ["requester", "submitted_by"])
