"""Names of services and agents are unique in their tenant; no answer tells what other tenants have."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from tests.factories import PASSWORD, acting, acting_system, make_principal
from tests.threada_site.identity.test_commands import Manage, credential, manage
from tests.threada_site.identity.test_services import kinds
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.admission import add_principal
from threada_site.identity.principals import add_member, ensure_principal
from threada_site.identity.selectors import principals_of_tenant, tenants_of_person
from threada_site.kernel import errors
from threada_site.kernel.context import PrincipalKind
from threada_site.tenancy.models import Tenant, User

__all__ = ["manage"]

MACHINES = ["service", "agent"]


@pytest.mark.parametrize("kind", MACHINES)
def test_two_tenants_have_principals_of_the_same_name(tenant: Tenant, other_tenant: Tenant, kind: str) -> None:
    mine, theirs = (make_principal(place, "sync", kind, ["viewer"], owner="") for place in (tenant, other_tenant))
    assert mine.id != theirs.id
    for place, principal in ((tenant, mine), (other_tenant, theirs)):
        with unit_of_work(place.id):
            assert list(principals_of_tenant(place.id)) == [principal]


@pytest.mark.parametrize("theirs", ["human", "service", "agent"])
@pytest.mark.parametrize("kind", ["human", "service", "agent"])
def test_a_name_of_another_tenant_is_answered_like_a_new_one(
    tenant: Tenant, other_tenant: Tenant, kind: str, theirs: str
) -> None:
    make_principal(other_tenant, "taken", theirs, ["viewer"])
    admin = acting(tenant, make_principal(tenant, "admin", roles=["tenant_admin"]))
    before = len(kinds(tenant))
    written: list[list[str]] = []
    for name in ("taken", "free"):
        with unit_of_work(tenant.id):
            principal = add_principal(name, kind=PrincipalKind(kind), roles=["viewer"], ctx=admin).row
        assert principal.kind == kind
        written.append(kinds(tenant)[before:])
        before += len(written[-1])
    assert written[0] == written[1]
    assert "principal.created" in written[0]


@pytest.mark.parametrize(("first", "second"), [("human", "service"), ("service", "human"), ("service", "agent")])
def test_a_name_is_used_once_within_a_tenant(tenant: Tenant, first: str, second: str) -> None:
    make_principal(tenant, "sync", first, [])
    with pytest.raises(errors.Conflict, match=f"is of kind {first}"), unit_of_work(tenant.id):
        ensure_principal("sync", kind=PrincipalKind(second), ctx=acting_system(tenant))


def test_a_service_joins_no_other_tenant(tenant: Tenant, other_tenant: Tenant) -> None:
    theirs = make_principal(other_tenant, "sync", "service", [])
    for ctx in (acting_system(tenant), acting(tenant, make_principal(tenant, "admin", roles=["tenant_admin"]))):
        with pytest.raises(errors.NotFound), unit_of_work(tenant.id):
            add_member(theirs, ctx=ctx)


def test_the_database_keeps_names_apart(tenant: Tenant) -> None:
    sync = make_principal(tenant, "sync", "service", [])
    bob = make_principal(tenant, "bob", roles=[])
    for user, values in (
        (sync, {"home_tenant": None}),
        (bob, {"home_tenant": tenant}),
        (make_principal(tenant, "other", "agent", []), {"username": "sync"}),
        (make_principal(tenant, "ann", roles=[]), {"username": "bob"}),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            User.objects.filter(id=user.id).update(**values)


def test_only_people_are_found_at_sign_in(tenant: Tenant) -> None:
    make_principal(tenant, "sync", "service", [])
    with pytest.raises(User.DoesNotExist):
        User.objects.get_by_natural_key("sync")
    bob = make_principal(tenant, "bob", roles=[])
    bob.set_password(PASSWORD)
    assert User.objects.get_by_natural_key("bob") == bob


def test_the_command_issues_to_the_principal_of_the_tenant(
    manage: Manage, tenant: Tenant, other_tenant: Tenant
) -> None:
    for place, holder in (("acme", tenant), ("globex", other_tenant)):
        make_principal(holder, "keeper", roles=())
        said = credential(manage, "--role", "viewer", "--scopes", "workitems:read", tenant=place, principal="sync")
        assert said.status == 0
        asked = ("--tenant", place, "--principal", "sync", "--scopes", "workitems:read")
        assert manage("create_credential", *asked).status == 0
    assert set(User.objects.filter(username="sync").values_list("home_tenant_id", flat=True)) == {
        tenant.id,
        other_tenant.id,
    }


def test_the_command_adds_no_person_of_another_tenant_by_name_alone(
    manage: Manage, tenant: Tenant, other_tenant: Tenant
) -> None:
    """A steward elsewhere may have chosen the name and set the password, and would sign in with the role given here."""
    person = make_principal(other_tenant, "cfo", roles=["viewer"])
    asked = ("--role", "approver", "--scopes", "decisions:decide")
    refused = credential(manage, "--kind", "human", *asked, tenant="acme", principal="cfo")
    assert (refused.status, "--join" in refused.err) == (1, True)
    assert [choice.slug for choice in tenants_of_person(person)] == ["globex"]
    joined = credential(manage, "--kind", "human", "--join", *asked, tenant="acme", principal="cfo")
    assert joined.status == 0
    assert [choice.slug for choice in tenants_of_person(person)] == ["acme", "globex"]
    assert manage("create_credential", "--tenant", "acme", "--principal", "cfo", *asked).status == 0


def test_the_command_creates_a_service_although_a_person_elsewhere_has_the_name(
    manage: Manage, tenant: Tenant, other_tenant: Tenant
) -> None:
    person = make_principal(other_tenant, "intake", roles=["viewer"])
    make_principal(tenant, "keeper", roles=())
    said = credential(manage, "--role", "requester", "--scopes", "workitems:write", tenant="acme", principal="intake")
    assert said.status == 0
    assert User.objects.get(username="intake", home_tenant_id=tenant.id).kind == "service"
    assert [choice.slug for choice in tenants_of_person(person)] == ["globex"]
