"""Documents of identity providers: who may change them, and what a change does to people."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from telemetry.models import Receipt
from tests.client import Api
from tests.factories import PASSWORD, acting, acting_system, make_principal, make_tenant, make_token, stepped_up
from tests.receivers.oidc_provider import OidcProvider, running_provider
from tests.threada_site.sign_in.people import put_provider, sign_in_at
from tests.threada_site.sign_in.test_oidc import link_of, reason_of
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.change_sets.publish import publish
from threada_site.identity.departure.access import end_access
from threada_site.identity.dependence import open_dependences
from threada_site.identity.four_eyes import turn_on_four_eyes
from threada_site.identity.grants.role_grants import set_roles
from threada_site.identity.passwords import set_password
from threada_site.identity.principals import remove_member
from threada_site.identity.providers.configure import confirm_links, withdraw_provider
from threada_site.identity.roles import define_role
from threada_site.identity.selectors import roles_of_member
from threada_site.kernel import clock, errors
from threada_site.kernel.context import Scope
from threada_site.sign_in import answers, metadata
from threada_site.tenancy.four_eyes import IDENTITY_FOUR_EYES
from threada_site.tenancy.models import ChangeSet, IdentityLink, Tenant, User

pytestmark = pytest.mark.usefixtures("step_up")


def steward(tenant: Tenant, name: str) -> tuple[User, Api]:
    person = make_principal(tenant, name, roles=["tenant_admin"])
    return person, Api(make_token(tenant, person))


def document(provider: OidcProvider, **spec: Any) -> dict[str, Any]:
    whole = {"protocol": "oidc", "name": "Corp", "issuer": provider.issuer, "client_id": "threada", **spec}
    return {"identity_provider_id": "corp", "spec": {"create_accounts": True, **whole}}


def test_the_secret_is_sent_to_the_token_endpoint_only(
    acme: Tenant, provider: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORP_SECRET", "s3cret/+")
    put_provider(acme, provider, client_secret={"env": "CORP_SECRET"})
    assert sign_in_at(provider)[1].status_code == 302
    authorizations = {path: authorization for path, _, authorization in provider.requests}
    assert authorizations["/token"] == "Basic dGhyZWFkYTpzM2NyZXQlMkYlMkI="
    assert all(not value.startswith("Basic") for path, value in authorizations.items() if path != "/token")


def test_the_api_names_only_secrets_that_the_operator_listed(
    acme: Tenant, provider: OidcProvider, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORP_SECRET", "s3cret")
    _, api = steward(acme, "ann")
    sent = document(provider, client_secret={"env": "CORP_SECRET"})
    assert api.post("/identity-providers", sent).json()["reason_code"] == "secret_reference_not_allowed"
    settings.THREADA_SECRET_REFS = ["acme/env:CORP_SECRET@https://id.example"]
    assert api.post("/identity-providers", sent).json()["reason_code"] == "secret_origin_refused"
    settings.THREADA_SECRET_REFS = [f"acme/env:CORP_SECRET@{provider.issuer}"]
    assert api.post("/identity-providers", sent).status_code == 201
    assert sign_in_at(provider)[1].status_code == 302
    settings.THREADA_SECRET_REFS = []
    assert reason_of(sign_in_at(provider)[1]) == "identity_provider_unavailable"


def test_an_operators_secret_goes_nowhere_else(
    acme: Tenant, provider: OidcProvider, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator's command needs no list; a steward cannot take its secret to another issuer, nor keep it."""
    monkeypatch.setenv("CORP_SECRET", "s3cret")
    assert not settings.THREADA_SECRET_REFS
    put_provider(acme, provider, client_secret={"env": "CORP_SECRET"})
    assert sign_in_at(provider)[1].status_code == 302
    _, api = steward(acme, "ann")
    with running_provider() as other:
        for changed in ({"issuer": other.issuer}, {"name": "Other"}):
            sent = document(provider, client_secret={"env": "CORP_SECRET"}, **changed)
            assert api.post("/identity-providers", sent).json()["reason_code"] == "secret_reference_not_allowed"
        assert other.requests == []
    provider.metadata = {"token_endpoint": "http://203.0.113.7/token"}
    metadata.forget()
    assert reason_of(Client().get("/console/login/acme/corp")) == "identity_provider_unavailable"
    provider.metadata = {}
    settings.THREADA_EGRESS_ALLOW = []
    metadata.forget()
    assert reason_of(Client().get("/console/login/acme/corp")) == "identity_provider_unavailable"


@pytest.mark.parametrize(
    "spec",
    [
        {"protocol": "saml"},
        {"claims": {"subject": "email"}},
        {"claims": {"subject": "aud"}},
        {"issuer": "http://id.example"},
        {"roles": {"g": ["no-such-role"]}},
        {"client_secret": "x"},
    ],
    ids=str,
)
def test_a_wrong_document_is_refused(acme: Tenant, provider: OidcProvider, spec: dict[str, Any]) -> None:
    _, api = steward(acme, "ann")
    answer = api.post("/identity-providers", document(provider, **spec)).json()
    assert answer["reason_code"] == "document_invalid"


def test_only_stewards_change_providers(acme: Tenant, provider: OidcProvider) -> None:
    other = Api(make_token(acme, make_principal(acme, "bob", roles=["operator", "viewer"]), scopes=None))
    assert other.post("/identity-providers", document(provider)).status_code == 403


def test_a_second_steward_confirms_a_provider(acme: Tenant, provider: OidcProvider) -> None:
    (_, ann), (_, eve) = steward(acme, "ann"), steward(acme, "eve")
    with unit_of_work(acme.id):
        turn_on_four_eyes(IDENTITY_FOUR_EYES, ctx=acting_system(acme))
    proposed = ann.post("/identity-providers", document(provider, roles={"it": ["tenant_admin"]}))
    assert proposed.status_code == 202
    assert Client().get("/console/login/acme/corp")["Location"] == "/console/login/acme/"
    body = {"digest": proposed.json()["digest"]}
    where = f"/change-sets/{proposed.json()['change_set_id']}/publish"
    assert ann.post(where, body).json()["reason_code"] == "second_person_required"
    assert eve.post(where, body).status_code == 200
    sign_in_at(provider, groups=["it"])
    person = link_of(acme).user
    with unit_of_work(acme.id):
        assert open_dependences(person.id, tenant_id=acme.id) == []
        assert roles_of_member(person, tenant_id=acme.id) == []
        waiting = ChangeSet.objects.get(operation="identity.grant_provider_role")
    body = {"digest": waiting.digest}
    assert eve.post(f"/change-sets/{waiting.public_id}/publish", body).status_code == 200
    with unit_of_work(acme.id):
        assert roles_of_member(person, tenant_id=acme.id) == ["tenant_admin"]
    sign_in_at(provider, groups=[])
    with unit_of_work(acme.id):
        assert roles_of_member(person, tenant_id=acme.id) == []


def test_accounts_of_a_provider_that_one_steward_made_depend_on_the_steward(
    acme: Tenant, provider: OidcProvider
) -> None:
    ann, api = steward(acme, "ann")
    assert api.post("/identity-providers", document(provider)).status_code == 201
    sign_in_at(provider)
    with unit_of_work(acme.id):
        (dependence,) = open_dependences(link_of_user(acme), tenant_id=acme.id)
        assert dependence.depends_on == ann


def link_of_user(tenant: Tenant) -> Any:
    return IdentityLink.objects.get(tenant_id=tenant.id).user_id


@pytest.mark.parametrize("changed", [{"client_id": "other"}, {"claims": {"subject": "oid"}}], ids=str)
def test_a_changed_identity_suspends_links_until_another_steward_confirms(
    acme: Tenant, provider: OidcProvider, changed: dict[str, Any]
) -> None:
    (_, ann), (_, eve) = steward(acme, "ann"), steward(acme, "eve")
    put_provider(acme, provider)
    browser, _ = sign_in_at(provider)
    assert browser.get("/console/").status_code == 200
    proposed = ann.post("/identity-providers", document(provider, **changed)).json()
    where = f"/change-sets/{proposed['change_set_id']}/publish"
    assert eve.post(where, {"digest": proposed["digest"]}).status_code == 200
    assert browser.get("/console/").status_code == 302
    claims = {"oid": "person-1"}
    assert reason_of(sign_in_at(provider, **claims)[1]) == "identity_link_suspended"
    refused = ann.post("/identity-providers/corp/confirm-links", {})
    assert refused.json()["reason_code"] == "second_person_required"
    assert eve.post("/identity-providers/corp/confirm-links", {}).json() == {"links": 1}
    assert sign_in_at(provider, **claims)[1].status_code == 302


def test_a_withdrawn_provider_signs_nobody_in(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider)
    browser, _ = sign_in_at(provider)
    with unit_of_work(acme.id):
        withdraw_provider("corp", ctx=acting_system(acme))
    assert browser.get("/console/").status_code == 302
    assert Client().get("/console/login/acme/corp")["Location"] == "/console/login/acme/"
    with unit_of_work(acme.id), pytest.raises(errors.NotFound):
        confirm_links("corp", ctx=acting_system(acme))


def test_roles_of_a_provider_are_not_changed_by_hand(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider, roles={"finance": ["approver"], "it": ["viewer"]})
    sign_in_at(provider, groups=["finance"])
    person, (ann, _) = link_of(acme).user, steward(acme, "ann")
    ctx = acting(acme, ann)
    for wanted in ([], ["approver", "viewer"]):
        with unit_of_work(acme.id), pytest.raises(errors.RoleFromProvider):
            set_roles(person, wanted, ctx=ctx)
    with unit_of_work(acme.id):
        set_roles(person, ["approver", "requester"], ctx=ctx)
    sign_in_at(provider, groups=[])
    with unit_of_work(acme.id):
        assert roles_of_member(person, tenant_id=acme.id) == ["requester"]
        withdrawn = Receipt.objects.filter(kind="role.withdrawn").get()
    assert b'"provider":"corp"' in bytes(withdrawn.body)


def test_passwords_serve_only_named_people_where_a_provider_is_enforced(acme: Tenant, provider: OidcProvider) -> None:
    globex = make_tenant("globex")
    for name in ("alice", "glass"):
        person = make_principal(acme, name)
        with unit_of_work(acme.id):
            set_password(person, PASSWORD, ctx=acting_system(acme))

    def status(name: str) -> tuple[Client, int]:
        browser = Client()
        return browser, browser.post("/console/login/", {"username": name, "password": PASSWORD}).status_code

    before, _ = status("alice")
    put_provider(acme, provider, enforce=True, break_glass=["glass"])
    assert before.get("/console/").wsgi_request.acting_context is None
    assert status("alice")[1] == 200
    assert status("glass")[1] == 302
    make_principal(globex, "alice")
    browser, answered = status("alice")
    assert answered == 302
    assert browser.get("/console/").wsgi_request.acting_context.tenant_slug == "globex"
    browser.post("/console/tenant/", {"tenant": "acme"})
    assert browser.get("/console/").wsgi_request.acting_context.tenant_slug == "globex"
    assert sign_in_at(provider)[0].get("/console/").status_code == 200


def test_a_removed_member_does_not_come_back_by_the_provider(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider)
    sign_in_at(provider)
    with unit_of_work(acme.id):
        remove_member(link_of_person(acme), ctx=acting_system(acme))
    assert reason_of(sign_in_at(provider)[1]) == "principal_inactive"


@pytest.mark.parametrize("way", ["unmapped", "suspended"])
def test_a_waiting_role_is_not_given_once_the_provider_does_not_give_it(
    acme: Tenant, provider: OidcProvider, way: str
) -> None:
    eve, _ = steward(acme, "eve")
    steward(acme, "ann")
    with unit_of_work(acme.id):
        turn_on_four_eyes(IDENTITY_FOUR_EYES, ctx=acting_system(acme))
    put_provider(acme, provider, roles={"it": ["tenant_admin"]})
    sign_in_at(provider, groups=["it"])
    if way == "unmapped":
        put_provider(acme, provider, roles={"it": ["auditor"]})
    with unit_of_work(acme.id):
        if way == "suspended":
            IdentityLink.objects.update(suspended_at=clock.now())
        waiting = ChangeSet.objects.get(operation="identity.grant_provider_role")
        with pytest.raises(errors.ChangeSetStale):
            publish(waiting, waiting.digest, ctx=stepped_up(acting(acme, eve)))
        assert roles_of_member(link_of_person(acme), tenant_id=acme.id) == []


def test_a_member_whose_access_was_ended_does_not_sign_in_by_the_provider(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider)
    browser, _ = sign_in_at(provider)
    assert browser.get("/console/").status_code == 200
    with unit_of_work(acme.id):
        end_access(link_of_person(acme), ctx=acting_system(acme))
    again, answer = sign_in_at(provider)
    assert reason_of(answer) == "principal_inactive"
    assert [each.get("/console/").status_code for each in (browser, again)] == [302, 302]


@pytest.mark.parametrize("end", [remove_member, end_access])
def test_a_link_that_ends_during_the_sign_in_leaves_no_session(
    acme: Tenant, provider: OidcProvider, monkeypatch: pytest.MonkeyPatch, end: Any
) -> None:
    put_provider(acme, provider)
    sign_in_at(provider)
    ann, _ = steward(acme, "ann")
    opened = answers.open_session

    def open_after_the_end(*given: Any, **named: Any) -> None:
        with unit_of_work(acme.id):
            end(link_of_person(acme), ctx=stepped_up(acting(acme, ann)))
        opened(*given, **named)

    monkeypatch.setattr(answers, "open_session", open_after_the_end)
    browser, answer = sign_in_at(provider)
    assert reason_of(answer) == "sign_in_state_invalid"
    assert browser.get("/console/").status_code == 302


def link_of_person(tenant: Tenant) -> User:
    return User.objects.get(id=link_of_user(tenant))


def test_several_roles_that_make_a_steward_together_need_a_second_person(acme: Tenant, provider: OidcProvider) -> None:
    steward(acme, "ann")
    steward(acme, "eve")
    with unit_of_work(acme.id):
        define_role("wide", frozenset(Scope) - {Scope.ACTIONS_FREEZE}, ctx=acting_system(acme))
        define_role("freezer", frozenset({Scope.ACTIONS_FREEZE}), ctx=acting_system(acme))
    put_provider(acme, provider, roles={"a": ["wide"], "b": ["freezer"], "c": ["auditor"]})
    sign_in_at(provider, groups=["a", "c"])
    person = link_of(acme).user
    with unit_of_work(acme.id):
        assert roles_of_member(person, tenant_id=acme.id) == ["auditor", "wide"]
    sign_in_at(provider, groups=["a", "b", "c"])
    with unit_of_work(acme.id):
        assert roles_of_member(person, tenant_id=acme.id) == ["auditor", "wide"]
        assert ChangeSet.objects.filter(operation="identity.grant_provider_role").count() == 1
