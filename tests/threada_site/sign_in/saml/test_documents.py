"""Documents of SAML providers, their metadata, and what a change of them does to people."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from tests.factories import acting_system
from tests.receivers.fixtures import Receiver
from tests.receivers.saml_provider import ENTITY_ID, Request, metadata_of
from tests.threada_site.sign_in.people import begin
from tests.threada_site.sign_in.saml.people import asked_by, post, put_saml, sign_in_by_saml
from tests.threada_site.sign_in.test_oidc import link_of, reason_of
from tests.threada_site.sign_in.test_providers import steward
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.dependence import open_dependences
from threada_site.identity.providers.documents import parse_provider, read_spec
from threada_site.kernel import errors
from threada_site.kernel.context import EntryPoint
from threada_site.sign_in import slots
from threada_site.sign_in.saml import metadata
from threada_site.tenancy.models import Tenant
from workitems.configuration.kinds.identity_providers import IDENTITY_PROVIDER

pytestmark = pytest.mark.usefixtures("step_up")

INLINE = {"protocol": "saml", "name": "Corp", "metadata": metadata_of("one")}
BY_ADDRESS = {"protocol": "saml", "name": "Corp", "metadata": "https://id.example/metadata", "entity_id": ENTITY_ID}
ROLE = 'protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"'


def without(text: str, part: str, instead: str = "") -> dict[str, Any]:
    assert part in text
    return {**INLINE, "metadata": text.replace(part, instead)}


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({**INLINE, "issuer": "https://id.example"}, "/issuer", "belongs to protocol: oidc"),
    ({**INLINE, "client_secret": {"env": "X"}}, "/client_secret", "belongs to protocol: oidc"),
    ({"protocol": "saml", "name": "Corp"}, "/metadata", "Give the metadata"),
    ({"protocol": "oidc", "name": "C", "issuer": "https://i", "client_id": "c", "metadata": "https://m"}, "/metadata", "saml"),
    ({name: value for name, value in BY_ADDRESS.items() if name != "entity_id"}, "/entity_id", "Name the entity id"),
    ({**BY_ADDRESS, "metadata": "https://id.example/a b"}, "/metadata", "without fragment"),
    ({**INLINE, "entity_id": "https://other.example"}, "/entity_id", "is that of"),
    ({**INLINE, "metadata": "ftp://id.example"}, "/metadata", "no XML"),
    ({**INLINE, "metadata": "<x/>"}, "/metadata", "no EntityDescriptor"),
    ({**INLINE, "metadata": metadata_of()}, "/metadata", "no signing certificate"),
    ({**INLINE, "metadata": metadata_of("rsa-1024")}, "/metadata", "2048"),
    ({**INLINE, "metadata": metadata_of("one", "rsa-1024")}, "/metadata", "2048"),
    ({**INLINE, "metadata": metadata_of("one", role='WantAuthnRequestsSigned="true"')}, "/metadata", "signed requests"),
    ({**INLINE, "metadata": metadata_of("one", root='validUntil="soon"')}, "/metadata", "no time"),
    ({**INLINE, "metadata": metadata_of("one", sign_in="javascript:alert(1)")}, "/metadata", "HTTP-Redirect"),
    ({**INLINE, "metadata": metadata_of("one", sign_in="/sso")}, "/metadata", "HTTP-Redirect"),
    ({**INLINE, "metadata": f"<!DOCTYPE x [<!ENTITY a 'b'>]>{metadata_of('one')[38:]}"}, "/metadata", "document type"),
    (without(metadata_of("one"), "</ds:X509Certificate>", "</ds:X509Certificate><ds:X509Certificate/>"), "/metadata", "exactly one"),
    (without(metadata_of("one"), "<ds:X509Certificate>", "<ds:X509Certificate>!"), "/metadata", "cannot be read"),
    (without(metadata_of("one"), ROLE, 'protocolSupportEnumeration="urn:x"'), "/metadata", "exactly one identity provider"),
    (without(metadata_of("one"), f'entityID="{ENTITY_ID}"'), "/metadata", "entityID"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "place", "text"), WRONG, ids=lambda one: one if isinstance(one, str) else "")
def test_a_wrong_document_is_refused(spec: dict[str, Any], place: str, text: str) -> None:
    with pytest.raises(errors.DocumentInvalid) as refused:
        parse_provider({"kind": "IdentityProvider", "id": "corp", "spec": spec})
    found = {error.pointer: error.detail for error in refused.value.errors}
    assert text in found[f"/spec{place}"], found


def test_a_document_has_the_entity_id_and_the_keys_of_its_metadata() -> None:
    _, spec = parse_provider(INLINE)
    read = read_spec(spec)
    assert (read.issuer, read.client_id, read.metadata_address, len(read.keys)) == (ENTITY_ID, "", "", 1)
    assert (read.claims["subject"], read.claims["groups"]) == ("NameID", "groups")
    assert read_spec(BY_ADDRESS).identity == (ENTITY_ID, "", "https://id.example/metadata", "NameID", "")


def test_a_document_is_exported_as_it_was_applied(acme: Tenant) -> None:
    put_saml(acme, **INLINE)
    ctx = acting_system(acme, EntryPoint.COMMAND)
    with unit_of_work(acme.id):
        (stored,) = IDENTITY_PROVIDER.export(ctx)
    assert stored.document["spec"] == {**INLINE, "create_accounts": True}


def test_without_the_optional_part_a_document_and_a_sign_in_are_refused(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_saml(acme)
    browser = Client()
    answer = asked_by(browser)
    monkeypatch.setitem(sys.modules, "signxml", None)
    with pytest.raises(errors.OptionalPackageMissing, match="uv sync --extra saml"):
        put_saml(acme, name="Other")
    assert reason_of(Client().get("/console/login/acme/corp")) == "optional_package_missing"
    assert reason_of(post(browser, answer.form())) == "optional_package_missing"
    _, api = steward(acme, "ann")
    refused = api.post("/identity-providers", {"identity_provider_id": "corp", "spec": INLINE})
    assert (refused.status_code, refused.json()["reason_code"]) == (501, "optional_package_missing")


CHANGES: list[tuple[dict[str, Any], bool]] = [
    ({"metadata": metadata_of("two")}, True),
    ({"metadata": metadata_of("one", "two")}, True),
    ({"metadata": metadata_of("one", entity_id="https://other.example")}, True),
    ({"claims": {"subject": "oid"}}, True),
    ({"metadata": "https://id.example/metadata", "entity_id": ENTITY_ID}, True),
    ({"protocol": "oidc", "metadata": None, "issuer": "https://id.corp.example/saml", "client_id": "x"}, True),
    ({"metadata": metadata_of("one", sign_in="https://id.corp.example/new")}, False),
    ({"metadata": metadata_of("one", days=300)}, False),
    ({"name": "Other"}, False),
]


@pytest.mark.parametrize(("changed", "suspends"), CHANGES, ids=lambda one: str(one)[-70:])
def test_a_changed_identity_suspends_links_until_another_steward_confirms(
    acme: Tenant, changed: dict[str, Any], *, suspends: bool
) -> None:
    (_, ann), (_, eve) = steward(acme, "ann"), steward(acme, "eve")
    put_saml(acme)
    browser, _ = sign_in_by_saml()
    spec = {name: value for name, value in {**INLINE, "create_accounts": True, **changed}.items() if value is not None}
    proposed = ann.post("/identity-providers", {"identity_provider_id": "corp", "spec": spec}).json()
    where = f"/change-sets/{proposed['change_set_id']}/publish"
    assert eve.post(where, {"digest": proposed["digest"]}).status_code == 200
    assert (browser.get("/console/").status_code == 302) is suspends
    assert (link_of(acme).suspended_at is not None) is suspends
    if suspends:
        refused = ann.post("/identity-providers/corp/confirm-links", {})
        assert refused.json()["reason_code"] == "second_person_required"
        assert eve.post("/identity-providers/corp/confirm-links", {}).json() == {"links": 1}
    assert link_of(acme).suspended_at is None


def test_accounts_depend_on_whoever_alone_wrote_one_of_the_keys(acme: Tenant) -> None:
    put_saml(acme)
    mallory, api = steward(acme, "mallory")
    spec = {**INLINE, "create_accounts": True, "metadata": metadata_of("one", "two")}
    assert api.post("/identity-providers", {"identity_provider_id": "corp", "spec": spec}).status_code == 200
    put_saml(acme, metadata=metadata_of("two"))
    browser = Client()
    answer = asked_by(browser)
    assert post(browser, answer.form(answer.signed("two"))).status_code == 302
    with unit_of_work(acme.id):
        (dependence,) = open_dependences(link_of(acme).user_id, tenant_id=acme.id)
        assert dependence.depends_on == mallory


def test_a_suspended_link_signs_nobody_in(acme: Tenant) -> None:
    put_saml(acme)
    sign_in_by_saml()
    put_saml(acme, metadata=metadata_of("two"))
    browser = Client()
    answer = asked_by(browser)
    assert reason_of(post(browser, answer.form(answer.signed("two")))) == "identity_link_suspended"


def test_removing_a_key_suspends_nothing_and_the_key_serves_no_more(acme: Tenant) -> None:
    put_saml(acme, metadata=metadata_of("one", "two"))
    sign_in_by_saml()
    put_saml(acme, metadata=metadata_of("two"))
    assert link_of(acme).suspended_at is None
    assert reason_of(sign_in_by_saml()[1]) == "saml_signature_invalid"


def test_a_key_serves_while_its_certificate_is_valid(acme: Tenant) -> None:
    put_saml(acme, metadata=metadata_of("one", days=-1))
    assert reason_of(sign_in_by_saml()[1]) == "saml_signature_invalid"


def test_metadata_serve_until_their_end(acme: Tenant) -> None:
    put_saml(acme, metadata=metadata_of("one", root='validUntil="2199-01-01T00:00:00Z"'))
    assert sign_in_by_saml()[1].status_code == 302
    browser = Client()
    for attribute in ({"root": 'validUntil="2020-01-01T00:00:00Z"'}, {"role": 'validUntil="2020-01-01T00:00:00Z"'}):
        put_saml(acme, metadata=metadata_of("one", **attribute))
        assert reason_of(browser.get("/console/login/acme/corp")) == "saml_metadata_expired"


@pytest.fixture
def published(settings: Settings, receiver: Receiver) -> Receiver:
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]
    metadata.forget()
    slots.reset()
    receiver.behave(body=metadata_of("one"))
    return receiver


def put_published(acme: Tenant, published: Receiver, **spec: Any) -> None:
    put_saml(acme, **{"metadata": f"{published.url}/metadata", "entity_id": ENTITY_ID, **spec})


def test_metadata_are_read_from_their_address_and_kept(acme: Tenant, published: Receiver) -> None:
    put_published(acme, published)
    for _ in range(3):
        assert sign_in_by_saml()[1].status_code == 302
    assert len(published.requests()) == 1


def test_changed_keys_at_the_address_are_read_again_after_a_while(
    acme: Tenant, published: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_published(acme, published)
    sign_in_by_saml()
    published.behave(body=metadata_of("two"))

    def sign_in(key: str) -> Any:
        browser = Client()
        answer = asked_by(browser)
        return post(browser, answer.form(answer.signed(key)))

    assert reason_of(sign_in("two")) == "saml_signature_invalid"
    assert len(published.requests()) == 1
    monkeypatch.setattr(metadata, "_REFETCH_AFTER_S", 0)
    assert sign_in("two").status_code == 302
    assert reason_of(sign_in("one")) == "saml_signature_invalid"


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ({"status": 500}, "identity_provider_unavailable"),
        ({"status": 302, "headers": {"Location": "https://evil.example"}}, "identity_provider_unavailable"),
        ({"body": "<x/>"}, "saml_metadata_invalid"),
        ({"body": metadata_of("rsa-1024")}, "saml_metadata_invalid"),
        ({"body": metadata_of("one") + f"<!--{'x' * 300_000}-->"}, "saml_metadata_invalid"),
        ({"fault": "huge", "size": 4 * 1024 * 1024}, "identity_provider_unavailable"),
        ({"body": metadata_of("one", entity_id="https://evil.example")}, "issuer_mismatch"),
        ({"body": metadata_of("one", root='validUntil="2020-01-01T00:00:00Z"')}, "saml_metadata_expired"),
    ],
    ids=lambda one: str(one)[:40],
)
def test_wrong_metadata_at_the_address_are_refused(
    acme: Tenant, published: Receiver, behaviour: dict[str, Any], reason: str
) -> None:
    put_published(acme, published)
    published.behave(**behaviour)
    for _ in range(2):
        refused = Client().get("/console/login/acme/corp")
        assert reason_of(refused) == reason
        assert published.url not in refused.content.decode()
    assert len(published.requests()) == 1


def test_metadata_are_fetched_by_the_rules_of_outbound_calls(
    acme: Tenant, published: Receiver, settings: Settings
) -> None:
    put_published(acme, published)
    settings.THREADA_EGRESS_ALLOW = []
    assert reason_of(Client().get("/console/login/acme/corp")) == "identity_provider_unavailable"
    for spec in (
        {**BY_ADDRESS, "metadata": "http://id.example/metadata"},
        {"metadata": metadata_of("one", sign_in="http://id.example/sso")},
    ):
        with pytest.raises(errors.DocumentInvalid) as refused:
            put_saml(acme, **spec)
        (error,) = refused.value.errors
        assert (error.pointer, error.code) == ("/spec/metadata", "not_confidential")
    assert published.requests() == []


def test_the_service_describes_itself_without_a_provider(acme: Tenant) -> None:
    for where in ("acme/corp", "nobody/nothing"):
        answer = Client().get(f"/console/login/{where}/metadata")
        base = f"http://testserver/console/login/{where}"
        assert answer.status_code == 200
        text = answer.content.decode()
        assert f'entityID="{base}/metadata"' in text
        assert f'Location="{base}/callback"' in text
        assert 'WantAssertionsSigned="true"' in text
    put_saml(acme)
    assert Request.read(begin(Client())).issuer == "http://testserver/console/login/acme/corp/metadata"
