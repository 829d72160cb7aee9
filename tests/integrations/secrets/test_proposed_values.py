"""Secrets under `policy_four_eyes`: the value waits encrypted until an independent person publishes it."""

from __future__ import annotations

import hashlib
import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from integrations.models import ProposedSecret, StoredSecret
from integrations.secrets.vault import encrypt_secret, fingerprint_of, reveal
from integrations.sweeps import delete_old_values
from telemetry.models import Receipt
from tests.console.sign_in import sign_in
from tests.factories import make_tenant
from tests.threada_site.identity.change_sets.offices import Office, make_office, publish, refusal
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.departure.end import end_membership
from threada_site.identity.departure.outcome import DepartureReason
from threada_site.kernel import clock
from threada_site.tenancy.models import Tenant

VALUE = "canary-7f31-value"
BODY = {"secret_id": "bank_token", "value": VALUE, "origins": ["https://bank.example"]}


@pytest.fixture
def office(tenant: Tenant) -> Office:
    office = make_office(tenant)
    office.require()
    return office


def waiting(office: Office) -> list[ProposedSecret]:
    with unit_of_work(office.tenant.id):
        return list(ProposedSecret.objects.order_by("id"))


def stored(office: Office) -> list[tuple[str, int, list[str]]]:
    with unit_of_work(office.tenant.id):
        return list(StoredSecret.objects.order_by("slug").values_list("slug", "number", "origins"))


def value_of(office: Office) -> str:
    return reveal("bank_token", tenant_id=office.tenant.id, sent_to="https://bank.example/pay").reveal()


def open_change_set(office: Office, proposed: Any) -> Any:
    return office.ben.get(f"/change-sets/{proposed.json()['change_set_id']}").json()


def age(office: Office, by: timedelta) -> None:
    with unit_of_work(office.tenant.id):
        ProposedSecret.objects.update(created_at=clock.now() - by)


def test_a_value_takes_effect_when_a_second_person_publishes_it(office: Office) -> None:
    proposed = office.ada.post("/secrets", BODY)
    assert (proposed.status_code, stored(office)) == (202, [])
    shown = open_change_set(office, proposed)
    fingerprint = fingerprint_of("bank_token", VALUE, tenant_id=office.tenant.id)
    assert shown["arguments"] == {
        "secret": "bank_token", "origins": ["https://bank.example"], "fingerprint": fingerprint,
    }  # fmt: skip
    assert shown["after"]["state"] == {**shown["arguments"], "number": 1}
    assert VALUE not in proposed.content.decode() + str(shown)
    assert refusal(publish(office.ada, proposed)) == (403, "second_person_required")
    assert (len(waiting(office)), stored(office)) == (1, [])
    assert publish(office.ben, proposed).status_code == 200
    assert (value_of(office), waiting(office)) == (VALUE, [])
    assert stored(office) == [("bank_token", 1, ["https://bank.example"])]
    with unit_of_work(office.tenant.id):
        assert all(VALUE.encode() not in bytes(body) for body in Receipt.objects.values_list("body", flat=True))


def test_a_service_proposes_a_value_and_stores_none(office: Office) -> None:
    proposed = office.robot.post("/secrets", BODY)
    assert (proposed.status_code, stored(office)) == (202, [])


def test_other_origins_for_the_same_value_need_a_second_person_too(office: Office) -> None:
    publish(office.ben, office.ada.post("/secrets", BODY))
    proposed = office.ada.post("/secrets", {**BODY, "origins": ["https://evil.example"]})
    assert proposed.status_code == 202
    assert stored(office) == [("bank_token", 1, ["https://bank.example"])]
    assert open_change_set(office, proposed)["before"]["state"]["origins"] == ["https://bank.example"]


def test_the_end_of_a_change_set_deletes_the_value(office: Office) -> None:
    proposed = office.ada.post("/secrets", BODY).json()
    answer = office.ben.post(f"/change-sets/{proposed['change_set_id']}/reject", {"reason": "no"})
    assert (answer.status_code, waiting(office), stored(office)) == (200, [], [])
    office.ada.post("/secrets", {**BODY, "value": "another"})
    with unit_of_work(office.tenant.id):
        ctx = office.context("ben")
        end_membership(office.principal("ada"), reason=DepartureReason.REMOVED, ctx=ctx)
    assert (waiting(office), stored(office)) == ([], [])


@pytest.mark.parametrize("is_swept", [True, False])
def test_a_value_waits_for_at_most_seven_days(office: Office, is_swept: bool) -> None:
    proposed = office.ada.post("/secrets", BODY)
    assert delete_old_values(now=clock.now() + timedelta(days=6, hours=23)) == 0
    age(office, timedelta(days=7, seconds=1))
    if is_swept:
        assert delete_old_values(now=clock.now()) == 1
    assert refusal(publish(office.ben, proposed)) == (409, "change_set_stale")
    assert (waiting(office), stored(office)) == ([], [])


def test_another_value_in_the_place_of_the_proposed_one_is_not_published(office: Office) -> None:
    proposed = office.ada.post("/secrets", BODY)
    other = encrypt_secret("bank_token", "of the thief", tenant_id=office.tenant.id)
    with unit_of_work(office.tenant.id):
        ProposedSecret.objects.update(token=other.token)
    assert refusal(publish(office.ben, proposed)) == (409, "change_set_stale")
    assert stored(office) == []


def test_a_value_that_changed_meanwhile_makes_the_change_set_stale(office: Office) -> None:
    first, second = office.ada.post("/secrets", BODY), office.ada.post("/secrets", {**BODY, "value": "another"})
    assert publish(office.ben, first).status_code == 200
    assert refusal(publish(office.ben, second)) == (409, "change_set_stale")
    assert value_of(office) == VALUE


def test_the_same_proposal_twice_is_one_change_set(office: Office) -> None:
    one, other = office.ada.post("/secrets", BODY), office.ada.post("/secrets", BODY)
    assert one.json()["change_set_id"] == other.json()["change_set_id"]
    assert len(waiting(office)) == 1


def test_removing_a_secret_needs_nobody_else(office: Office) -> None:
    publish(office.ben, office.ada.post("/secrets", BODY))
    assert office.ada.post("/secrets/bank_token/remove", {}).status_code == 204
    assert stored(office) == []


def test_without_the_rule_a_value_is_stored_at_once(tenant: Tenant) -> None:
    office = make_office(tenant)
    assert office.ada.post("/secrets", BODY).status_code == 201
    assert (value_of(office), waiting(office)) == (VALUE, [])


def test_fingerprints_are_keyed_and_belong_to_one_secret_of_one_tenant(office: Office) -> None:
    other = make_tenant("other")
    own = fingerprint_of("bank_token", VALUE, tenant_id=office.tenant.id)
    assert own == fingerprint_of("bank_token", VALUE, tenant_id=office.tenant.id)
    strangers = {
        fingerprint_of("bank_token", VALUE + "x", tenant_id=office.tenant.id),
        fingerprint_of("other", VALUE, tenant_id=office.tenant.id),
        fingerprint_of("bank_token", VALUE, tenant_id=other.id),
        hashlib.sha256(VALUE.encode()).hexdigest()[:32],
    }
    assert len(strangers) == 4
    assert own not in strangers


def test_a_new_key_encrypts_values_that_wait(office: Office, tmp_path: Path, settings: Any) -> None:
    path = tmp_path / "keys"
    path.write_text("0" * 48 + "\n")
    settings.THREADA_SECRETS_KEY, settings.THREADA_SECRETS_KEY_FILE = "", str(path)
    proposed = office.ada.post("/secrets", BODY)
    said = io.StringIO()
    call_command("rotate_secrets", "--new-key", stdout=said)
    call_command("rotate_secrets", "--finish", stdout=said)
    assert said.getvalue().startswith("1 re-encrypted")
    assert publish(office.ben, proposed).status_code == 200
    assert value_of(office) == VALUE


def test_the_console_proposes_and_shows_fingerprint_and_origins(office: Office) -> None:
    browser = sign_in(office.principal("ada"))
    sent = {"secret_id": "bank_token", "value": VALUE, "origins": "https://bank.example"}
    page = browser.post("/console/integrations/storedsecret/new/", sent, follow=True)
    assert "A second person must publish this change" in page.content.decode()
    assert stored(office) == []
    with unit_of_work(office.tenant.id):
        (row,) = ProposedSecret.objects.all()
    change_set = office.ben.get("/change-sets").json()["data"][0]["change_set_id"]
    shown = sign_in(office.principal("ben")).get(f"/console/tenancy/changeset/{change_set}/").content.decode()
    assert row.fingerprint in shown
    assert "https://bank.example" in shown
    assert VALUE not in shown
