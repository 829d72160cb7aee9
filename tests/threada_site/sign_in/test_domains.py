"""Sign-in found by a mail domain: only domains that the operator or DNS confirmed are told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

from telemetry.models import Receipt
from tests.factories import acting_system, make_tenant
from tests.receivers.dns_server import DnsServer, dns_server
from tests.receivers.oidc_provider import OidcProvider
from tests.threada_site.sign_in.people import put_provider
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.providers import domain_records
from threada_site.identity.providers.configure import withdraw_provider
from threada_site.identity.providers.domain_records import record_name, record_text
from threada_site.identity.providers.domains import check_domains, confirm_domain, domain_of
from threada_site.identity.tasks import check_sign_in_domains
from threada_site.kernel import clock, errors
from threada_site.tenancy.models import SignInDomain, Tenant

PAGE = "/console/company-sign-in/"


@pytest.fixture
def dns(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[DnsServer]:
    with dns_server() as server:
        settings.THREADA_DNS_SERVERS = [server.address]
        monkeypatch.setattr(domain_records, "TIMEOUT_S", 1.0)
        yield server


def ask(account: str, onward: str = "") -> Any:
    return Client().post(f"{PAGE}?next={onward}" if onward else PAGE, {"account": account})


def refresh(answer: Any) -> str:
    return str(answer.get("Refresh", "")).partition("url=")[2]


def prove(dns: DnsServer, tenant: Tenant, domain: str = "example.com") -> None:
    dns.texts[record_name(domain)] = ["v=spf1 -all", record_text(domain, tenant.id)]


def test_a_confirmed_domain_leads_to_its_provider(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider, domains=["example.com"])
    assert b"Sign in with your company" in Client().get("/console/login/").content
    unknown = ask("ann@example.com")
    assert (unknown.status_code, refresh(unknown)) == (422, "")
    with unit_of_work(acme.id):
        confirm_domain("example.com", "corp", ctx=acting_system(acme))
        assert Receipt.objects.filter(kind="sign_in_domain.confirmed").count() == 1
    for account in ("ann@example.com", " Ann@EXAMPLE.com ", "example.com.", "EXAMPLE.com"):
        assert refresh(ask(account)) == "/console/login/acme/corp"
    assert (
        refresh(ask("ann@example.com", "/console/sessions/"))
        == "/console/login/acme/corp?next=%2Fconsole%2Fsessions%2F"
    )
    assert refresh(ask("ann@example.com", "https://evil.example/")) == "/console/login/acme/corp"


@pytest.mark.parametrize(
    "account", ["", "ann", "x.example.com", "ann@evil.com", "@", "a@b@example.org", "x" * 5000, "é@\x00."]
)
def test_other_addresses_look_alike(acme: Tenant, provider: OidcProvider, account: str) -> None:
    put_provider(acme, provider, domains=["example.com", "unconfirmed.example"])
    with unit_of_work(acme.id):
        confirm_domain("example.com", "corp", ctx=acting_system(acme))
    answers = [ask(account), ask("ann@unconfirmed.example"), ask("ann@nowhere.example")]
    assert {answer.status_code for answer in answers} == {422}
    assert all("acme" not in answer.content.decode() and not refresh(answer) for answer in answers)


def test_a_domain_counts_while_the_provider_claims_it(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider)
    with unit_of_work(acme.id), pytest.raises(errors.NotFound):
        confirm_domain("example.com", "corp", ctx=acting_system(acme))
    put_provider(acme, provider, domains=["example.com"])
    with unit_of_work(acme.id):
        confirm_domain("example.com", "corp", ctx=acting_system(acme))
    put_provider(acme, provider, domains=[])
    assert not refresh(ask("example.com"))
    put_provider(acme, provider, domains=["example.com"])
    assert refresh(ask("example.com"))
    with unit_of_work(acme.id):
        withdraw_provider("corp", ctx=acting_system(acme))
    assert not refresh(ask("example.com"))


def test_a_txt_record_confirms_a_domain(acme: Tenant, provider: OidcProvider, dns: DnsServer) -> None:
    globex = make_tenant("globex")
    for tenant in (acme, globex):
        put_provider(tenant, provider, domains=["example.com"])
    assert check_domains(ctx=acting_system(acme)) == {"example.com": "no TXT record of this tenant"}
    assert dns.asked == ["_threada.example.com"]
    prove(dns, acme)
    check_sign_in_domains()
    assert refresh(ask("example.com")) == "/console/login/acme/corp"
    prove(dns, globex)
    assert "another tenant" in check_domains(ctx=acting_system(globex))["example.com"]
    assert refresh(ask("example.com")) == "/console/login/acme/corp"
    check_domains(ctx=acting_system(acme))
    assert not refresh(ask("example.com"))
    check_domains(ctx=acting_system(globex))
    assert refresh(ask("example.com")) == "/console/login/globex/corp"


def test_what_the_operator_confirmed_is_taken_by_no_record(
    acme: Tenant, provider: OidcProvider, dns: DnsServer
) -> None:
    globex = make_tenant("globex")
    for tenant in (acme, globex):
        put_provider(tenant, provider, domains=["example.com"])
    with unit_of_work(acme.id):
        confirm_domain("example.com", "corp", ctx=acting_system(acme))
    with unit_of_work(globex.id), pytest.raises(errors.Conflict):
        confirm_domain("example.com", "corp", ctx=acting_system(globex))
    prove(dns, globex)
    check_sign_in_domains()
    assert refresh(ask("example.com")) == "/console/login/acme/corp"


@pytest.mark.parametrize("failure", ["fails", "is_silent"])
def test_dns_without_an_answer_changes_nothing_until_the_record_expires(
    acme: Tenant, provider: OidcProvider, dns: DnsServer, failure: str
) -> None:
    put_provider(acme, provider, domains=["example.com"])
    prove(dns, acme)
    check_domains(ctx=acting_system(acme))
    setattr(dns, failure, True)
    assert "no answer" in check_domains(ctx=acting_system(acme))["example.com"]
    assert refresh(ask("example.com"))
    with platform_role():
        SignInDomain.objects.update(expires_at=clock.now() - timedelta(seconds=1))
    assert not refresh(ask("example.com"))


def test_the_operator_shows_confirms_checks_and_withdraws(acme: Tenant, provider: OidcProvider, dns: DnsServer) -> None:
    put_provider(acme, provider, domains=["example.com"])

    def run(*words: str) -> str:
        out = StringIO()
        call_command("sign_in_domain", *words, "--tenant", "acme", stdout=out)
        return out.getvalue().strip()

    name, text = run("record", "example.com").split(". IN TXT ")
    assert "no TXT record" in run("check")
    dns.texts[name] = [text.strip('"')]
    assert run("check") == "example.com: confirmed by its TXT record"
    run("withdraw", "example.com")
    assert not refresh(ask("example.com"))
    run("confirm", "example.com", "--provider", "corp")
    assert run("check") == "example.com: confirmed by the operator"
    for wrong in (["confirm", "example.com"], ["check", "example.com"], ["withdraw", "other.example"], ["record"]):
        with pytest.raises(SystemExit):
            run(*wrong)


def test_domains_are_normalised() -> None:
    assert domain_of("a@Bücher.example") == "xn--bcher-kva.example"
    assert [domain_of(text) for text in ("", "localhost", "a@", "a@..", "a@b..c", "a b.c", "x" * 300 + ".example")] == [
        ""
    ] * 7


def test_the_sign_in_page_shows_the_providers_of_the_tenant_that_one_came_from(
    acme: Tenant, provider: OidcProvider
) -> None:
    put_provider(acme, provider)
    browser = Client()
    assert b"login/?tenant=acme" in browser.get("/console/login/acme/").content
    assert b"Sign in with Corp" in browser.get("/console/login/?tenant=acme").content
    for other in ("", "?tenant=globex", "?tenant=../x"):
        assert b"Sign in with Corp" not in browser.get(f"/console/login/{other}").content
