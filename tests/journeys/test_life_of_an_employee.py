"""One employee from invitation to departure: what an auditor reads of it by one command, or by one filter of the API.

`pytest -s` prints the receipts.
"""

from __future__ import annotations

import io
from dataclasses import replace
from urllib.parse import urlsplit

import orjson
import pytest
from django.core.management import call_command
from django.test import Client

from tests.client import Api
from tests.factories import PASSWORD, make_token
from tests.jobs import run_jobs
from tests.receivers.mail_server import MailServer, mail_server, urls_in
from tests.workitems.office import open_office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.admission import add_principal
from threada_site.identity.grants.role_grants import set_roles
from threada_site.identity.selectors import principal_of_tenant
from threada_site.kernel.context import ActingContext, Authentication, AuthenticationMethod, PrincipalKind
from threada_site.tenancy.models import Tenant

__all__ = ["mail_server"]

FIRST, SECOND = "emma@example.com", "emma.new@example.com"
NEW_PASSWORD = "another battery staple horse"
LINKS = ("invitations", "mail-address", "password-reset")
LIFE = [
    "principal.created",
    "account.dependent",
    "member.added",
    "role.granted",
    "invitation.sent",
    "invitation.accepted",
    "role.granted",
    "session.signed_in",
    "principal.address_asked",
    "principal.address_link_sent",
    "principal.address_changed",
    "password_reset.sent",
    "principal.password_reset",
    "session.signed_in",
    "vote.recorded",
    "member.removed",
]


def path_of_link(server: MailServer, address: str) -> str:
    """Return the path of the newest one-time link."""
    paths = [urlsplit(url).path for mail in server.to(address) for url in urls_in(mail.get_content())]
    return next(path for path in reversed(paths) if path.split("/")[2] in LINKS)


def sign_in(password: str) -> Client:
    browser = Client()
    answer = browser.post("/console/login/", {"username": "emma", "password": password})
    assert answer.status_code == 302, answer.content
    return browser


def lines_of(*arguments: str) -> list[str]:
    out = io.StringIO()
    call_command("history", *arguments, stdout=out)
    return out.getvalue().splitlines()


def test_the_receipts_of_one_employee(tenant: Tenant, mail_server: MailServer, capsys: pytest.CaptureFixture) -> None:
    office = open_office(tenant)
    ada = replace(office.ctx("ada"), authentication=Authentication(method=AuthenticationMethod.SESSION))
    invite(ada)
    run_jobs()
    form = {"new_password": PASSWORD, "again": PASSWORD}
    assert Client().post(path_of_link(mail_server, FIRST), form).status_code == 200
    with unit_of_work(tenant.id):
        emma = principal_of_tenant(tenant.id, "emma")
        assert emma is not None
        set_roles(emma, ["approver", "finance"], ctx=ada)
    office.people["emma"] = emma
    browser = sign_in(PASSWORD)
    assert browser.post("/console/mail-address/", {"address": SECOND, "password": PASSWORD}).status_code == 302
    run_jobs()
    assert browser.post(path_of_link(mail_server, SECOND)).status_code == 200
    Client().post("/console/password-reset/", {"account": "emma"})
    run_jobs()
    form = {"new_password": NEW_PASSWORD, "again": NEW_PASSWORD}
    assert Client().post(path_of_link(mail_server, SECOND), form).status_code == 200
    browser = sign_in(NEW_PASSWORD)
    _, step, _ = office.awaiting()
    office.vote(step, "emma")
    assert browser.post("/console/leave/", {"tenant": "acme"}).status_code == 200
    assert browser.get("/console/").status_code == 302

    bodies = [orjson.loads(line) for line in lines_of("emma", "--tenant", "acme", "--json")]
    with capsys.disabled():
        print(*("", *lines_of("emma", "--tenant", "acme")), sep="\n")
    assert [body["kind"] for body in bodies] == LIFE
    assert bodies[-1]["inputs"] == {"principal": emma.public_id, "reason": "left"}
    told = {address for address in (FIRST, SECOND) if address in str(bodies)}
    assert told == set(), "receipts contain no address"
    auditor = Api(make_token(tenant, office.people["ada"], ["telemetry:read"]))
    page = auditor.get("/telemetry/events", {"principal_id": emma.public_id, "limit": 200}).json()["data"]
    assert [event["kind"] for event in reversed(page)] == LIFE


def invite(ada: ActingContext) -> None:
    with unit_of_work(ada.tenant_id):
        add_principal("emma", kind=PrincipalKind.HUMAN, email=FIRST, roles=["approver"], ctx=ada)
