"""Console pages of people: invitation, confirmation, reset, personal tokens."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from tests.client import Api
from tests.console.sign_in import Console, confirm, sign_in, step_up
from tests.factories import PASSWORD, acting_system, make_principal
from tests.jobs import queued_jobs
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.passwords import set_password
from threada_site.tenancy.account_link_models import AccountLink
from threada_site.tenancy.authority_models import ChangeSet
from threada_site.tenancy.models import User

PERSON = {"name": "nora", "kind": "human", "roles": ["viewer"], "display_name": "Nora"}
NEW = "another long enough phrase"


def path_in(page: str) -> str:
    """Return the path of the link on the page that shows it once."""
    (path,) = re.findall(r"http://testserver(/console/(?:invitations|password-reset)/[\w-]{43}/)", page)
    return str(path)


def test_a_steward_invites_a_person_who_sets_the_own_password(demo: Demo, console: Console) -> None:
    browser = console("admin")
    shown = browser.post("/console/tenancy/membership/new/", PERSON)
    assert "no-store" in shown["Cache-Control"]
    path, page = path_in(shown.content.decode()), shown.context["onward"]
    assert browser.get(page).context["state"] == "invited"
    assert "Depends on" in browser.get(page).content.decode()
    assert path not in browser.get("/console/tenancy/accountlink/").content.decode()
    person = Client()
    assert "admin" in person.get(path).content.decode()
    assert person.post(path, {"new_password": PASSWORD, "again": NEW}).status_code == 422
    assert person.post(path, {"new_password": PASSWORD, "again": PASSWORD}).status_code == 200
    assert person.post(path, {"new_password": NEW, "again": NEW}).status_code == 404
    signed_in = person.post("/console/login/", {"username": "nora", "password": PASSWORD, "next": "/console/"})
    assert signed_in.status_code == 302
    assert browser.get(page).context["state"] == "active"


def test_a_person_who_has_not_accepted_cannot_sign_in(demo: Demo, console: Console) -> None:
    console("admin").post("/console/tenancy/membership/new/", PERSON)
    person = User.objects.get(username="nora")
    person.set_password(PASSWORD)
    person.save()
    refused = Client().post("/console/login/", {"username": "nora", "password": PASSWORD, "next": "/console/"})
    assert refused.status_code == 200
    assert sign_in(person).get("/console/").status_code == 302


def test_an_invitation_is_made_again_and_withdrawn(demo: Demo, console: Console) -> None:
    browser = console("admin")
    shown = browser.post("/console/tenancy/membership/new/", PERSON)
    first, page = path_in(shown.content.decode()), shown.context["onward"]
    again = path_in(browser.post(page + "invite-again/", {"email": ""}).content.decode())
    assert Client().get(first).status_code == 404
    assert Client().get(again).status_code == 200
    confirm(browser, page + "withdraw-invitation/")
    assert Client().get(again).status_code == 404
    assert Client().post(again, {"new_password": PASSWORD, "again": PASSWORD}).status_code == 404


def test_the_page_of_members_says_what_one_steward_means(demo: Demo, console: Console) -> None:
    listed = "/console/tenancy/membership/"
    assert "no two independent stewards" in console("admin").get(listed).content.decode()
    assert "independent stewards" not in console("finance-1").get(listed).content.decode()
    make_principal(demo.tenant, "second", roles=["tenant_admin"])
    assert "no two independent stewards" not in console("admin").get(listed).content.decode()


def test_an_independent_steward_confirms_an_account(demo: Demo, console: Console) -> None:
    browser = console("admin")
    shown = browser.post("/console/tenancy/membership/new/", PERSON)
    page = shown.context["onward"]
    Client().post(path_in(shown.content.decode()), {"new_password": PASSWORD, "again": PASSWORD})
    browser.post(page + "confirm/")
    assert browser.get(page).context["dependences"]
    assert "A steward who is independent of them can confirm" in browser.get(page).content.decode()
    make_principal(demo.tenant, "second", roles=["tenant_admin"])
    assert "Confirm this account" in console("second").get(page).content.decode()
    console("second").post(page + "confirm/")
    confirmed = browser.get(page)
    assert confirmed.context["dependences"] == []
    assert "Confirmed by second" in confirmed.content.decode()


def test_two_stewards_reset_a_password_and_sessions_end(demo: Demo, console: Console) -> None:
    person = User.objects.get(username="finance-1")
    signed_in = console("finance-1")
    assert signed_in.get("/console/").status_code == 200
    make_principal(demo.tenant, "second", roles=["tenant_admin"])
    page = f"/console/tenancy/membership/{person.public_id}/"
    first, second = step_up(console("admin")), step_up(console("second"))
    assert first.post(f"{page}reset-password/").status_code == 302
    with unit_of_work(demo.tenant.id):
        change_set = ChangeSet.objects.get()
        assert AccountLink.objects.count() == 0
    publish = f"/console/tenancy/changeset/{change_set.public_id}/publish/"
    confirm(first, publish, {"digest": change_set.digest})
    assert second.post(f"{page}show-reset-link/").status_code == 404
    confirm(second, publish, {"digest": change_set.digest})
    assert first.post(f"{page}show-reset-link/").status_code == 404
    path = path_in(second.post(f"{page}show-reset-link/").content.decode())
    assert second.post(f"{page}show-reset-link/").status_code == 404
    assert Client().post(path, {"new_password": NEW, "again": NEW}).status_code == 200
    assert signed_in.get("/console/").status_code == 302
    assert User.objects.get(id=person.id).check_password(NEW)


def test_everybody_creates_and_revokes_own_tokens(demo: Demo, console: Console) -> None:
    browser = console("finance-1")
    asked = {"label": "laptop", "scopes": ["workitems:read"], "days": "30"}
    page = browser.post("/console/tenancy/personaltoken/create/", asked)
    (token,) = re.findall(r"thr_[A-Za-z0-9]{20,}", page.content.decode())
    assert Api(token).get("/me").status_code == 200
    assert "credential_issued" in str(queued_jobs(telling=True))
    for wrong in ({"days": "91"}, {"label": ""}, {"scopes": ["workflow:manage"]}):
        assert browser.post("/console/tenancy/personaltoken/create/", {**asked, **wrong}).status_code == 422
    address = page.context["onward"]
    key = address.rstrip("/").split("/")[-1]
    stewards_page = f"/console/tenancy/credential/{key}/"
    assert console("admin").get(stewards_page).context["issuer"] == "self"
    assert console("finance-2").get(f"/console/tenancy/personaltoken/{key}/").status_code == 404
    assert console("finance-2").post(f"/console/tenancy/personaltoken/{key}/revoke/").status_code == 404
    assert Api(token).get("/me").status_code == 200
    confirm(console("admin"), stewards_page + "revoke/")
    assert Api(token).get("/me").status_code == 401


def test_a_person_of_another_tenant_is_sent_to_sign_in(demo: Demo, console: Console) -> None:
    from tests.factories import make_tenant

    other = make_tenant("globex")
    nora = make_principal(other, "nora", roles=["viewer"])
    with unit_of_work(other.id):
        set_password(nora, PASSWORD, ctx=acting_system(other))
    shown = console("admin").post("/console/tenancy/membership/new/", PERSON)
    path = path_in(shown.content.decode())
    assert "Sign in" in Client().get(path).content.decode()
    assert Client().post(path, {"new_password": NEW, "again": NEW}).status_code == 422
    assert console("finance-1").post(path).status_code == 422
    browser = sign_in(User.objects.get(username="nora"))
    assert browser.post(path).status_code == 200
    assert User.objects.get(username="nora").check_password(PASSWORD)


def test_a_person_of_another_tenant_without_a_password_gets_none_by_an_invitation(demo: Demo, console: Console) -> None:
    from tests.factories import make_tenant

    nora = make_principal(make_tenant("globex"), "nora", roles=["approver"])
    shown = console("admin").post("/console/tenancy/membership/new/", PERSON)
    path = path_in(shown.content.decode())
    assert "Sign in" in Client().get(path).content.decode()
    assert Client().post(path, {"new_password": NEW, "again": NEW}).status_code == 422
    assert not User.objects.get(id=nora.id).has_usable_password()


def test_a_stranger_learns_nothing_from_an_invented_link(demo: Demo) -> None:
    for path in ("/console/invitations/", "/console/password-reset/"):
        for token in ("x", "0" * 43):
            assert Client().get(f"{path}{token}/").status_code == 404
            assert Client().post(f"{path}{token}/", {"new_password": NEW, "again": NEW}).status_code == 404


def test_a_link_of_one_purpose_does_not_serve_the_other(demo: Demo, console: Console) -> None:
    shown = console("admin").post("/console/tenancy/membership/new/", PERSON)
    path = path_in(shown.content.decode()).replace("invitations", "password-reset")
    assert Client().post(path, {"new_password": NEW, "again": NEW}).status_code == 404
    assert not User.objects.get(username="nora").has_usable_password()


def test_adding_an_invited_person_once_more_shows_no_second_link(demo: Demo, console: Console) -> None:
    browser = console("admin")
    browser.post("/console/tenancy/membership/new/", PERSON)
    again = browser.post("/console/tenancy/membership/new/", {**PERSON, "roles": ["auditor"]})
    assert again.status_code == 302
    assert browser.get(again["Location"]).context["roles"] == ["auditor", "viewer"]


def test_the_password_of_another_person_is_no_field(demo: Demo, console: Console) -> None:
    browser = console("admin")
    browser.post("/console/tenancy/membership/new/", {**PERSON, "password": PASSWORD})
    assert not User.objects.get(username="nora").has_usable_password()
    assert "password" not in browser.get("/console/tenancy/membership/new/").context["form"].fields


def test_a_reset_page_without_a_mail_server_offers_no_form(demo: Demo) -> None:
    page = Client().get("/console/password-reset/").content.decode()
    assert "This instance cannot send mail." in page
    assert "Send link" not in page
    assert "Continue to sign-in" in page


def test_a_member_page_shows_who_issued_each_credential(demo: Demo, console: Console) -> None:
    with unit_of_work(demo.tenant.id):
        client = User.objects.get(username="demo-client")
    page = console("admin").get(f"/console/tenancy/membership/{client.public_id}/").content.decode()
    assert "issued by operator" in page


@pytest.mark.parametrize("account", ["finance-1", "nobody-of-this-name"])
def test_requests_for_reset_links_are_bounded_alike_for_known_and_unknown_accounts(account: str, demo: Demo) -> None:
    def ask(named: str) -> tuple[int, str]:
        page = Client().post("/console/password-reset/", {"account": named}, headers={"Accept": "text/html"})
        return page.status_code, page.headers.get("Retry-After", "")

    assert [ask(account) for _ in range(7)] == [(200, "")] * 5 + [(429, "1")] * 2
    assert ask(account.upper()) == (429, "1")
    assert [ask(f"other-{number}") for number in range(16)] == [(200, "")] * 15 + [(429, "1")]


@pytest.mark.parametrize("language", ["en", "de"])
def test_only_forms_that_apply_to_the_member_are_offered(demo: Demo, console: Console, language: str) -> None:
    person = User.objects.get(username="finance-1")
    page = console("admin").get(
        f"/console/tenancy/membership/{person.public_id}/", headers={"accept-language": language}
    )
    offered = {url.rstrip("/").rpartition("/")[2] for url, _title in page.context["forms"]}
    assert page.headers["Content-Language"] == language
    assert offered == {"change-roles", "change-object-scopes", "reset-password", "reset-second-factors"}
