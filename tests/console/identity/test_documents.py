"""Stewards list, change and withdraw identity providers and trusted issuers in the console."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from telemetry.models import Receipt
from tests.console.sign_in import Console, confirm
from tests.factories import acting_system, make_principal
from tests.journeys.demo import Demo
from tests.receivers.saml_provider import metadata_of
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.providers.configure import upsert_provider
from threada_site.identity.trusted_issuers.configure import upsert_trusted_issuer
from threada_site.identity.trusted_issuers.document import parse_trusted_issuer
from threada_site.kernel import clock
from threada_site.tenancy.models import ChangeSet, IdentityLink, IdentityProvider, TrustedIssuer, User

PROVIDERS = "/console/tenancy/identityprovider/"
ISSUERS = "/console/tenancy/trustedissuer/"
CORP = {
    "protocol": "oidc",
    "name": "Corp",
    "issuer": "https://id.example.com",
    "client_id": "threada",
    "roles": {"finance-team": ["approver"]},
    "domains": ["example.com"],
}
METADATA = metadata_of("one")
GITHUB = {
    "issuer": "https://token.actions.githubusercontent.com",
    "mappings": [
        {
            "when": 'claims.repository == "acme/payments"',
            "principal": "deployer",
            "scopes": ["workitems:write"],
            "lifetime_minutes": 10,
        }
    ],
}


@pytest.fixture
def console(stepped_up: Console) -> Console:
    """Return a factory of signed-in clients: nobody writes these documents without a step-up."""
    return stepped_up


@pytest.fixture(autouse=True)
def public_url(settings: Settings) -> None:
    settings.THREADA_PUBLIC_URL = "https://threada.example"


def add_provider(demo: Demo, **more: Any) -> None:
    with unit_of_work(demo.tenant.id):
        upsert_provider("corp", {**CORP, **more}, ctx=acting_system(demo.tenant))


def add_issuer(demo: Demo) -> None:
    with unit_of_work(demo.tenant.id):
        upsert_trusted_issuer("github", parse_trusted_issuer(GITHUB), ctx=acting_system(demo.tenant))


def form_of(browser: Client, address: str) -> dict[str, Any]:
    """Return what a browser would send of a form that nobody changed."""
    form = browser.get(address).context["form"]
    sent = {bound.name: bound.value() for bound in form}
    return {name: value for name, value in sent.items() if value not in (None, False)}


def text_of(page: Any) -> str:
    return re.sub(r"\s+", " ", page.content.decode())


def provider(demo: Demo) -> IdentityProvider:
    with unit_of_work(demo.tenant.id):
        return IdentityProvider.objects.select_related("current_version").get(slug="corp")


class TestIdentityProviders:
    def test_a_provider_is_added_with_a_form(self, demo: Demo, console: Console) -> None:
        browser = console("admin")
        sent = form_of(browser, f"{PROVIDERS}new/")
        roles = "finance-team: [approver]\nauditors: [auditor]\n"
        sent |= {
            "slug": "corp", "protocol": "oidc", "name": "Corp", "issuer": "https://id.example.com", "client_id": "threada",
            "roles": roles, "domains": "example.com\r\nexample.org\r\n", "claims__groups": "teams", "max_age": "3600",
            "create_accounts": "on",
        }  # fmt: skip
        made = browser.post(f"{PROVIDERS}new/", sent)
        assert made.status_code == 302, (made.context["form"].errors, made.context["problems"])
        assert made["Location"] == f"{PROVIDERS}corp/"
        assert provider(demo).current_version.spec == {
            "protocol": "oidc",
            "name": "Corp",
            "issuer": "https://id.example.com",
            "client_id": "threada",
            "claims": {"groups": "teams"},
            "roles": {"finance-team": ["approver"], "auditors": ["auditor"]},
            "create_accounts": True,
            "domains": ["example.com", "example.org"],
            "max_age": 3600,
        }
        page = text_of(browser.get(made["Location"]))
        assert "https://threada.example/console/login/demo/corp/callback" in page
        assert "for everybody whom the provider signs in" in page
        assert "version 1" in page
        assert "by admin" in page

    def test_an_unchanged_form_changes_nothing(self, demo: Demo, console: Console) -> None:
        add_provider(demo, enforce=False, scopes=["openid", "groups"], claims={"subject": "oid"}, max_age=60)
        browser, before = console("admin"), provider(demo).current_version_id
        answer = confirm(browser, f"{PROVIDERS}corp/new-version/", form_of(browser, f"{PROVIDERS}corp/new-version/"))
        assert answer.status_code == 302
        assert provider(demo).current_version_id == before

    def test_a_changed_field_keeps_all_others(self, demo: Demo, console: Console) -> None:
        add_provider(demo, enforce=False, claims={"subject": "oid"})
        browser, before = console("admin"), provider(demo).current_version
        sent = form_of(browser, f"{PROVIDERS}corp/new-version/")
        confirm(browser, f"{PROVIDERS}corp/new-version/", {**sent, "name": "Corporation", "domains": ""})
        spec = {key: value for key, value in before.spec.items() if key != "domains"}
        assert provider(demo).current_version.spec == {**spec, "name": "Corporation"}

    def test_errors_are_next_to_their_fields(self, demo: Demo, console: Console) -> None:
        add_provider(demo)
        browser, before = console("admin"), provider(demo).current_version_id
        sent = form_of(browser, f"{PROVIDERS}corp/new-version/")
        wrong = {"issuer": "id.example.com", "roles": "finance-team: approver\n", "domains": "Example.com"}
        page = confirm(browser, f"{PROVIDERS}corp/new-version/", {**sent, **wrong})
        assert page.status_code == 422
        found = {name: list(said) for name, said in page.context["form"].errors.items()}
        assert set(found) == {"issuer", "roles", "domains"}
        assert found["roles"][0].startswith("line 1, column")
        broken = confirm(browser, f"{PROVIDERS}corp/new-version/", {**sent, "roles": "a: [b"})
        assert broken.status_code == 422
        assert set(broken.context["form"].errors) == {"roles"}
        assert provider(demo).current_version_id == before

    def test_a_document_is_edited_as_yaml(self, demo: Demo, console: Console) -> None:
        add_provider(demo)
        browser = console("admin")
        document = form_of(browser, f"{PROVIDERS}corp/edit-document/")["document"]
        assert document.splitlines()[:5] == [
            "kind: IdentityProvider",
            "id: corp",
            "spec:",
            "  protocol: oidc",
            "  name: Corp",
        ]
        renamed = document.replace("name: Corp", "name: Group")
        other = confirm(
            browser, f"{PROVIDERS}corp/edit-document/", {"document": renamed.replace("id: corp", "id: other")}
        )
        assert other.status_code == 422
        assert confirm(browser, f"{PROVIDERS}corp/edit-document/", {"document": renamed}).status_code == 302
        page = text_of(browser.get(f"{PROVIDERS}corp/"))
        assert provider(demo).current_version.spec["name"] == "Group"
        assert "What changed" in page

    def test_members_of_a_spec_that_the_page_does_not_know_are_shown(self, demo: Demo, console: Console) -> None:
        add_provider(demo, max_age=60, acr_values=["gold"])
        page = text_of(console("admin").get(f"{PROVIDERS}corp/"))
        assert "<dt>Max age</dt><dd>60 <span" in page
        assert "<dt>ACR values</dt><dd>gold <span" in page

    @pytest.mark.parametrize("metadata", ["https://id.example.com/saml/metadata", METADATA], ids=["address", "inline"])
    def test_a_saml_provider_is_shown_and_saved(self, metadata: str, demo: Demo, console: Console) -> None:
        spec = {"protocol": "saml", "name": "Corp", "metadata": metadata, "roles": {"a": ["approver"]}}
        with unit_of_work(demo.tenant.id):
            entity_id = {} if metadata == METADATA else {"entity_id": "https://id.example.com/saml"}
            upsert_provider("corp", {**spec, **entity_id}, ctx=acting_system(demo.tenant))
        browser, before = console("admin"), provider(demo).current_version_id
        page = text_of(browser.get(f"{PROVIDERS}corp/"))
        for part in ("SAML 2.0", "NameID", "Assertion consumer service", "/console/login/demo/corp/metadata"):
            assert part in page
        assert "SAML 2.0" in text_of(browser.get(PROVIDERS))
        answer = confirm(browser, f"{PROVIDERS}corp/new-version/", form_of(browser, f"{PROVIDERS}corp/new-version/"))
        assert answer.status_code == 302
        assert provider(demo).current_version_id == before

    def test_a_change_waits_for_a_second_steward(self, demo: Demo, console: Console) -> None:
        add_provider(demo)
        make_principal(demo.tenant, "second", roles=("tenant_admin",))
        browser = console("admin")
        sent = form_of(browser, f"{PROVIDERS}corp/new-version/")
        answer = confirm(browser, f"{PROVIDERS}corp/new-version/", {**sent, "name": "Group"}, follow=True)
        assert "A second person must publish this change" in text_of(answer)
        page = text_of(browser.get(f"{PROVIDERS}corp/"))
        assert "A change waits for a second steward" in page
        assert provider(demo).name == "Corp"
        with unit_of_work(demo.tenant.id):
            assert ChangeSet.objects.get().operation == "identity.put_identity_provider"

    def test_links_are_listed_and_confirmed(self, demo: Demo, console: Console) -> None:
        add_provider(demo)
        with unit_of_work(demo.tenant.id):
            IdentityLink.objects.create(
                tenant_id=demo.tenant.id,
                provider=IdentityProvider.objects.get(),
                user=User.objects.get(username="finance-1"),
                issuer="https://id.example.com",
                subject="0a1b",
                suspended_at=clock.now(),
            )
        browser = console("admin")
        listed = text_of(browser.get(PROVIDERS))
        assert all(part in listed for part in ("Corp", "OpenID Connect", "https://id.example.com", "example.com"))
        page = text_of(browser.get(f"{PROVIDERS}corp/"))
        assert "1 link is suspended" in page
        assert "finance-1 (0a1b)" in text_of(browser.get(f"{PROVIDERS}corp/confirm-links/"))
        assert browser.post(f"{PROVIDERS}corp/confirm-links/", {"confirmed": "yes"}).status_code == 422
        confirm(browser, f"{PROVIDERS}corp/confirm-links/")
        with unit_of_work(demo.tenant.id):
            assert IdentityLink.objects.get().suspended_at is None
        assert "Confirm links" not in text_of(browser.get(f"{PROVIDERS}corp/"))

    def test_a_withdrawal_is_meant(self, demo: Demo, console: Console) -> None:
        add_provider(demo)
        browser = console("admin")
        assert "Reason" in text_of(browser.get(f"{PROVIDERS}corp/withdraw/"))
        assert browser.post(f"{PROVIDERS}corp/withdraw/", {"confirmed": "yes"}).status_code == 422
        assert provider(demo).current_version is not None
        confirm(browser, f"{PROVIDERS}corp/withdraw/")
        assert provider(demo).current_version is None
        assert browser.get(f"{PROVIDERS}corp/").status_code == 404


class TestTrustedIssuers:
    def test_an_issuer_is_trusted_with_a_form(self, demo: Demo, console: Console) -> None:
        browser = console("admin")
        sent = form_of(browser, f"{ISSUERS}new/")
        assert sent["algorithms"] == ["RS256"]
        mappings = "- when: claims.sub == 'a'\n  principal: deployer\n  scopes: [workitems:read]\n"
        wrong = browser.post(
            f"{ISSUERS}new/",
            {**sent, "slug": "github", "issuer": GITHUB["issuer"], "mappings": mappings.replace("==", "=")},
        )
        assert wrong.status_code == 422
        assert "line 1, column" in wrong.context["form"].errors["mappings"][0]
        sent |= {"slug": "github", "issuer": GITHUB["issuer"], "mappings": mappings}
        assert browser.post(f"{ISSUERS}new/", sent)["Location"] == f"{ISSUERS}github/"
        with unit_of_work(demo.tenant.id):
            version = TrustedIssuer.objects.select_related("current_version").get().current_version
            assert version is not None
            assert version.spec == {
                "issuer": GITHUB["issuer"],
                "mappings": [{"when": "claims.sub == 'a'", "principal": "deployer", "scopes": ["workitems:read"]}],
            }
        again = browser.post(f"{ISSUERS}new/", sent)
        assert again.context["form"].errors["slug"] == ["Choose another id."]

    def test_the_page_says_who_acts_and_where_keys_come_from(self, demo: Demo, console: Console) -> None:
        add_issuer(demo)
        browser = console("admin")
        page = text_of(browser.get(f"{ISSUERS}github/"))
        assert "no such member" in page
        assert "not fetched yet" in page
        assert "https://threada.example/demo" in page
        demo.join("deployer", kind="service", roles=("requester",))
        with unit_of_work(demo.tenant.id):
            TrustedIssuer.objects.update(keys_problem="The address answered 503.", keys_tried_at=clock.now())
        page = text_of(browser.get(f"{ISSUERS}github/"))
        assert "no such member" not in page
        assert "The address answered 503." in page
        assert "failing" in text_of(browser.get(ISSUERS))

    def test_an_issuer_is_withdrawn(self, demo: Demo, console: Console) -> None:
        add_issuer(demo)
        browser = console("admin")
        confirm(browser, f"{ISSUERS}github/withdraw/")
        assert "No issuer is trusted" in text_of(browser.get(ISSUERS))
        with unit_of_work(demo.tenant.id):
            assert Receipt.objects.order_by("-id")[0].kind == "trusted_issuer.withdrawn"


@pytest.mark.parametrize("address", [PROVIDERS, ISSUERS])
@pytest.mark.parametrize("name", ["finance-1", "ivy"])
def test_only_stewards_see_the_pages(address: str, name: str, demo: Demo, console: Console) -> None:
    add_provider(demo)
    add_issuer(demo)
    make_principal(demo.tenant, "ivy", roles=("policy_publisher", "operator"))
    browser = console(name)
    slug = "corp" if address == PROVIDERS else "github"
    assert browser.get(address).status_code == 403
    assert browser.get(f"{address}{slug}/").status_code == 403
    for form in ("new", f"{slug}/new-version", f"{slug}/withdraw"):
        assert browser.get(f"{address}{form}/").status_code == 403
    assert confirm(browser, f"{address}{slug}/withdraw/").status_code == 422
    with unit_of_work(demo.tenant.id):
        assert IdentityProvider.objects.get().current_version is not None
        assert TrustedIssuer.objects.get().current_version is not None
    assert address not in browser.get("/console/").content.decode()
