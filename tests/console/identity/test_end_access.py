"""A steward ends everything through which a member can act, after a step-up."""

from __future__ import annotations

import orjson

from telemetry.models import Receipt
from tests.console.sign_in import Console, confirm
from tests.factories import PASSWORD, make_principal, make_token
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import Credential, User


def test_the_console_lists_and_ends_after_a_step_up(demo: Demo, console: Console) -> None:
    service = make_principal(demo.tenant, "leaker", "service", ["viewer"])
    make_token(demo.tenant, service)
    browser, address = console("admin"), f"/console/tenancy/membership/{service.public_id}/end-access/"
    person = User.objects.get(username="admin")
    person.set_password(PASSWORD)
    person.save()
    browser.force_login(person)
    first = browser.post(address)
    assert "confirm" in first["Location"]
    assert browser.post(first["Location"], {"password": PASSWORD}).status_code == 302
    with unit_of_work(demo.tenant.id):
        (credential,) = Credential.objects.filter(user=service)
    assert credential.public_id in browser.post(address).content.decode()
    assert confirm(browser, address).status_code == 302
    with unit_of_work(demo.tenant.id):
        assert not Credential.objects.get(user=service).is_live
        (receipt,) = Receipt.objects.filter(kind="principal.access_ended")
    assert orjson.loads(bytes(receipt.body))["outcome"]["revoked"] == [credential.public_id]
