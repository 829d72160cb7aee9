"""Limits of a tenant's identity provider towards people who are members of other tenants too."""

from __future__ import annotations

import time

import pytest
from django.test import Client

from tests.factories import PASSWORD, make_principal, make_tenant
from tests.receivers.mail_server import MailServer, mail_server
from tests.receivers.oidc_provider import OidcProvider
from tests.threada_site.console.test_second_factors import FACTORS, enrol
from tests.threada_site.sign_in.people import finish, put_provider, sign_in_at
from tests.threada_site.sign_in.test_linking import link, signed_in, start_step_up, stepped_up
from threada_site.tenancy.account_link_models import AccountLink
from threada_site.tenancy.models import ConsoleSession, EnrolledFactor, RecoveryCode, Tenant, User

__all__ = ["mail_server"]


@pytest.fixture
def alice(acme: Tenant, provider: OidcProvider) -> tuple[User, Client]:
    """Return a person with an account at the provider of acme, and a browser with a session by password."""
    put_provider(acme, provider)
    person, browser = signed_in(acme, "alice")
    link(browser, provider)
    return person, browser


@pytest.fixture
def globex() -> Tenant:
    return make_tenant("globex")


def join(tenant: Tenant) -> None:
    make_principal(tenant, "alice", roles=["approver"])


def taken_over(provider: OidcProvider) -> Client:
    """Return a session that the provider opened and stepped up, asserting two factors."""
    browser, _ = sign_in_at(provider, amr=["mfa"])
    finish(browser, provider.authorize(start_step_up(browser), auth_time=int(time.time()), amr=["mfa"]))
    assert stepped_up(browser)
    return browser


def test_the_provider_changes_no_mail_address_that_resets_the_password_elsewhere(
    alice: tuple[User, Client], globex: Tenant, provider: OidcProvider, mail_server: MailServer
) -> None:
    join(globex)
    refused = taken_over(provider).post("/console/mail-address/", {"address": "evil@x.example"})
    assert refused.status_code == 422
    assert "member of other tenants too" in refused.content.decode()
    assert AccountLink.objects.count() == 0


def test_in_its_own_tenant_the_person_changes_the_address_after_a_step_up_at_the_provider(
    alice: tuple[User, Client], provider: OidcProvider, mail_server: MailServer
) -> None:
    assert taken_over(provider).post("/console/mail-address/", {"address": "new@x.example"}).status_code == 302


def test_the_provider_neither_removes_nor_enrols_factors_that_protect_other_tenants(
    alice: tuple[User, Client], globex: Tenant, provider: OidcProvider
) -> None:
    _, codes = enrol(alice[1])
    assert len(codes) == 10
    join(globex)
    known = set(RecoveryCode.objects.values_list("code_sha256", flat=True))
    browser = taken_over(provider)
    factor = EnrolledFactor.objects.get()
    for do in ("remove", "rename", "codes"):
        refused = browser.post(FACTORS, {"do": do, "factor": factor.public_id, "label": "x"})
        assert refused.status_code == 422, do
    started = browser.post(FACTORS, {"do": "start"}).content.decode()
    assert "t-token" not in started
    assert "Sign in with your password or a passkey" in started
    assert browser.post(FACTORS, {"do": "enrol", "code": "123456"}).status_code == 422
    assert EnrolledFactor.objects.get().label == factor.label
    assert set(RecoveryCode.objects.values_list("code_sha256", flat=True)) == known


def test_in_its_own_tenant_a_session_of_the_provider_enrols_a_factor(
    alice: tuple[User, Client], provider: OidcProvider
) -> None:
    enrol(taken_over(provider))
    assert EnrolledFactor.objects.count() == 1


def test_the_provider_neither_sees_nor_ends_sessions_elsewhere(
    alice: tuple[User, Client], globex: Tenant, provider: OidcProvider
) -> None:
    join(globex)
    person, own = alice
    elsewhere = Client()
    elsewhere.post("/console/login/", {"username": "alice", "password": PASSWORD})
    elsewhere.post("/console/tenant/", {"tenant": "globex"})
    there = ConsoleSession.objects.get(user=person, acting_tenant_id=globex.id)
    browser, _ = sign_in_at(provider)
    assert there.public_id not in browser.get("/console/sessions/").content.decode()
    for asked in (there.public_id, "others"):
        browser.post("/console/sessions/", {"end": asked})
    assert elsewhere.get("/console/sessions/").status_code == 200
    own.post("/console/tenant/", {"tenant": "acme"})
    assert there.public_id in own.get("/console/sessions/").content.decode()
