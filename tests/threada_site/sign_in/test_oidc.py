"""Sign-in at an OpenID Connect provider, honest and hostile."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.conf import settings
from django.test import Client

from telemetry.models import Receipt
from tests.factories import acting_system, make_tenant
from tests.receivers.oidc_provider import OidcProvider, running_provider
from tests.threada_site.sign_in.people import begin, finish, put_provider, sign_in_at
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.principals import add_member
from threada_site.identity.selectors import roles_of_member, tenants_of_person
from threada_site.tenancy.models import IdentityLink, Membership, Tenant, User


def link_of(tenant: Tenant, subject: str = "person-1") -> IdentityLink:
    with unit_of_work(tenant.id):
        return IdentityLink.objects.select_related("user").get(tenant_id=tenant.id, subject=subject)


def reason_of(answer: Any) -> str:
    assert answer.status_code >= 400, answer
    return str(answer.content.decode().split("<code>")[1].split("</code>")[0])


def test_a_person_signs_in_and_lands_on_the_dashboard(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider)
    browser, answer = sign_in_at(provider, email="ann@corp.example", name="Ann Lee", groups=[])
    assert (answer.status_code, answer["Location"]) == (302, "/console/")
    assert browser.get("/console/").status_code == 200
    person = link_of(acme).user
    assert (person.display_name, person.email, person.has_usable_password()) == ("Ann Lee", "ann@corp.example", False)
    with unit_of_work(acme.id):
        assert Membership.objects.get(tenant_id=acme.id, user=person).accepted_at is not None
        kinds = list(Receipt.objects.order_by("id").values_list("kind", flat=True))
    assert kinds[-4:] == ["principal.created", "member.added", "identity.linked", "session.signed_in"]
    _, again = sign_in_at(provider, email="other@corp.example")
    assert again.status_code == 302
    assert link_of(acme).user == person


def test_the_request_has_state_nonce_and_challenge(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider, max_age=600, acr_values=["urn:mfa"])
    asked = dict(parse_qsl(urlsplit(begin(Client())).query))
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == "http://testserver/console/login/acme/corp/callback"
    assert (asked["max_age"], asked["acr_values"], asked["response_type"]) == ("600", "urn:mfa", "code")
    assert min(len(asked[name]) for name in ("state", "nonce", "code_challenge")) >= 43


WRONG_CLAIMS = [
    ({"nonce": "other"}, "identity_token_invalid"),
    ({"nonce": None}, "identity_token_invalid"),
    ({"iss": "https://evil.example"}, "issuer_mismatch"),
    ({"aud": "other"}, "identity_token_invalid"),
    ({"aud": ["threada", "other"]}, "identity_token_invalid"),
    ({"aud": ["threada", "other"], "azp": "other"}, "identity_token_invalid"),
    ({"azp": "other"}, "identity_token_invalid"),
    ({"exp": 1}, "identity_token_invalid"),
    ({"exp": None}, "identity_token_invalid"),
    ({"iat": None}, "identity_token_invalid"),
    ({"iat": 1}, "identity_token_invalid"),
    ({"iat": 99999999999}, "identity_token_invalid"),
    ({"nbf": 99999999999}, "identity_token_invalid"),
    ({"sub": None}, "identity_token_invalid"),
    ({"sub": 7}, "identity_token_invalid"),
    ({"at_hash": "wrong"}, "identity_token_invalid"),
]


@pytest.mark.parametrize(("claims", "reason"), WRONG_CLAIMS, ids=str)
def test_a_token_with_a_wrong_claim_is_refused(
    acme: Tenant, provider: OidcProvider, claims: dict[str, Any], reason: str
) -> None:
    put_provider(acme, provider)
    browser, answer = sign_in_at(provider, **claims)
    assert reason_of(answer) == reason
    assert browser.get("/console/").status_code == 302
    with unit_of_work(acme.id):
        assert not IdentityLink.objects.filter(tenant_id=acme.id).exists()
        assert Receipt.objects.filter(kind="request.refused").get().reason_codes == [reason]


@pytest.mark.parametrize("signature", ["unsigned", "signed_by_other_key", "signed_with_public_key"])
def test_a_token_without_the_right_signature_is_refused(acme: Tenant, provider: OidcProvider, signature: str) -> None:
    put_provider(acme, provider)
    provider.sign = getattr(provider, signature)
    assert reason_of(sign_in_at(provider)[1]) == "identity_token_invalid"


def test_the_authentication_at_the_provider_is_checked_when_asked_for(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider, max_age=60, acr_values=["urn:mfa"])
    now = int(time.time())
    assert sign_in_at(provider, auth_time=now, acr="urn:mfa")[1].status_code == 302
    for claims in (
        {"auth_time": now - 600, "acr": "urn:mfa"},
        {"auth_time": now + 600, "acr": "urn:mfa"},
        {"acr": "urn:mfa"},
        {"auth_time": now, "acr": "pwd"},
        {"auth_time": now},
    ):
        assert reason_of(sign_in_at(provider, **claims)[1]) == "identity_token_invalid"


def test_userinfo_must_be_about_the_same_person(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider)
    provider.userinfo = {"sub": "person-2", "email": "x@corp.example"}
    assert reason_of(sign_in_at(provider)[1]) == "identity_token_invalid"
    provider.userinfo = {"sub": "person-1", "email": "ann@corp.example", "iss": "x", "nonce": "y"}
    assert sign_in_at(provider)[1].status_code == 302
    assert link_of(acme).user.email == "ann@corp.example"


def test_a_state_is_bound_to_the_browser_that_started_it(acme: Tenant, provider: OidcProvider) -> None:
    """Login CSRF: an attacker's answer in the browser of somebody else."""
    put_provider(acme, provider)
    attacker, victim = Client(), Client()
    answer = provider.authorize(begin(attacker))
    begin(victim)
    assert reason_of(finish(victim, answer)) == "sign_in_state_invalid"
    assert victim.get("/console/").status_code == 302
    for wrong in ({}, {"state": "x", "code": "y"}, {"state": "", "code": "y"}):
        assert reason_of(finish(Client(), wrong)) == "sign_in_state_invalid"


def test_an_answer_is_accepted_once(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider)
    browser = Client()
    answer = provider.authorize(begin(browser))
    kept = {name: morsel.value for name, morsel in browser.cookies.items()}
    assert finish(browser, answer).status_code == 302
    assert reason_of(finish(browser, answer)) == "sign_in_state_invalid"
    thief = Client()
    for name, value in kept.items():
        thief.cookies[name] = value
    assert reason_of(finish(thief, answer)) == "sign_in_state_invalid"
    provider.reuses_codes = True
    answer = provider.authorize(begin(thief))
    kept = {name: morsel.value for name, morsel in thief.cookies.items()}
    assert finish(thief, answer).status_code == 302
    for name, value in kept.items():
        thief.cookies[name] = value
    assert reason_of(finish(thief, answer)) == "sign_in_state_invalid"


def test_the_session_gets_a_new_key(acme: Tenant, provider: OidcProvider) -> None:
    """Session fixation: the key that the browser had before is not the one of the session."""
    put_provider(acme, provider)
    browser = Client()
    before = browser.session
    before["planted"] = True
    before.save()
    browser.cookies[settings.SESSION_COOKIE_NAME] = before.session_key
    sign_in_at(provider, browser=browser)
    assert browser.cookies[settings.SESSION_COOKIE_NAME].value != before.session_key
    assert "planted" not in browser.session
    old = Client()
    old.cookies[settings.SESSION_COOKIE_NAME] = before.session_key
    assert old.get("/console/").status_code == 302


@pytest.mark.parametrize(
    ("onward", "lands"),
    [
        ("/console/workitems/workitem/?q=1", "/console/workitems/workitem/?q=1"),
        ("https://evil.example/console/", "/console/"),
        ("//evil.example/console/", "/console/"),
        ("/\\evil.example", "/console/"),
        ("/console/\\evil.example", "/console/\\evil.example"),
        ("javascript:alert(1)", "/console/"),
        ("/api", "/console/"),
        ("/console/logout/", "/console/"),
        ("/console/login/acme/corp", "/console/"),
    ],
)
def test_open_redirects_are_refused(acme: Tenant, provider: OidcProvider, onward: str, lands: str) -> None:
    put_provider(acme, provider)
    where = sign_in_at(provider, onward=onward)[1]["Location"]
    assert where == lands or where.startswith("/console/")
    assert "evil.example/" not in where


def test_an_answer_of_another_provider_is_refused(acme: Tenant, provider: OidcProvider) -> None:
    """Issuer mix-up (RFC 9207), and a state of one provider at the callback of another."""
    put_provider(acme, provider)
    provider.metadata = {"authorization_response_iss_parameter_supported": True}
    browser = Client()
    answer = provider.authorize(begin(browser))
    assert reason_of(finish(browser, answer)) == "issuer_mismatch"
    answer = provider.authorize(begin(browser))
    assert reason_of(finish(browser, {**answer, "iss": "https://evil.example"})) == "issuer_mismatch"
    answer = provider.authorize(begin(browser))
    assert finish(browser, {**answer, "iss": provider.issuer}).status_code == 302
    with running_provider() as other:
        put_provider(acme, other, "other")
        answer = provider.authorize(begin(browser))
        assert reason_of(finish(browser, answer, "acme/other")) == "sign_in_state_invalid"
        other.metadata = {"issuer": provider.issuer}
        assert reason_of(browser.get("/console/login/acme/other")) == "issuer_mismatch"


def test_people_are_linked_by_issuer_and_subject_in_one_tenant(acme: Tenant, provider: OidcProvider) -> None:
    globex = make_tenant("globex")
    put_provider(acme, provider)
    put_provider(globex, provider)
    with running_provider() as other:
        put_provider(acme, other, "second")
        sign_in_at(provider, email="ann@corp.example")
        sign_in_at(other, "acme/second", sub="person-2", email="ann@corp.example")
        sign_in_at(provider, "globex/corp", email="ann@corp.example")
    people = {link_of(acme).user, link_of(acme, "person-2").user, link_of(globex).user}
    assert len(people) == 3
    assert [tenant.slug for tenant in tenants_of_person(link_of(globex).user)] == ["globex"]


def test_a_session_acts_in_the_tenant_of_its_provider_only(acme: Tenant, provider: OidcProvider) -> None:
    globex = make_tenant("globex")
    put_provider(acme, provider)
    browser, _ = sign_in_at(provider)
    person = link_of(acme).user
    with unit_of_work(globex.id):
        add_member(person, ctx=acting_system(globex))
    assert {tenant.slug for tenant in tenants_of_person(person)} == {"acme", "globex"}
    page = browser.get("/console/tenant/").content.decode()
    assert "globex" not in page
    browser.post("/console/tenant/", {"tenant": "globex"})
    assert browser.get("/console/").wsgi_request.acting_context.tenant_slug == "acme"
    with unit_of_work(globex.id):
        assert not Receipt.objects.filter(kind__startswith="session.").exists()
    with unit_of_work(acme.id):
        Membership.objects.filter(tenant_id=acme.id, user=person).delete()
    assert browser.get("/console/").wsgi_request.acting_context is None


def test_accounts_are_created_only_where_the_document_says_so(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider, create_accounts=False)
    assert reason_of(sign_in_at(provider)[1]) == "identity_not_linked"
    put_provider(acme, provider, create_accounts=True, claims={"subject": "oid"})
    for oid in (None, "", "  ", 7, "x" * 256, "a\nb"):
        assert reason_of(sign_in_at(provider, oid=oid)[1]) == "identity_subject_unmapped"
    assert User.objects.filter(kind="human").count() == 0


def test_groups_become_roles_and_are_withdrawn(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider, roles={"finance": ["approver", "viewer"]})
    sign_in_at(provider, groups=["finance", "other"])
    person = link_of(acme).user
    with unit_of_work(acme.id):
        assert roles_of_member(person, tenant_id=acme.id) == ["approver", "viewer"]
        granted = Receipt.objects.filter(kind="role.granted").order_by("id").last()
    assert granted is not None
    sign_in_at(provider, groups=[])
    with unit_of_work(acme.id):
        assert roles_of_member(person, tenant_id=acme.id) == []


def test_unknown_tenants_look_like_tenants_without_providers(acme: Tenant, provider: OidcProvider) -> None:
    empty, unknown = Client().get("/console/login/acme/"), Client().get("/console/login/nobody/")
    assert empty.status_code == unknown.status_code == 200
    assert empty.content == unknown.content
    for where in ("acme/corp", "nobody/corp", "acme/-", "x/y"):
        assert Client().get(f"/console/login/{where}")["Location"] == f"/console/login/{where.partition('/')[0]}/"
    put_provider(acme, provider)
    assert b"Sign in with Corp" in Client().get("/console/login/acme/").content
