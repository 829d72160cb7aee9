"""Sign-in at a real OpenID Connect provider in its own process: npm's oidc-provider."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx
import pytest
from django.test import Client
from pytest_django import Settings

from tests.factories import acting_system, make_tenant
from tests.receivers.oidc_process import oidc_process
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.selectors import roles_of_member
from threada_site.kernel import clock
from threada_site.kernel.context import EntryPoint
from threada_site.sign_in import metadata, slots
from threada_site.tenancy.models import IdentityLink, Tenant
from workitems.configuration.kinds.identity_providers import put_identity_provider

pytestmark = pytest.mark.adversarial

REDIRECT_URI = "http://testserver/console/login/acme/corp/callback"


@pytest.fixture
def issuer(settings: Settings) -> Iterator[str]:
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]
    settings.THREADA_PUBLIC_URL = ""
    metadata.forget()
    slots.reset()
    with oidc_process(REDIRECT_URI) as running:
        yield running


@pytest.fixture
def acme(db: None, issuer: str, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    monkeypatch.setenv("CORP_OIDC_SECRET", "client-secret")
    tenant = make_tenant("acme")
    spec = {
        "protocol": "oidc",
        "name": "Corp",
        "issuer": issuer,
        "client_id": "threada",
        "client_secret": {"env": "CORP_OIDC_SECRET"},
        "scopes": ["openid", "email", "profile", "groups"],
        "roles": {"finance": ["approver"]},
        "create_accounts": True,
    }
    with unit_of_work(tenant.id):
        put_identity_provider("corp", spec, ctx=acting_system(tenant, EntryPoint.COMMAND))
    return tenant


def answer_of_provider(address: str, login: str) -> dict[str, str]:
    """Log in and consent on the pages of the provider. Return the query of its redirect back."""
    with httpx.Client(timeout=10) as browser:
        page = browser.get(address)
        for form in ({"prompt": "login", "login": login, "password": "any"}, {"prompt": "consent"}):
            where = _followed(browser, page)
            assert isinstance(where, httpx.Response), where
            action = re.search(r'action="([^"]+)"', where.text)
            assert action is not None, where.text
            page = browser.post(urljoin(str(where.url), action[1]), data=form)
        end = _followed(browser, page)
        assert isinstance(end, str)
        return dict(parse_qsl(urlsplit(end).query))


def _followed(browser: httpx.Client, page: httpx.Response) -> httpx.Response | str:
    """Follow redirects at the provider. Return its next page, or the address of the redirect back."""
    while page.is_redirect:
        where = urljoin(str(page.url), page.headers["Location"])
        if where.startswith(REDIRECT_URI):
            return where
        page = browser.get(where)
    return page


def test_a_person_signs_in_and_the_group_becomes_a_role(acme: Tenant) -> None:
    browser = Client()
    answer = answer_of_provider(browser.get("/console/login/acme/corp")["Location"], "ann")
    assert answer.keys() >= {"code", "state", "iss"}
    landed = browser.get("/console/login/acme/corp/callback", answer)
    assert (landed.status_code, landed.get("Location")) == (302, "/console/"), landed.content.decode()
    assert browser.get("/console/").status_code == 200
    with unit_of_work(acme.id):
        person = IdentityLink.objects.select_related("user").get(subject="ann").user
        assert (person.email, person.display_name) == ("ann@corp.example", "Name of ann")
        assert roles_of_member(person, tenant_id=acme.id) == ["approver"]
    replayed = browser.get("/console/login/acme/corp/callback", answer)
    assert b"sign_in_state_invalid" in replayed.content


def test_a_code_does_not_serve_another_browser(acme: Tenant) -> None:
    victim, attacker = Client(), Client()
    answer = answer_of_provider(attacker.get("/console/login/acme/corp")["Location"], "mallory")
    victim.get("/console/login/acme/corp")
    assert b"sign_in_state_invalid" in victim.get("/console/login/acme/corp/callback", answer).content
    begun = dict(parse_qsl(urlsplit(victim.get("/console/login/acme/corp")["Location"]).query))
    injected = victim.get("/console/login/acme/corp/callback", {**answer, "state": begun["state"]})
    assert b"identity_provider_refused" in injected.content
    assert victim.get("/console/").status_code == 302


def test_a_fresh_login_there_is_a_step_up(acme: Tenant) -> None:
    browser = Client()
    answer = answer_of_provider(browser.get("/console/login/acme/corp")["Location"], "ann")
    browser.get("/console/login/acme/corp/callback", answer)
    asked = browser.get("/console/step-up/provider")["Location"]
    landed = browser.get("/console/login/acme/corp/callback", answer_of_provider(asked, "ann"))
    assert landed.status_code == 302, landed.content.decode()
    assert browser.get("/console/").wsgi_request.acting_context.recently_reauthenticated(clock.now())
    asked = browser.get("/console/step-up/provider")["Location"]
    refused = browser.get("/console/login/acme/corp/callback", answer_of_provider(asked, "mallory"))
    assert b"step_up_failed" in refused.content
