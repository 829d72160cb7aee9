"""Sign-in at a real SAML provider in its own process: pysaml2's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from django.test import Client
from pytest_django import Settings

from tests.factories import make_tenant
from tests.receivers.saml_process import saml_process
from tests.threada_site.sign_in.saml.people import CALLBACK, post, put_saml
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.selectors import roles_of_member
from threada_site.sign_in.saml import metadata
from threada_site.tenancy.models import IdentityLink, Tenant

pytestmark = pytest.mark.adversarial


@pytest.fixture
def acme(db: None, settings: Settings, tmp_path: Path) -> Iterator[Tenant]:
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]
    metadata.forget()
    service = Client().get("/console/login/acme/corp/metadata")
    assert (service.status_code, service["Content-Type"]) == (200, "application/samlmetadata+xml")
    tenant = make_tenant("acme")
    with saml_process(service.content, tmp_path) as address:
        where = f"{address}/metadata"
        put_saml(tenant, metadata=where, entity_id=where, roles={"finance": ["approver"]})
        yield tenant


def answer_of_provider(address: str, login: str) -> dict[str, str]:
    """Log in on the page of the provider. Return the fields of the form that it sends back."""
    with httpx.Client(timeout=30) as browser:
        page = browser.get(address).text
        action, fields = form_of(page)
        sent = browser.post(urljoin(address, action), data={**fields, "login": login, "password": "any"})
        assert sent.status_code == 200, sent.text
        action, fields = form_of(sent.text)
        assert action == f"http://testserver{CALLBACK}"
        return fields


def form_of(page: str) -> tuple[str, dict[str, str]]:
    action = re.search(r'<form[^>]* action="([^"]+)"', page)
    assert action is not None, page
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)
    return unescape(action[1]), {name: unescape(value) for name, value in fields}


def test_a_person_signs_in_and_the_group_becomes_a_role(acme: Tenant) -> None:
    people = []
    for _ in range(2):
        browser = Client(enforce_csrf_checks=True)
        answer = answer_of_provider(browser.get("/console/login/acme/corp")["Location"], "ann")
        landed = post(browser, answer)
        assert (landed.status_code, landed.get("Location")) == (302, "/console/"), landed.content.decode()
        assert browser.get("/console/").status_code == 200
        with unit_of_work(acme.id):
            person = IdentityLink.objects.select_related("user").get().user
            assert (person.email, person.display_name) == ("ann@corp.example", "Name of ann")
            assert roles_of_member(person, tenant_id=acme.id) == ["approver"]
        people.append(person)
        assert b"sign_in_state_invalid" in post(browser, answer).content
    assert people[0] == people[1]


def test_an_answer_does_not_serve_another_browser(acme: Tenant) -> None:
    victim, attacker = Client(), Client()
    answer = answer_of_provider(attacker.get("/console/login/acme/corp")["Location"], "mallory")
    victim.get("/console/login/acme/corp")
    assert b"sign_in_state_invalid" in post(victim, answer).content
    assert victim.get("/console/").status_code == 302
