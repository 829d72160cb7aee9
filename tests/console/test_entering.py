"""Access to the console, and security headers of its responses."""

from __future__ import annotations

import pytest
from django.test import Client

from telemetry.models import Receipt
from tests.console.sign_in import Console
from tests.factories import PASSWORD, acting_system, make_principal
from tests.journeys.demo import DEMO_CLIENT, Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.passwords import set_password
from threada_site.identity.principals import remove_member
from threada_site.tenancy.models import User


@pytest.fixture
def alice(demo: Demo) -> User:
    person = make_principal(demo.tenant, "alice", roles=["viewer"])
    with unit_of_work(demo.tenant.id):
        set_password(person, PASSWORD, ctx=acting_system(demo.tenant))
    return person


def sign_in_by_form(name: str, password: str = PASSWORD) -> tuple[Client, int]:
    browser = Client()
    answer = browser.post("/console/login/", {"username": name, "password": password, "next": "/console/"})
    return browser, answer.status_code


def test_a_member_signs_in_and_out(alice: User) -> None:
    browser, status = sign_in_by_form("alice")
    assert status == 302
    assert browser.get("/console/").status_code == 200
    assert browser.post("/console/logout/").status_code == 200
    assert browser.get("/console/")["Location"].startswith("/console/login/")


def test_sign_in_is_refused_to_everybody_else(alice: User, demo: Demo) -> None:
    assert sign_in_by_form("alice", "wrong password, clearly")[1] == 200
    with unit_of_work(demo.tenant.id):
        remove_member(alice, ctx=acting_system(demo.tenant))
    assert sign_in_by_form("alice")[1] == 200
    robot = User.objects.get(username=DEMO_CLIENT)
    robot.set_password(PASSWORD)
    robot.save(update_fields=["password"])
    assert sign_in_by_form(DEMO_CLIENT)[1] == 200


def test_the_anonymous_are_sent_to_sign_in(demo: Demo) -> None:
    for address in ("/console/", "/console/workitems/workitem/", "/console/tenant/"):
        answer = Client().get(address)
        assert answer.status_code == 302
        assert answer["Location"].startswith("/console/login/")


def test_a_form_without_its_csrf_token_is_refused_with_a_receipt(demo: Demo, console: Console) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(User.objects.get(username="admin"))
    answer = browser.post("/console/policies/policy/new/", {"document": "x"})
    assert answer.status_code == 403
    with unit_of_work(demo.tenant.id):
        receipt = Receipt.objects.get(kind="request.refused")
    assert receipt.reason_codes == ["csrf_failed"]


def test_responses_have_security_headers(demo: Demo, console: Console) -> None:
    page = console("admin").get("/console/")
    policy = page["Content-Security-Policy"]
    assert "script-src 'self' 'unsafe-eval';" in policy
    assert "'unsafe-inline'" not in policy.split("style-src")[0]
    assert page["X-Frame-Options"] == "DENY"
    answer = demo.client.get("/me")
    assert answer["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.cookies == {}
    assert "script" in page.content.decode()
    import re

    inline = re.findall(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)", page.content.decode())
    assert inline == []


def test_a_person_changes_the_own_password(alice: User, demo: Demo) -> None:
    browser, _ = sign_in_by_form("alice")
    new = "another long enough phrase"
    wrong = {"old_password": "no", "new_password": new, "again": new}
    assert browser.post("/console/password_change/", wrong).status_code == 422
    weak = {"old_password": PASSWORD, "new_password": "short", "again": "short"}
    assert browser.post("/console/password_change/", weak).status_code == 422
    done = browser.post("/console/password_change/", {**weak, "new_password": new, "again": new})
    assert done["Location"] == "/console/"
    assert browser.get("/console/").status_code == 200
    assert sign_in_by_form("alice")[1] == 200
    assert sign_in_by_form("alice", new)[1] == 302
