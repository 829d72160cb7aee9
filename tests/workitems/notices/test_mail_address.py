"""Change of the own mail address, with real mails: asked for with a proof, confirmed in a session by a link."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from django.test import Client

from telemetry.models import Receipt
from tests.factories import PASSWORD, acting, acting_system, make_principal
from tests.jobs import run_jobs
from tests.receivers.mail_server import MailServer, mail_server, urls_in
from tests.threada_site.identity.test_accounts import session
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.account.mail_address import ask_for_address, confirm_address
from threada_site.identity.passwords import set_password
from threada_site.kernel import clock, errors
from threada_site.tenancy.account_link_models import AccountLink
from threada_site.tenancy.models import Tenant, User

__all__ = ["mail_server"]

PAGE = "/console/mail-address/"
OLD, NEW = "old@example.com", "new@example.com"


@pytest.fixture
def alice(tenant: Tenant) -> User:
    person = make_principal(tenant, "alice", roles=["viewer"])
    with unit_of_work(tenant.id):
        set_password(person, PASSWORD, ctx=acting_system(tenant))
    User.objects.filter(id=person.id).update(email=OLD, email_confirmed_at=clock.now())
    return person


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def ask(client: Client, address: str = NEW, password: str = PASSWORD) -> int:
    status = client.post(PAGE, {"address": address, "password": password}).status_code
    run_jobs()
    return status


def link_in(server: MailServer, address: str = NEW) -> str:
    (found,) = urls_in(server.to(address)[-1].get_content())
    return urlsplit(found).path


def address_of(person: User) -> str:
    return User.objects.get(id=person.id).email


def kinds(tenant: Tenant) -> list[str]:
    with unit_of_work(tenant.id):
        found = Receipt.objects.filter(kind__startswith="principal.address").order_by("id")
        return list(found.values_list("kind", flat=True))


def test_the_link_confirms_the_address_and_the_old_one_is_told(
    alice: User, tenant: Tenant, mail_server: MailServer
) -> None:
    browser, other = signed_in(alice), signed_in(alice)
    assert "old@example.com, confirmed" in browser.get(PAGE).content.decode()
    assert ask(browser) == 302
    assert address_of(alice) == OLD
    link = link_in(mail_server)
    assert "If this was not you" in mail_server.to(OLD)[-1].get_content()
    assert browser.get(link).status_code == 200
    assert address_of(alice) == OLD, "opening the link changes nothing"
    assert browser.post(link).status_code == 200
    run_jobs()
    person = User.objects.get(id=alice.id)
    assert person.email == NEW
    assert person.email_confirmed_at is not None
    assert "was changed" in mail_server.to(OLD)[-1]["Subject"]
    assert other.get("/console/").status_code == 200, "nothing ends silently"
    assert kinds(tenant) == ["principal.address_asked", "principal.address_link_sent", "principal.address_changed"]
    assert browser.post(link).status_code == 404
    with unit_of_work(tenant.id):
        assert AccountLink.objects.get().previous_address == ""


def test_it_needs_the_password(alice: User, tenant: Tenant, mail_server: MailServer) -> None:
    browser = signed_in(alice)
    assert ask(browser, password="guess") == 422
    assert ask(browser, password="") == 422
    assert not mail_server.taken
    assert kinds(tenant) == []


def test_only_the_person_confirms_it(alice: User, tenant: Tenant, mail_server: MailServer) -> None:
    ask(signed_in(alice))
    link = link_in(mail_server)
    other = make_principal(tenant, "bob", roles=["viewer"])
    stranger, bob = Client(), signed_in(other)
    for client in (stranger, bob):
        page = client.get(link).content.decode()
        assert "Sign in" in page
        assert NEW not in page
        client.post(link)
    with unit_of_work(tenant.id):
        with pytest.raises(errors.PermissionDenied, match="This link is for alice"):
            confirm_address(link.rstrip("/").rpartition("/")[2], ctx=session(tenant, other))
        assert AccountLink.objects.get().used_at is None
    assert (address_of(alice), address_of(other)) == (OLD, "")


def test_a_link_mailed_to_the_old_address_resets_no_password_any_more(
    alice: User, tenant: Tenant, mail_server: MailServer
) -> None:
    Client().post("/console/password-reset/", {"account": "alice"})
    run_jobs()
    reset = link_in(mail_server, OLD)
    browser = signed_in(alice)
    ask(browser)
    assert browser.post(link_in(mail_server)).status_code == 200
    new = "another battery staple horse"
    assert Client().post(reset, {"new_password": new, "again": new}).status_code == 404
    assert User.objects.get(id=alice.id).check_password(PASSWORD)


def test_nobody_sends_mail_to_strangers_without_end(alice: User, mail_server: MailServer) -> None:
    browser = signed_in(alice)
    for number in range(5):
        assert ask(browser, f"victim-{number}@example.com") == 302
    assert ask(browser, "victim-6@example.com") == 422
    assert not mail_server.to("victim-6@example.com")


def test_without_a_mail_server_the_page_says_so(alice: User) -> None:
    browser = signed_in(alice)
    assert "cannot send mail" in browser.get(PAGE).content.decode()
    assert ask(browser) == 422


def test_the_service_needs_a_step_up_and_a_session(alice: User, tenant: Tenant, mail_server: MailServer) -> None:
    ctx = session(tenant, alice)
    with unit_of_work(tenant.id):
        with pytest.raises(errors.StepUpRequired):
            ask_for_address(NEW, ctx=ctx)
        with pytest.raises(errors.PermissionDenied):
            ask_for_address(NEW, ctx=acting(tenant, alice))
    assert not mail_server.taken


def test_a_link_mailed_by_another_tenant_to_an_earlier_address_resets_nothing(
    alice: User, tenant: Tenant, mail_server: MailServer
) -> None:
    Client().post("/console/password-reset/", {"account": "alice"})
    run_jobs()
    reset = link_in(mail_server, OLD)
    User.objects.filter(id=alice.id).update(email=NEW)
    new = "another battery staple horse"
    assert Client().post(reset, {"new_password": new, "again": new}).status_code != 200
    assert User.objects.get(id=alice.id).check_password(PASSWORD)
