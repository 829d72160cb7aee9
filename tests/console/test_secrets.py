"""Secrets in the console are entered and used, and shown on no page."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from integrations.configuration.configure import upsert_integration
from integrations.models import AccessToken, StoredSecret
from integrations.secrets.vault import reveal
from tests.console.sign_in import Console, confirm
from tests.factories import acting_system, make_principal
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import EntryPoint

CANARY = "canary-9d1c-value"
LIST = "/console/integrations/storedsecret/"


def test_a_secret_is_stored_changed_and_forgotten(demo: Demo, console: Console) -> None:
    make_principal(demo.tenant, "ivy", roles=("integration_manager",))
    browser = console("ivy")
    sent = {"secret_id": "bank_token", "value": CANARY, "origins": "https://bank.example https://api.bank.example"}
    pages = [browser.post(f"{LIST}new/", {**sent, "origins": "bank.example"})]
    assert pages[0].status_code == 422
    made = browser.post(f"{LIST}new/", sent)
    assert made["Location"] == f"{LIST}bank_token/"
    assert reveal("bank_token", tenant_id=demo.tenant.id, sent_to="https://api.bank.example").reveal() == CANARY
    pages += [browser.get(LIST), browser.get(made["Location"]), browser.get(f"{LIST}bank_token/new-value/")]
    pages.append(browser.post(f"{LIST}new/", sent))
    assert [page.status_code for page in pages] == [422, 200, 200, 200, 422]
    assert all(CANARY not in page.content.decode() for page in pages)
    browser.post(f"{LIST}bank_token/new-value/", {"value": "second", "origins": "https://bank.example"})
    assert reveal("bank_token", tenant_id=demo.tenant.id, sent_to="https://bank.example").reveal() == "second"
    confirm(browser, f"{LIST}bank_token/remove/")
    with unit_of_work(demo.tenant.id):
        assert list(StoredSecret.objects.all()) == []


def test_the_page_of_an_integration_shows_its_token_without_a_value(demo: Demo, console: Console) -> None:
    make_principal(demo.tenant, "ivy", roles=("integration_manager",))
    spec = {
        "connector": "http",
        "base_url": "https://bank.example",
        "auth": {
            "scheme": "oauth2",
            "token_url": "https://login.example/token",
            "client_id": "threada",
            "client_secret": {"env": "BANK_CLIENT"},
        },
        "actions": {"pay": {"method": "POST", "path": "/"}},
    }
    problem = "timeout: The token endpoint at https://login.example gave no token."
    with unit_of_work(demo.tenant.id):
        row = upsert_integration("int_login", spec, ctx=acting_system(demo.tenant, EntryPoint.COMMAND)).row
        AccessToken.objects.create(
            tenant_id=demo.tenant.id,
            integration_version_id=row.current_version_id,
            token=CANARY.encode(),
            requested_at=datetime(2031, 5, 6, 7, 8, tzinfo=UTC),
            expires_at=datetime(2032, 5, 6, 7, 8, tzinfo=UTC),
            problem=problem,
        )
    page = console("ivy").get("/console/integrations/integration/int_login/").content.decode()
    (card,) = re.findall('<section class="t-card" id="token">.*?</section>', page, re.DOTALL)
    assert all(text in card for text in ("oauth2", "2031", "2032", problem))
    assert CANARY not in page


def test_secrets_need_the_scope(demo: Demo, console: Console) -> None:
    browser = console("finance-1")
    assert browser.get(LIST).status_code == 403
    assert "Secrets" not in browser.get("/console/").content.decode()
    sent = {"secret_id": "x", "value": CANARY, "origins": "https://bank.example"}
    assert browser.post(f"{LIST}new/", sent).status_code == 422
    with unit_of_work(demo.tenant.id):
        assert StoredSecret.objects.count() == 0
