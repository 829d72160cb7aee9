"""Mails about accounts: links with tokens that are stored nowhere, and notices that nobody can turn off."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.factories import PASSWORD, acting_system, make_principal
from tests.jobs import queued_jobs, run_jobs
from tests.receivers.mail_server import MailServer, mail_server, urls_in
from tests.threada_site.identity.test_accounts import one_steward_is_enough, session
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.account_links import show_link
from threada_site.identity.grants.role_grants import grant_role
from threada_site.identity.principals import add_member, ensure_principal
from threada_site.kernel import clock, errors
from threada_site.kernel.context import EntryPoint, PrincipalKind
from threada_site.tenancy.account_link_models import AccountLink
from threada_site.tenancy.models import Tenant, User
from workitems.models import NotificationPreference

__all__ = ["mail_server"]

ADDRESS = "nora@example.org"


@pytest.fixture
def nora(tenant: Tenant, mail_server: MailServer) -> User:
    """Person whom a steward has invited by mail."""
    one_steward_is_enough(tenant)
    ctx = session(tenant, make_principal(tenant, "ada", roles=["tenant_admin"]))
    with unit_of_work(tenant.id):
        person = ensure_principal("nora", kind=PrincipalKind.HUMAN, email=ADDRESS, ctx=ctx)
        add_member(person, address=ADDRESS, ctx=ctx)
    return person


def path_in(mail_server: MailServer) -> str:
    """Return the path of the link in the newest mail."""
    (url,) = urls_in(mail_server.to(ADDRESS)[-1].get_content())
    return "/console/" + url.partition("/console/")[2]


def test_an_accepted_mailed_invitation_confirms_the_address(
    tenant: Tenant, nora: User, mail_server: MailServer
) -> None:
    assert [name for name, _ in queued_jobs(telling=True)] == ["workitems.mail_account_link"]
    run_jobs()
    path = path_in(mail_server)
    browser = Client()
    page = browser.get(path)
    assert page.status_code == 200
    assert "no-store" in page["Cache-Control"]
    assert "ada" in page.content.decode()
    weak = browser.post(path, {"new_password": "short", "again": "short"})
    assert weak.status_code == 422
    assert browser.post(path, {"new_password": PASSWORD, "again": PASSWORD}).status_code == 200
    assert browser.get(path).status_code == 404
    person = User.objects.get(id=nora.id)
    assert person.check_password(PASSWORD)
    assert person.email_confirmed_at is not None
    signed_in = browser.post("/console/login/", {"username": "nora", "password": PASSWORD, "next": "/console/"})
    assert signed_in.status_code == 302
    assert browser.get("/console/").status_code == 200


def test_a_steward_does_not_see_a_mailed_link(tenant: Tenant, nora: User, mail_server: MailServer) -> None:
    with unit_of_work(tenant.id), pytest.raises(errors.Conflict):
        show_link(AccountLink.objects.get(), ctx=session(tenant, User.objects.get(username="ada")))


def test_an_invitation_needs_an_address_where_mail_is_set_up(tenant: Tenant, nora: User) -> None:
    ctx = session(tenant, User.objects.get(username="ada"))
    for address in ("", "not an address"):
        with pytest.raises(errors.InvalidRequest), unit_of_work(tenant.id):
            add_member(ensure_principal("carl", kind=PrincipalKind.HUMAN, ctx=ctx), address=address, ctx=ctx)


def test_a_failed_mail_is_shown_and_another_attempt_has_another_token(
    tenant: Tenant, nora: User, mail_server: MailServer
) -> None:
    mail_server.refusals = ["550 no such mailbox"]
    run_jobs()
    with unit_of_work(tenant.id):
        link = AccountLink.objects.get()
    assert "550" in link.mail_failure
    assert mail_server.to(ADDRESS) == []


def test_a_forgotten_password_is_reset_at_the_confirmed_address_only(
    tenant: Tenant, nora: User, mail_server: MailServer
) -> None:
    def ask(account: str) -> str:
        page = Client().post("/console/password-reset/", {"account": account})
        assert page.status_code == 200
        run_jobs()
        return page.content.decode()

    answers = {ask("nora"), ask("nobody"), ask(ADDRESS)}
    assert len(answers) == 1
    taken = len(mail_server.taken)
    with unit_of_work(tenant.id):
        add_member(nora, ctx=acting_system(tenant))
    User.objects.filter(id=nora.id).update(email_confirmed_at=clock.now())
    before = Client()
    before.force_login(User.objects.get(id=nora.id))
    assert before.get("/console/").status_code == 200
    assert {ask("NORA@example.org"), ask("nora")} == answers
    assert len(mail_server.taken) == taken + 1
    path = path_in(mail_server)
    assert Client().get(path).status_code == 200
    new = "another long enough phrase"
    assert Client().post(path, {"new_password": new, "again": "different phrase here"}).status_code == 422
    assert Client().post(path, {"new_password": new, "again": new}).status_code == 200
    assert User.objects.get(id=nora.id).check_password(new)
    assert before.get("/console/").status_code == 302
    assert Client().post(path, {"new_password": new, "again": new}).status_code == 404


def test_notices_about_the_account_ignore_preferences(tenant: Tenant, nora: User, mail_server: MailServer) -> None:
    operator = acting_system(tenant, EntryPoint.COMMAND)
    with unit_of_work(tenant.id):
        membership = add_member(nora, ctx=operator)
        NotificationPreference.objects.create(
            tenant_id=tenant.id, membership=membership, mail_address="other@example.org", mail_events=[], version=1
        )
        grant_role(nora, "approver", ctx=operator)
    run_jobs()
    for address in (ADDRESS, "other@example.org"):
        text = mail_server.to(address)[-1].get_content()
        assert "gave you the role approver" in text
