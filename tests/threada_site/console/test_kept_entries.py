"""Values by which pages keep entries of forms, and the page that a person goes on to after the sign-in."""

from __future__ import annotations

import re
from base64 import b64decode
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client, RequestFactory

from tests.factories import PASSWORD, acting_system, make_principal
from threada_site.console.entries import kept_entries, page_sent_from
from threada_site.console.session_engine import SIGNED_IN_AT
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.passwords import set_password
from threada_site.tenancy.models import Tenant


def values(tenant: str, person: str, signed_in_at: float) -> dict[str, str]:
    context = SimpleNamespace(tenant_id=tenant, principal_id=person)
    request: Any = SimpleNamespace(acting_context=context, session={SIGNED_IN_AT: signed_in_at})
    return kept_entries(request)


def test_key_and_owner_are_those_of_one_person_in_one_tenant() -> None:
    first = values("t1", "p1", 1.0)
    assert [len(b64decode(value)) for value in first.values()] == [32, 32, 32]
    assert len(set(first.values())) == 3
    again = values("t1", "p1", 2.0)
    assert (again["key"], again["owner"]) == (first["key"], first["owner"])
    assert again["session"] != first["session"]
    for other in (values("t1", "p2", 1.0), values("t2", "p1", 1.0)):
        assert not set(other.values()) & set(first.values())
    nobody: Any = SimpleNamespace(acting_context=None)
    assert kept_entries(nobody) == {}


@pytest.mark.parametrize(
    ("named", "page"),
    [
        ("http://testserver/console/request/pay?x=1", "/console/request/pay?x=1"),
        ("http://testserver/api/", ""),
        ("http://evil.example/console/request/pay", ""),
        ("//evil.example/console/", ""),
        ("javascript:alert(1)", ""),
        ("", ""),
    ],
)
def test_only_pages_of_this_console_are_gone_on_to(named: str, page: str) -> None:
    headers = {"Referer": named} if named else {}
    assert page_sent_from(RequestFactory().post("/console/x/", headers=headers)) == page


def test_a_form_that_is_sent_without_a_session_leads_back_to_its_page(tenant: Tenant, settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    person = make_principal(tenant, "alice", roles=["viewer"])
    with unit_of_work(tenant.id):
        set_password(person, PASSWORD, ctx=acting_system(tenant))
    action = "/console/workitems/decisionstep/ds_1/approve/"
    page = "/console/workitems/decisionstep/ds_1/"
    browser = Client(HTTP_REFERER=f"http://testserver{page}")
    sent = browser.post(action, {"comment": "x"})
    assert (sent.status_code, sent["Location"]) == (302, f"/console/login/?next={page}")
    assert browser.post(action, {}, headers={"Referer": "http://evil.example/"})["Location"].endswith(f"next={action}")
    form = {"username": "alice", "password": PASSWORD, "next": page}
    assert browser.post("/console/login/", form)["Location"] == page
    shown = browser.get("/console/").content.decode()
    assert re.search(r'id="entries" hidden data-owner="[^"]{44}" data-session="[^"]{44}" data-key="[^"]{44}"', shown)
