"""Departure of a person of their own accord."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.test import Client
from django.urls import reverse

from tests.console.sign_in import confirm
from tests.factories import PASSWORD, acting, acting_system, make_principal, make_token
from tests.threada_site.identity.departure.test_end import bodies, depart, signed_in, with_password
from tests.threada_site.identity.test_accounts import one_steward_is_enough
from threada_site.admin.html import page_url
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.departure.leave import leave_tenant
from threada_site.identity.grants.role_grants import grant_role
from threada_site.identity.principals import remove_member
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Authentication, AuthenticationMethod
from threada_site.tenancy.authority_models import AccountDependence
from threada_site.tenancy.four_eyes import IDENTITY_FOUR_EYES, is_four_eyes_required
from threada_site.tenancy.models import Membership, Tenant, User

LEAVE = "/console/leave/"


def in_session(tenant: Tenant, person: User) -> ActingContext:
    method = Authentication(method=AuthenticationMethod.SESSION)
    return replace(acting(tenant, person), authentication=method)


def is_member(person: User, tenant: Tenant) -> bool:
    with unit_of_work(tenant.id):
        return Membership.objects.filter(user=person).exists()


@pytest.fixture
def alice(tenant: Tenant) -> User:
    return with_password(make_principal(tenant, "alice", roles=["approver"]), tenant)


@pytest.fixture
def steward(tenant: Tenant) -> User:
    return make_principal(tenant, "steward", roles=["tenant_admin"])


def test_a_person_leaves_in_the_console_and_the_session_ends(alice: User, steward: User, tenant: Tenant) -> None:
    browser, other = signed_in(alice), signed_in(alice)
    assert "Leave this tenant" in browser.get("/console/").content.decode()
    assert browser.get(LEAVE).status_code == 200
    assert is_member(alice, tenant)
    assert browser.post(LEAVE, {"tenant": "globex"}).status_code == 422
    assert is_member(alice, tenant)
    page = browser.post(LEAVE, {"tenant": "acme"})
    assert page.status_code == 200
    assert "You are no longer a member of acme." in page.content.decode()
    assert not is_member(alice, tenant)
    for client in (browser, other):
        assert client.get("/console/").status_code == 302
    (receipt,) = bodies(tenant, "member.removed")
    assert receipt["inputs"] == {"principal": alice.public_id, "reason": "left"}
    assert receipt["actor"]["principal"] == alice.public_id
    client = Client()
    client.post("/console/login/", {"username": "alice", "password": PASSWORD})
    assert client.get("/console/").status_code == 302


def test_a_token_a_service_and_the_operator_do_not_leave(alice: User, steward: User, tenant: Tenant) -> None:
    bot = make_principal(tenant, "bot", kind="service")
    with unit_of_work(tenant.id):
        with pytest.raises(errors.PermissionDenied):
            leave_tenant(ctx=acting(tenant, alice))
        for ctx in (acting(tenant, bot), acting_system(tenant)):
            with pytest.raises(errors.PersonRequired):
                leave_tenant(ctx=ctx)


def test_the_last_steward_neither_leaves_nor_removes_the_own_account(steward: User, tenant: Tenant) -> None:
    with unit_of_work(tenant.id):
        with pytest.raises(errors.LastSteward):
            leave_tenant(ctx=in_session(tenant, steward))
        with pytest.raises(errors.LastSteward):
            remove_member(steward, ctx=in_session(tenant, steward))
    page = signed_in(steward).post(LEAVE, {"tenant": "acme"})
    assert page.status_code == 422
    assert "You are the last steward" in page.content.decode()
    assert is_member(steward, tenant)


def test_of_two_stewards_who_remove_each_other_one_stays(alice: User, steward: User, tenant: Tenant) -> None:
    one_steward_is_enough(tenant)
    with unit_of_work(tenant.id):
        grant_role(alice, "tenant_admin", ctx=acting_system(tenant))
        as_alice, as_steward = in_session(tenant, alice), in_session(tenant, steward)  # both requests have begun
        remove_member(alice, ctx=as_steward)
        with pytest.raises(errors.LastSteward):
            remove_member(steward, ctx=as_alice)
    assert is_member(steward, tenant)


@pytest.mark.parametrize("is_dependent", [True, False])
def test_leaving_with_a_second_account_does_not_end_the_rule_of_two_stewards(
    is_dependent: bool, alice: User, steward: User, tenant: Tenant
) -> None:
    with unit_of_work(tenant.id):
        grant_role(alice, "tenant_admin", ctx=acting_system(tenant))
        if is_dependent:
            AccountDependence.objects.create(tenant=tenant, user=alice, depends_on=steward, reason="invited")
        leave_tenant(ctx=in_session(tenant, alice))
        assert is_four_eyes_required(tenant.id, IDENTITY_FOUR_EYES) is is_dependent
    assert len(bodies(tenant, "four_eyes.required")) == is_dependent


def test_a_directory_does_not_end_the_rule_of_two_stewards(alice: User, steward: User, tenant: Tenant) -> None:
    with unit_of_work(tenant.id):
        grant_role(alice, "tenant_admin", ctx=acting_system(tenant))
    depart(alice, tenant)
    with unit_of_work(tenant.id):
        assert is_four_eyes_required(tenant.id, IDENTITY_FOUR_EYES)


def test_the_page_of_a_member_tells_the_life_of_the_person(alice: User, steward: User, tenant: Tenant) -> None:
    Client().post("/console/login/", {"username": "alice", "password": PASSWORD})
    make_token(tenant, alice)
    member = page_url("tenancy.membership", alice.public_id)
    page = signed_in(steward).get(member).content.decode()
    for said in ("added by the operator", "Signs in by</dt><dd>password", "Last sign-in"):
        assert said in page
    assert "Ends now: 1 session, 1 token." in page
    assert "never in this tenant" not in page
    colleague = make_principal(tenant, "colleague", roles=["viewer"])
    assert "Last sign-in" not in signed_in(colleague).get(member).content.decode()
    gone = confirm(signed_in(steward), reverse("admin:tenancy_membership_remove", args=[alice.public_id]), follow=True)
    assert "alice is no longer a member of the tenant." in gone.content.decode()
