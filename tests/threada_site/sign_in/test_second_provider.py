"""Sign-in at a second real OpenID Connect provider in its own process: canaille."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx
import pytest
from django.test import Client
from pytest_django import Settings

from tests.factories import acting_system, make_tenant
from tests.receivers.canaille_process import canaille_process
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.selectors import roles_of_member
from threada_site.kernel.context import EntryPoint
from threada_site.sign_in import metadata, slots
from threada_site.tenancy.models import IdentityLink
from workitems.configuration.kinds.identity_providers import put_identity_provider

pytestmark = pytest.mark.adversarial

REDIRECT_URI = "http://testserver/console/login/acme/corp/callback"
MOST_PAGES = 10


@pytest.fixture
def issuer(settings: Settings) -> Iterator[str]:
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]
    settings.THREADA_PUBLIC_URL = ""
    metadata.forget()
    slots.reset()
    with canaille_process(REDIRECT_URI) as running:
        yield running


def answer_of_provider(address: str) -> dict[str, str]:
    """Sign ann in on the pages of the provider. Return the query of its redirect back."""
    with httpx.Client(timeout=10) as browser:
        page = browser.get(address)
        for _ in range(MOST_PAGES):
            if page.is_redirect:
                where = urljoin(str(page.url), page.headers["Location"])
                if where.startswith(REDIRECT_URI):
                    return dict(parse_qsl(urlsplit(where).query))
                page = browser.get(where)
                continue
            hidden = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page.text))
            filled = {"password": "ann-password"} if 'name="password"' in page.text else {"login": "ann"}
            page = browser.post(str(page.url), data={**hidden, **filled, "answer": "accept"})
    raise AssertionError(page.text)


def test_a_person_signs_in_and_the_group_becomes_a_role(db: None, issuer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORP_OIDC_SECRET", "client-secret")
    acme = make_tenant("acme")
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
    with unit_of_work(acme.id):
        put_identity_provider("corp", spec, ctx=acting_system(acme, EntryPoint.COMMAND))
    browser = Client()
    answer = answer_of_provider(browser.get("/console/login/acme/corp")["Location"])
    landed = browser.get("/console/login/acme/corp/callback", answer)
    assert (landed.status_code, landed.get("Location")) == (302, "/console/"), landed.content.decode()
    with unit_of_work(acme.id):
        link = IdentityLink.objects.select_related("user").get(tenant_id=acme.id)
        assert (link.user.email, link.user.display_name) == ("ann@corp.example", "Ann Lee")
        assert roles_of_member(link.user, tenant_id=acme.id) == ["approver"]
    replayed = browser.get("/console/login/acme/corp/callback", answer)
    assert b"sign_in_state_invalid" in replayed.content
