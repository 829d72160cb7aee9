"""An integration from a pasted command: the secret is stored apart, and appears on no page and in no receipt."""

from __future__ import annotations

from integrations.models import Integration
from integrations.secrets.vault import reveal
from telemetry.models import Receipt
from tests.console.sign_in import Console
from tests.integrations.documents.test_openapi import DOCUMENT
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work

PAGE = "/console/integrations/integration/from-curl/"
CANARY = "canary-71aa-value"
SENT = {
    "command": f"curl -X POST https://api.bank.example/pay -H 'Authorization: Bearer {CANARY}' -d '{{\"a\": 1}}'",
    "slug": "int_new",
    "name": "New bank",
    "action": "pay",
    "secret_id": "",
}


def test_the_integration_refers_to_its_secret(demo: Demo, console: Console) -> None:
    browser = console("admin")
    assert browser.get(PAGE).status_code == 200
    shown = browser.post(PAGE, {**SENT, "show": ""})
    assert shown.status_code == 200
    assert CANARY not in shown.context["document"]
    with unit_of_work(demo.tenant.id):
        assert not Integration.objects.filter(slug="int_new").exists()
    done = browser.post(PAGE, SENT)
    assert done.status_code == 302, done.content.decode()
    assert reveal("int_new_secret", tenant_id=demo.tenant.id, sent_to="https://api.bank.example").reveal() == CANARY
    page = browser.get(done["Location"]).content.decode()
    assert "int_new_secret" in page
    assert CANARY not in page
    with unit_of_work(demo.tenant.id):
        assert all(CANARY.encode() not in bytes(receipt.body) for receipt in Receipt.objects.all())
    again = browser.post(PAGE, SENT)
    assert (again.status_code, "already" in again.content.decode()) == (422, True)
    taken = browser.post(PAGE, {**SENT, "slug": "int_other", "secret_id": "int_new_secret"})
    assert "There is a secret int_new_secret already." in taken.content.decode()


def test_named_values_come_from_the_request(demo: Demo, console: Console) -> None:
    browser = console("admin")
    command = (
        """curl 'https://a.example/x?day=1&zone=2' -d '{"who": {"name": "Ada", "list": [{"day": 5}]}, "a b": 1}'"""
    )
    sent = {**SENT, "command": command, "fields_taken": "name, day"}
    assert browser.post(PAGE, sent).status_code == 302
    with unit_of_work(demo.tenant.id):
        version = Integration.objects.select_related("current_version").get(slug="int_new").current_version
        assert version is not None
        action = version.spec["actions"]["pay"]
    assert action["body"] == {
        "who": {"name": "${item.payload.name}", "list": [{"day": "${item.payload.day}"}]},
        "a b": 1,
    }
    assert action["query"] == {"day": "${item.payload.day}", "zone": "2"}
    for wrong in ("nobody", "a b", "${x}"):
        refused = browser.post(PAGE, {**sent, "slug": "int_other", "fields_taken": wrong})
        assert (refused.status_code, "has a member with this name." in refused.content.decode()) == (422, True)


def test_refusals_create_nothing(demo: Demo, console: Console) -> None:
    browser = console("admin")
    for wrong in ({"command": "curl -k https://a.example"}, {"slug": "A B"}, {"command": "curl file:///etc/passwd"}):
        assert browser.post(PAGE, {**SENT, **wrong}).status_code == 422
    assert console("finance-1").get(PAGE).status_code == 403
    with unit_of_work(demo.tenant.id):
        assert not Integration.objects.filter(slug="int_new").exists()


def test_an_integration_is_made_from_chosen_operations(demo: Demo, console: Console) -> None:
    browser = console("admin")
    page = "/console/integrations/integration/from-openapi/"
    shown = browser.post(page, {"openapi": DOCUMENT, "show": ""}).content.decode()
    assert 'value="create_payment"' in shown
    assert "Pay &lt;b&gt;somebody&lt;/b&gt;" in shown
    sent = {"openapi": DOCUMENT, "slug": "int_open", "name": "", "base_url": "", "token": CANARY}
    assert browser.post(page, sent).status_code == 422
    done = browser.post(page, {**sent, "operation": ["create_payment"]})
    assert done.status_code == 302, done.content.decode()
    shown = browser.get(done["Location"]).content.decode()
    assert "create_payment" in shown
    assert CANARY not in shown
    assert reveal("int_open_secret", tenant_id=demo.tenant.id, sent_to="https://api.bank.example/v1").reveal() == CANARY
