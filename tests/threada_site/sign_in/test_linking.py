"""Links that people make in their own session, and step-up at the provider that opened a session."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from django.test import Client

from telemetry.models import Receipt
from tests.factories import PASSWORD, acting_system, make_principal, make_tenant
from tests.receivers.oidc_provider import OidcProvider, running_provider
from tests.threada_site.console.test_second_factors import enrol
from tests.threada_site.sign_in.people import finish, put_provider, sign_in_at
from tests.threada_site.sign_in.test_oidc import link_of, reason_of
from tests.threada_site.sign_in.test_providers import document, steward
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.dependence import open_dependences
from threada_site.identity.passwords import set_password
from threada_site.identity.principals import remove_member
from threada_site.identity.selectors import roles_of_member
from threada_site.kernel import clock
from threada_site.sign_in import in_session
from threada_site.tenancy.controllers import Controllers
from threada_site.tenancy.independence import is_independent_of, read_controllers
from threada_site.tenancy.models import IdentityLink, IdentityProvider, Tenant, User

pytestmark = pytest.mark.usefixtures("step_up")

PAGE = "/console/sign-in-methods/"


def signed_in(tenant: Tenant, name: str) -> tuple[User, Client]:
    person = make_principal(tenant, name)
    with unit_of_work(tenant.id):
        set_password(person, PASSWORD, ctx=acting_system(tenant))
    browser = Client()
    assert browser.post("/console/login/", {"username": name, "password": PASSWORD}).status_code == 302
    return person, browser


def start_link(browser: Client, password: str = PASSWORD, slug: str = "corp") -> str:
    """Return the address of the provider that the page continues to."""
    answer = browser.post(PAGE, {"link": slug, "password": password})
    assert answer.status_code == 200, answer.content.decode()
    return str(answer["Refresh"].partition("url=")[2])


def link(browser: Client, provider: OidcProvider, **claims: Any) -> Any:
    return finish(browser, provider.authorize(start_link(browser), **claims))


@pytest.mark.parametrize("creates", [False, True])
def test_a_person_links_an_account_and_signs_in_with_it(acme: Tenant, provider: OidcProvider, creates: bool) -> None:
    put_provider(acme, provider, create_accounts=creates, roles={"finance": ["approver"]})
    alice, browser = signed_in(acme, "alice")
    assert "Link account" in browser.get(PAGE).content.decode()
    address = start_link(browser)
    assert dict(parse_qsl(urlsplit(address).query))["prompt"] == "login"
    answer = finish(browser, provider.authorize(address, email="other@x.example", groups=["finance"]))
    assert (answer.status_code, answer["Location"]) == (302, PAGE)
    assert "other@x.example" in browser.get(PAGE).content.decode()
    assert link_of(acme).user == alice
    with unit_of_work(acme.id):
        assert roles_of_member(alice, tenant_id=acme.id) == ["approver", "client"]
        assert open_dependences(alice.id, tenant_id=acme.id) == []
    other, landed = sign_in_at(provider, groups=["finance"])
    assert landed.status_code == 302
    assert other.get("/console/").wsgi_request.acting_context.principal_id == alice.id
    with unit_of_work(acme.id):
        alice.refresh_from_db()
        assert alice.email != "other@x.example"
        assert Receipt.objects.filter(kind="identity.linked").count() == 1


def test_a_link_needs_a_fresh_proof(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider)
    _, browser = signed_in(acme, "alice")
    for password in ("", "wrong"):
        answer = browser.post(PAGE, {"link": "corp", "password": password})
        assert answer.status_code == 403
        assert "Refresh" not in answer
    assert Client().post(PAGE, {"link": "corp"}).status_code == 302
    guarded = Client(enforce_csrf_checks=True)
    guarded.cookies = browser.cookies
    assert guarded.post(PAGE, {"link": "corp", "password": PASSWORD}).status_code == 403


def test_a_mail_address_links_nobody(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider, create_accounts=False)
    alice = make_principal(acme, "alice")
    User.objects.filter(id=alice.id).update(email="alice@corp.example", email_confirmed_at=clock.now())
    answer = sign_in_at(provider, email="alice@corp.example", email_verified=True, preferred_username="alice")[1]
    assert reason_of(answer) == "identity_not_linked"


def test_an_answer_links_only_in_the_session_that_asked(acme: Tenant, provider: OidcProvider) -> None:
    """An attacker's account would sign in as the victim, or the victim's account as the attacker."""
    put_provider(acme, provider)
    _, alice = signed_in(acme, "alice")
    _, mallory = signed_in(acme, "mallory")
    answer = provider.authorize(start_link(mallory), sub="mallory")
    assert reason_of(finish(alice, answer)) == "sign_in_state_invalid"
    for name, morsel in mallory.cookies.items():
        if "sign_in_" in name:
            alice.cookies[name] = morsel.value
    assert reason_of(finish(alice, answer)) == "sign_in_state_invalid"
    stranger = Client()
    for name, morsel in mallory.cookies.items():
        if "sign_in_" in name:
            stranger.cookies[name] = morsel.value
    assert reason_of(finish(stranger, answer)) == "sign_in_state_invalid"
    with unit_of_work(acme.id):
        assert not IdentityLink.objects.filter(tenant_id=acme.id).exists()
    assert finish(mallory, answer).status_code == 302


def test_a_link_of_somebody_else_is_not_taken_over(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider)
    sign_in_at(provider)
    owner = link_of(acme).user
    _, browser = signed_in(acme, "alice")
    assert reason_of(link(browser, provider)) == "conflict"
    assert link_of(acme).user == owner
    assert link(browser, provider, sub="person-2").status_code == 302
    assert reason_of(link(browser, provider, sub="person-3")) == "conflict"


def test_no_account_is_linked_at_a_provider_that_changes_meanwhile(
    acme: Tenant, provider: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_provider(acme, provider)
    _, browser = signed_in(acme, "alice")
    verified = in_session.verified_answer

    def withdrawn_meanwhile(*given: Any) -> Any:
        answer = verified(*given)
        with unit_of_work(acme.id):
            IdentityProvider.objects.update(current_version=None)
        return answer

    monkeypatch.setattr(in_session, "verified_answer", withdrawn_meanwhile)
    assert reason_of(link(browser, provider)) == "sign_in_state_invalid"
    with unit_of_work(acme.id):
        assert not IdentityLink.objects.exists()


def test_a_linked_person_depends_on_the_steward_who_alone_made_the_provider(
    acme: Tenant, provider: OidcProvider
) -> None:
    ann, api = steward(acme, "ann")
    assert api.post("/identity-providers", document(provider)).status_code == 201
    alice, browser = signed_in(acme, "alice")
    link(browser, provider)
    with unit_of_work(acme.id):
        assert [one.depends_on for one in open_dependences(alice.id, tenant_id=acme.id)] == [ann]


def test_whom_the_provider_of_somebody_who_left_signs_in_is_not_two_people(
    acme: Tenant, provider: OidcProvider
) -> None:
    """The author of a provider can sign in as anybody there, also after leaving."""
    ann, api = steward(acme, "ann")
    other = make_principal(acme, "other", roles=[])
    assert api.post("/identity-providers", document(provider)).status_code == 201
    for subject in ("person-1", "person-2"):
        if subject == "person-2":
            with unit_of_work(acme.id):
                remove_member(ann, ctx=acting_system(acme))
        assert sign_in_at(provider, sub=subject)[1].status_code == 302
    one, two = (link_of(acme, subject).user_id for subject in ("person-1", "person-2"))
    with unit_of_work(acme.id):
        controllers = read_controllers(acme.id, [one, two])
        assert controllers == {who: Controllers(frozenset({who, ann.id})) for who in (one, two)}
        assert not is_independent_of(one, [two], tenant_id=acme.id)
        assert is_independent_of(one, [other.id], tenant_id=acme.id)


def test_unlinking_ends_sessions_and_roles_and_makes_no_second_person(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider, roles={"finance": ["approver"]})
    alice, browser = signed_in(acme, "alice")
    link(browser, provider, groups=["finance"])
    by_provider, _ = sign_in_at(provider, groups=["finance"])
    mine = link_of(acme).public_id
    assert browser.post(PAGE, {"unlink": mine, "password": PASSWORD}).status_code == 302
    assert by_provider.get("/console/").status_code == 302
    assert reason_of(sign_in_at(provider)[1]) == "identity_not_linked"
    with unit_of_work(acme.id):
        assert roles_of_member(alice, tenant_id=acme.id) == ["client"]
        assert Receipt.objects.filter(kind="identity.unlinked").count() == 1
        assert User.objects.filter(kind="human").count() == 1
    _, mallory = signed_in(acme, "mallory")
    assert reason_of(link(mallory, provider)) == "conflict"
    assert mallory.post(PAGE, {"unlink": mine, "password": PASSWORD}).status_code == 404
    assert link(browser, provider).status_code == 302
    assert sign_in_at(provider)[1].status_code == 302


def test_the_last_way_to_sign_in_is_not_unlinked(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider)
    browser, _ = sign_in_at(provider)
    assert step_up(browser, provider).status_code == 302
    browser.post(PAGE, {"unlink": link_of(acme).public_id})
    assert "no other way to sign in" in browser.get(PAGE).content.decode()
    assert sign_in_at(provider)[1].status_code == 302


def start_step_up(browser: Client) -> str:
    return str(browser.get("/console/step-up/provider", {"next": PAGE})["Location"])


def step_up(browser: Client, provider: OidcProvider, **claims: Any) -> Any:
    claims = {"auth_time": int(time.time()), **claims}
    return finish(browser, provider.authorize(start_step_up(browser), **claims))


def stepped_up(browser: Client) -> bool:
    ctx = browser.get("/console/").wsgi_request.acting_context
    return bool(ctx.recently_reauthenticated(clock.now()))


def test_a_fresh_login_at_the_provider_is_a_step_up(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider, second_factor_acr_values=["urn:mfa"])
    browser, _ = sign_in_at(provider)
    key = browser.session.session_key
    asked = dict(parse_qsl(urlsplit(start_step_up(browser)).query))
    assert (asked["max_age"], asked["prompt"], asked["acr_values"]) == ("0", "login", "urn:mfa")
    assert not stepped_up(browser)
    answer = step_up(browser, provider, acr="urn:mfa")
    assert (answer.status_code, answer["Location"]) == (302, PAGE)
    assert stepped_up(browser)
    assert browser.session.session_key == key
    factors = browser.get("/console/").wsgi_request.acting_context.authentication.factors
    assert "provider_mfa" in factors


def test_forms_send_people_without_a_factor_to_their_provider(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider)
    browser, _ = sign_in_at(provider)
    page = browser.get("/console/mail-address/").content.decode()
    assert 'href="/console/step-up/provider?next=/console/mail-address/"' in page.replace("%2F", "/")
    assert 'type="password"' not in page
    confirm = browser.get("/console/second-factors/confirm/", {"next": PAGE})
    assert confirm["Location"] == f"/console/step-up/provider?{urlencode({'next': PAGE})}"


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"auth_time": None}, "identity_token_invalid"),
        ({"auth_time": 1}, "identity_token_invalid"),
        ({"auth_time": int(time.time()) - 3600}, "identity_token_invalid"),
        ({"auth_time": int(time.time()) + 3600}, "identity_token_invalid"),
        ({"acr": "pwd"}, "identity_token_invalid"),
        ({"acr": None}, "identity_token_invalid"),
        ({"sub": "person-2"}, "step_up_failed"),
    ],
    ids=["no time", "long ago", "an hour ago", "in an hour", "another acr", "no acr", "somebody else"],
)
def test_a_wrong_answer_is_no_step_up(
    acme: Tenant, provider: OidcProvider, claims: dict[str, Any], reason: str
) -> None:
    put_provider(acme, provider, second_factor_acr_values=["urn:mfa"])
    sign_in_at(provider, sub="person-2")
    browser, _ = sign_in_at(provider)
    answer = step_up(browser, provider, **{"acr": "urn:mfa", **claims})
    assert reason_of(answer) == reason
    assert not stepped_up(browser)
    assert browser.get("/console/").wsgi_request.acting_context.principal_id == link_of(acme).user_id


@pytest.mark.parametrize("seconds", [-20, 40], ids=["before it was asked for", "by a clock that is ahead"])
def test_a_step_up_counts_from_the_login_at_the_provider_and_not_from_the_future(
    acme: Tenant, provider: OidcProvider, seconds: int
) -> None:
    put_provider(acme, provider)
    browser, _ = sign_in_at(provider)
    stated = int(time.time()) + seconds
    assert step_up(browser, provider, auth_time=stated).status_code == 302
    ctx = browser.get("/console/").wsgi_request.acting_context
    counted = datetime.fromtimestamp(stated, UTC) if seconds < 0 else clock.now()
    assert ctx.reauthenticated_at <= counted
    assert ctx.recently_reauthenticated(clock.now())
    assert not ctx.recently_reauthenticated(counted + timedelta(minutes=5, seconds=1))


def test_with_an_enrolled_factor_a_login_without_one_is_no_step_up(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider)
    browser, _ = sign_in_at(provider)
    enrol(browser)
    session = browser.session
    session["reauthenticated_at"] = (clock.now() - timedelta(minutes=6)).timestamp()
    session.save()
    assert reason_of(step_up(browser, provider)) == "step_up_failed"
    assert not stepped_up(browser)
    assert "/console/second-factors/confirm/?next=" in browser.get(PAGE).content.decode()
    assert step_up(browser, provider, amr=["mfa"]).status_code == 302
    assert stepped_up(browser)


def test_a_step_up_stays_in_its_session(acme: Tenant, provider: OidcProvider) -> None:
    put_provider(acme, provider)
    browser, _ = sign_in_at(provider)
    other, _ = sign_in_at(provider)
    answer = provider.authorize(start_step_up(browser), auth_time=int(time.time()))
    for name, morsel in browser.cookies.items():
        if "sign_in_" in name:
            other.cookies[name] = morsel.value
    assert reason_of(finish(other, answer)) == "sign_in_state_invalid"
    assert not stepped_up(other)
    assert finish(browser, answer).status_code == 302
    assert (stepped_up(browser), stepped_up(other)) == (True, False)


def test_a_session_with_a_password_steps_up_at_no_provider(acme: Tenant, provider: OidcProvider) -> None:
    """The provider's administrator could otherwise confirm what the person does in other tenants."""
    put_provider(acme, provider)
    _, browser = signed_in(acme, "alice")
    link(browser, provider)
    assert reason_of(browser.get("/console/step-up/provider")) == "step_up_failed"
    with running_provider() as other:
        put_provider(make_tenant("globex"), other)
        assert reason_of(browser.get("/console/step-up/provider")) == "step_up_failed"


@pytest.mark.parametrize(
    ("claims", "has_second"),
    [({"amr": ["pwd", "mfa"]}, True), ({"acr": "urn:mfa"}, True), ({"amr": ["pwd"], "acr": "x"}, False), ({}, False)],
    ids=str,
)
def test_the_second_factor_of_the_provider_is_honoured(
    acme: Tenant, provider: OidcProvider, claims: dict[str, Any], has_second: bool
) -> None:
    put_provider(acme, provider, second_factor_acr_values=["urn:mfa"])
    browser, _ = sign_in_at(provider, **claims)
    factors = browser.get("/console/").wsgi_request.acting_context.authentication.factors
    assert ("provider_mfa" in factors) is has_second
