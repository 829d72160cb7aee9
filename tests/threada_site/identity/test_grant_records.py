"""Times and confirmations that services store with memberships, roles, groups and object scopes."""

from __future__ import annotations

import dataclasses

import pytest

from policies.models import Workflow
from tests.factories import acting, acting_system, make_principal
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.grants.object_grants import grant_scope_on
from threada_site.identity.grants.role_grants import grant_role, withdraw_role
from threada_site.identity.groups import define_group, remove_group
from threada_site.identity.principals import add_member, ensure_principal, remove_member
from threada_site.identity.roles import define_role, remove_role
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, PrincipalKind, Scope
from threada_site.tenancy.authority_models import ChangeSet, GrantRecord, RoleScopeRecord
from threada_site.tenancy.models import Tenant, User


def records(tenant: Tenant, user: User) -> dict[tuple[str, str], tuple[object, object, bool]]:
    """Return (granted by, confirmed by, is confirmed) of each grant."""
    with unit_of_work(tenant.id):
        return {
            (row.kind, row.name): (row.granted_by, row.confirmed_by, row.confirmed_at is not None)
            for row in GrantRecord.objects.filter(user=user)
        }


@pytest.fixture
def admin(tenant: Tenant) -> User:
    return make_principal(tenant, "admin", roles=["tenant_admin"])


@pytest.fixture
def steward(tenant: Tenant, admin: User) -> ActingContext:
    return acting(tenant, admin)


@pytest.fixture
def publisher(tenant: Tenant, admin: User) -> ActingContext:
    """Return the context in which a second person publishes what the admin proposed."""
    second = make_principal(tenant, "second", roles=["tenant_admin"])
    with unit_of_work(tenant.id):
        change_set = ChangeSet.objects.create(
            tenant=tenant, rule="identity_four_eyes", operation="x", title="x", arguments={}, proposed_by=admin.id
        )
    return dataclasses.replace(acting(tenant, second), change_set_id=change_set.id)


OPERATOR = (None, None, True)


def test_grants_of_the_operator_are_confirmed_without_a_person(tenant: Tenant) -> None:
    bob = make_principal(tenant, "bob", roles=["approver"])
    with unit_of_work(tenant.id):
        define_group("board", ["bob"], ctx=acting_system(tenant))
    assert records(tenant, bob) == {
        ("member", ""): OPERATOR,
        ("role", "approver"): OPERATOR,
        ("group", "board"): OPERATOR,
    }


def test_grants_of_a_steward_are_not_confirmed(tenant: Tenant, steward: ActingContext) -> None:
    workflow = Workflow(id=ids.new_uuid(), tenant=tenant, slug="wf")
    with unit_of_work(tenant.id):
        workflow.save()
        bob = ensure_principal("bob", kind=PrincipalKind.HUMAN, ctx=steward)
        add_member(bob, ctx=steward)
        grant_role(bob, "approver", ctx=steward)
        define_group("board", ["bob"], ctx=steward)
        grant_scope_on(bob, Scope.DECISIONS_DECIDE, workflow, ctx=steward)
    assert records(tenant, bob) == dict.fromkeys(
        [("member", ""), ("role", "approver"), ("group", "board"), ("scope", f"decisions:decide@{workflow.id}")],
        (steward.principal_id, None, False),
    )


def test_published_grants_name_their_proposer_and_publisher(
    tenant: Tenant, admin: User, publisher: ActingContext
) -> None:
    bob = make_principal(tenant, "bob", roles=[])
    with unit_of_work(tenant.id):
        grant_role(bob, "approver", ctx=publisher)
        define_role("clerk", frozenset({Scope.DECISIONS_DECIDE}), ctx=publisher)
        clerk = RoleScopeRecord.objects.get(role="clerk")
    assert records(tenant, bob)["role", "approver"] == (admin.id, publisher.principal_id, True)
    assert (clerk.granted_by, clerk.confirmed_by) == (admin.id, publisher.principal_id)


def test_records_end_with_their_grants(tenant: Tenant) -> None:
    system = acting_system(tenant)
    bob = make_principal(tenant, "bob", roles=["approver", "auditor"])
    with unit_of_work(tenant.id):
        define_group("board", ["bob"], ctx=system)
        define_group("crew", ["bob"], ctx=system)
        define_group("club", ["bob"], ctx=system)
        withdraw_role(bob, "auditor", ctx=system)
        define_group("board", [], ctx=system)
        remove_group("crew", ctx=system)
    assert set(records(tenant, bob)) == {("member", ""), ("role", "approver"), ("group", "club")}
    with unit_of_work(tenant.id):
        remove_member(bob, ctx=system)
    assert records(tenant, bob) == {}


def test_a_grant_that_is_given_again_starts_again(tenant: Tenant, steward: ActingContext) -> None:
    bob = make_principal(tenant, "bob", roles=["approver"])
    with unit_of_work(tenant.id):
        grant_role(bob, "approver", ctx=steward)
    assert records(tenant, bob)["role", "approver"] == OPERATOR  # it is held already
    with unit_of_work(tenant.id):
        withdraw_role(bob, "approver", ctx=steward)
        grant_role(bob, "approver", ctx=steward)
    assert records(tenant, bob)["role", "approver"] == (steward.principal_id, None, False)


def test_scopes_of_a_role_keep_their_times_until_they_are_taken_away(tenant: Tenant, steward: ActingContext) -> None:
    def unconfirmed() -> set[str]:
        return set(RoleScopeRecord.objects.filter(role="clerk", confirmed_at=None).values_list("scope", flat=True))

    read, decide = Scope.WORKITEMS_READ, Scope.DECISIONS_DECIDE
    with unit_of_work(tenant.id):
        define_role("clerk", frozenset({read}), ctx=acting_system(tenant))
        define_role("clerk", frozenset({read, decide}), ctx=steward)
        assert unconfirmed() == {"decisions:decide"}
        define_role("clerk", frozenset({decide}), ctx=steward)
        define_role("clerk", frozenset({read, decide}), ctx=steward)
        assert unconfirmed() == {"decisions:decide", "workitems:read"}
        remove_role("clerk", ctx=steward)
        assert not RoleScopeRecord.objects.filter(role="clerk").exists()


def test_default_roles_have_records(tenant: Tenant) -> None:
    with unit_of_work(tenant.id):
        assert RoleScopeRecord.objects.filter(role="approver", confirmed_at__isnull=False).count() == 2
