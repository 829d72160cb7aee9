"""Step-ups and links by a SAML provider, whose answer reaches the session by a second post from this site."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from tests.receivers.saml_provider import Answer, Request
from tests.threada_site.sign_in.saml.people import CALLBACK, asked_by, post, put_saml, sign_in_by_saml
from tests.threada_site.sign_in.test_linking import PAGE, signed_in, start_link, start_step_up, stepped_up
from tests.threada_site.sign_in.test_oidc import link_of, reason_of
from threada_site.tenancy.models import Tenant


def from_another_site(browser: Client) -> Client:
    """Return a browser with the cookies that are sent with a post of another site: those of sign-ins alone."""
    sent = Client(enforce_csrf_checks=True)
    for name, morsel in browser.cookies.items():
        if name.startswith(settings.THREADA_SIGN_IN_COOKIE):
            sent.cookies[name] = morsel.value
    return sent


def come_back(browser: Client, form: dict[str, str]) -> Any:
    """Post an answer as the provider's page does, and then the form of the page that is shown."""
    page = post(from_another_site(browser), form)
    assert page.status_code == 200, page.content.decode()
    text = page.content.decode()
    assert f'action="{CALLBACK}"' in text
    fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', text))
    continued = {name: unescape(value) for name, value in fields.items()}
    assert continued == {**form, "continued": "1"}
    return post(browser, continued)


def test_a_fresh_login_at_the_provider_is_a_step_up(acme: Tenant) -> None:
    put_saml(acme, second_factor_acr_values=["urn:mfa"])
    browser, _ = sign_in_by_saml(browser=Client())
    request = Request.read(start_step_up(browser))
    assert request.xml.get("ForceAuthn") == "true"
    assert not stepped_up(browser)
    answer = come_back(browser, Answer(request, context="urn:mfa").form())
    assert (answer.status_code, answer["Location"]) == (302, PAGE)
    assert stepped_up(browser)
    assert "provider_mfa" in browser.get("/console/").wsgi_request.acting_context.authentication.factors


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"authenticated": -600}, "saml_authentication_insufficient"),
        ({"context": "urn:pwd"}, "saml_authentication_insufficient"),
        ({"subject": "person-2"}, "step_up_failed"),
        ({"confirmed_to": "id-other"}, "saml_request_mismatch"),
    ],
    ids=str,
)
def test_a_wrong_answer_is_no_step_up(acme: Tenant, fields: dict[str, Any], reason: str) -> None:
    put_saml(acme, second_factor_acr_values=["urn:mfa"])
    sign_in_by_saml(subject="person-2")
    browser, _ = sign_in_by_saml(browser=Client())
    answer = Answer(Request.read(start_step_up(browser)), context="urn:mfa").changed(**fields)
    assert reason_of(come_back(browser, answer.form())) == reason
    assert not stepped_up(browser)
    assert browser.get("/console/").wsgi_request.acting_context.principal_id == link_of(acme).user_id


def test_a_step_up_stays_in_its_session(acme: Tenant) -> None:
    put_saml(acme)
    browser, _ = sign_in_by_saml(browser=Client())
    other, _ = sign_in_by_saml(browser=Client())
    form = Answer(Request.read(start_step_up(browser))).form()
    sent = from_another_site(browser)
    assert reason_of(post(sent, {**form, "continued": "1"})) == "sign_in_state_invalid"
    for name, morsel in from_another_site(browser).cookies.items():
        other.cookies[name] = morsel.value
    assert reason_of(post(other, form)) == "sign_in_state_invalid"
    assert not stepped_up(other)


def test_a_stranger_is_shown_no_form(acme: Tenant) -> None:
    put_saml(acme)
    browser, _ = sign_in_by_saml(browser=Client())
    form = Answer(Request.read(start_step_up(browser))).form()
    assert reason_of(post(Client(), form)) == "sign_in_state_invalid"


def test_a_sign_in_does_not_replace_the_session_of_somebody_else(acme: Tenant) -> None:
    put_saml(acme)
    browser, _ = sign_in_by_saml(browser=Client())
    person = browser.get("/console/").wsgi_request.acting_context.principal_id
    answer = asked_by(browser).changed(subject="person-2")
    assert reason_of(come_back(browser, answer.form())) == "signed_in_already"
    form = asked_by(browser).changed(subject="person-2").form()
    sent = from_another_site(browser)
    assert reason_of(post(sent, {**form, "continued": "1"})) == "sign_in_state_invalid"
    assert browser.get("/console/").wsgi_request.acting_context.principal_id == person
    assert come_back(browser, asked_by(browser).form()).status_code == 302


def test_a_person_links_an_account(acme: Tenant) -> None:
    put_saml(acme, create_accounts=False)
    alice, browser = signed_in(acme, "alice")
    request = Request.read(start_link(browser))
    answer = come_back(browser, Answer(request).form())
    assert (answer.status_code, answer["Location"]) == (302, PAGE)
    assert link_of(acme).user == alice
    assert sign_in_by_saml(browser=Client())[1].status_code == 302


def test_attributes_state_no_second_factor(acme: Tenant) -> None:
    put_saml(acme, second_factor_acr_values=["urn:mfa"])
    claims = {"amr": ["mfa", "pwd"], "acr": ["urn:mfa"], "auth_time": ["1"]}
    browser, _ = sign_in_by_saml(browser=Client(), attributes=claims)
    assert "provider_mfa" not in browser.get("/console/").wsgi_request.acting_context.authentication.factors
    browser, _ = sign_in_by_saml(browser=Client(), context="urn:mfa")
    assert "provider_mfa" in browser.get("/console/").wsgi_request.acting_context.authentication.factors
