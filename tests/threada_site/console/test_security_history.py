"""Page with the security history of an account."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client

from tests.console.sign_in import Console
from tests.factories import PASSWORD, acting, acting_system, make_principal, make_tenant, make_token
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.account.security_history import PAGE
from threada_site.identity.grants.role_grants import grant_role
from threada_site.identity.passwords import set_password
from threada_site.identity.sessions import RECEIPTS_PER_HOUR
from threada_site.kernel import clock
from threada_site.tenancy.models import User
from workitems.steps.delegations import OutOfOffice, delegate

OWN = "/console/security-history/"


@pytest.fixture
def alice(demo: Demo) -> User:
    person = make_principal(demo.tenant, "alice", roles=["viewer"])
    with unit_of_work(demo.tenant.id):
        set_password(person, PASSWORD, ctx=acting_system(demo.tenant))
    return person


def try_password(password: str, *, address: str = "203.0.113.9") -> Client:
    browser = Client(REMOTE_ADDR=address, HTTP_USER_AGENT="Mozilla/5.0 <b>")
    browser.post("/console/login/", {"username": "alice", "password": password, "next": "/console/"})
    return browser


def lines(page: str) -> list[str]:
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in rows]


def events(browser: Client, address: str = OWN) -> list[str]:
    answer = browser.get(address)
    assert answer.status_code == 200
    return lines(answer.content.decode())[1:]


def test_a_person_sees_the_events_of_the_own_account(alice: User, demo: Demo) -> None:
    try_password("wrong password, clearly")
    browser = try_password(PASSWORD)
    token = make_token(demo.tenant, alice)
    Client(REMOTE_ADDR="198.51.100.7").get("/me", headers={"Authorization": f"Bearer {token}"})
    with unit_of_work(demo.tenant.id):
        grant_role(alice, "requester", ctx=acting_system(demo.tenant))
    shown = events(browser)
    assert "Role received" in shown[0]
    assert "role: requester" in shown[0]
    assert "Credential used from a new network" in shown[1]
    assert "198.51.100.7" in shown[1]
    assert "Credential issued" in shown[2]
    assert "Signed in" in shown[3]
    assert "Failed sign-in" in shown[4]
    assert "203.0.113.9" in shown[3]
    assert "Mozilla/5.0 &lt;b&gt;" in shown[3]
    assert any("Password changed" in one for one in shown[5:])
    assert not any(token in one for one in shown)


def test_a_delegation_is_shown_to_the_person_it_names(alice: User, demo: Demo, console: Console) -> None:
    finance = User.objects.get(username="finance-1")
    with unit_of_work(demo.tenant.id):
        delegate(
            OutOfOffice(
                delegator=finance,
                delegate=User.objects.get(username="finance-2"),
                ends_at=clock.now() + timedelta(days=2),
                reason="Holiday of a lifetime",
            ),
            ctx=acting(demo.tenant, finance),
        )
    first = events(console("finance-2"))[0]
    assert "Delegation created" in first
    assert "delegator: finance-1" in first
    assert "lifetime" not in first


def test_stewards_see_the_history_of_members_and_others_do_not(alice: User, demo: Demo, console: Console) -> None:
    address = f"{OWN}{alice.public_id}/"
    try_password(PASSWORD)
    assert "Signed in" in events(console("admin"), address)[0]
    assert address in console("admin").get(f"/console/tenancy/membership/{alice.public_id}/").content.decode()
    assert console("finance-1").get(address).status_code == 404
    assert "security-history/pr_" not in (
        console("finance-1").get(f"/console/tenancy/membership/{alice.public_id}/").content.decode()
    )
    assert console("admin").get(f"{OWN}nobody/").status_code == 404


def test_other_tenants_show_nothing(alice: User, demo: Demo, console: Console) -> None:
    stranger = make_principal(make_tenant("globex"), "stranger")
    assert console("admin").get(f"{OWN}{stranger.public_id}/").status_code == 404
    assert Client().get(OWN).status_code == 302


def test_failures_without_a_receipt_are_counted(alice: User, console: Console) -> None:
    for number in range(RECEIPTS_PER_HOUR + 2):
        try_password("wrong password, clearly", address=f"198.51.{number}.1")
    page = console("alice").get(OWN).content.decode()
    assert "2 more failed sign-ins" in page


def test_older_events_are_on_the_next_page(alice: User, demo: Demo, console: Console) -> None:
    with unit_of_work(demo.tenant.id):
        for number in range(PAGE + 3):
            set_password(alice, f"{PASSWORD} {number}", ctx=acting_system(demo.tenant))
    browser = console("alice")
    page = browser.get(OWN).content.decode()
    (older,) = re.findall(r'href="(\?before=[^"]+)" rel="next"', page)
    assert len(lines(page)) == PAGE + 1
    rest = events(browser, OWN + older)
    assert len(rest) >= 3
    assert not set(rest) & set(lines(page)[1:]) or len(rest) < PAGE
