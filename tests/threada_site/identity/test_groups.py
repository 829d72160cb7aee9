"""Groups of members: their members, where they are visible, and that they grant nothing."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from telemetry.models import Receipt
from tests.client import Api
from tests.factories import acting, acting_system, make_principal, make_token
from tests.threada_site.identity.test_services import kinds, last_body
from threada_site.database.unit_of_work import OutsideUnitOfWorkError, unit_of_work
from threada_site.identity import groups
from threada_site.identity.groups import define_group
from threada_site.identity.principals import remove_member
from threada_site.identity.selectors import console_context, group_member_names, permissions_of_principal
from threada_site.kernel import errors
from threada_site.tenancy.members import members
from threada_site.tenancy.models import Membership, PeopleGroup, PeopleGroupMember, Tenant, User
from threada_site.tenancy.upsert import Change


@pytest.fixture
def ann(tenant: Tenant) -> User:
    return make_principal(tenant, "ann")


@pytest.fixture
def bob(tenant: Tenant) -> User:
    return make_principal(tenant, "bob")


def define(tenant: Tenant, *names: str, slug: str = "board", name: str | None = None) -> Change:
    with unit_of_work(tenant.id):
        return define_group(slug, names, name=name, ctx=acting_system(tenant)).change


def names(tenant: Tenant, slug: str = "board") -> list[str] | None:
    with unit_of_work(tenant.id):
        return group_member_names(slug, tenant_id=tenant.id)


def test_group_has_exactly_the_named_members(tenant: Tenant, ann: User, bob: User) -> None:
    assert names(tenant) is None
    assert define(tenant, "bob", "ann", "bob") is Change.CREATED
    assert names(tenant) == ["ann", "bob"]
    assert last_body(tenant)["kind"] == "group.defined"
    assert last_body(tenant)["inputs"] == {"group": "board", "members": sorted([ann.public_id, bob.public_id])}
    assert define(tenant, "ann") is Change.CHANGED
    assert names(tenant) == ["ann"]
    assert define(tenant) is Change.CHANGED
    assert names(tenant) == []


def test_unchanged_group_leaves_no_receipt(tenant: Tenant, ann: User) -> None:
    define(tenant, "ann", name="The board")
    before = kinds(tenant)
    assert define(tenant, "ann") is Change.UNCHANGED
    assert define(tenant, "ann", name="The board") is Change.UNCHANGED
    assert kinds(tenant) == before
    assert define(tenant, "ann", name="Board") is Change.CHANGED


def test_unknown_members_are_named_by_position_and_nothing_is_created(
    tenant: Tenant, other_tenant: Tenant, ann: User
) -> None:
    make_principal(other_tenant, "eve")
    before = kinds(tenant)
    with pytest.raises(errors.InvalidRequest) as refused:
        define(tenant, "ann", "eve", "nobody")
    assert [(entry.pointer, entry.code) for entry in refused.value.errors] == [
        ("/members/1", "not_a_member"),
        ("/members/2", "not_a_member"),
    ]
    assert (names(tenant), kinds(tenant)) == (None, before)


@pytest.mark.parametrize("slug", ["", "The board", "a" * 64])
def test_malformed_slug_is_refused(tenant: Tenant, slug: str) -> None:
    with pytest.raises(errors.InvalidRequest):
        define(tenant, slug=slug)


def test_number_of_members_is_limited(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MOST_MEMBERS", 2)
    with pytest.raises(errors.InvalidRequest, match="at most 2"):
        define(tenant, "a", "b", "c")


def test_only_a_steward_defines_groups_within_a_unit_of_work(tenant: Tenant, ann: User) -> None:
    for role in ("requester", "operator", "policy_publisher"):
        person = acting(tenant, make_principal(tenant, f"one-{role}", roles=[role]))
        with unit_of_work(tenant.id), pytest.raises(errors.PermissionDenied):
            define_group("board", ["ann"], ctx=person)
    with pytest.raises(OutsideUnitOfWorkError):
        define_group("board", ["ann"], ctx=acting_system(tenant))
    assert names(tenant) is None


def test_group_membership_is_visible_everywhere_and_grants_nothing(tenant: Tenant, ann: User, bob: User) -> None:
    define(tenant, "ann")
    define(tenant, "ann", "bob", slug="crew")
    before = permissions_of_principal(bob.id, tenant_id=tenant.id).scopes
    assert permissions_of_principal(ann.id, tenant_id=tenant.id).groups == {"board", "crew"}
    assert permissions_of_principal(ann.id, tenant_id=tenant.id).scopes == before
    assert console_context(ann, tenant.slug, "c" * 32).groups == {"board", "crew"}
    with unit_of_work(tenant.id):
        assert {member.username: member.permissions.groups for member in members(tenant.id)} == {
            "ann": {"board", "crew"},
            "bob": {"crew"},
        }
    assert Api(make_token(tenant, ann)).get("/me").json()["groups"] == ["board", "crew"]


def test_credential_and_role_do_not_narrow_groups(tenant: Tenant, ann: User) -> None:
    define(tenant, "ann")
    api = Api(make_token(tenant, ann, scopes=["workitems:read"]))
    assert api.get("/me", headers={"Threada-Role": "client"}).json()["groups"] == ["board"]


def test_groups_of_another_tenant_are_not_seen(tenant: Tenant, other_tenant: Tenant, ann: User) -> None:
    make_principal(other_tenant, "ann")
    define(other_tenant, "ann")
    assert permissions_of_principal(ann.id, tenant_id=tenant.id).groups == frozenset()
    assert permissions_of_principal(ann.id, tenant_id=other_tenant.id).groups == {"board"}


def test_leaving_the_tenant_leaves_its_groups(tenant: Tenant, ann: User, bob: User) -> None:
    define(tenant, "ann", "bob")
    with unit_of_work(tenant.id):
        remove_member(ann, ctx=acting_system(tenant))
    assert names(tenant) == ["bob"]
    assert permissions_of_principal(ann.id, tenant_id=tenant.id).groups == frozenset()
    make_principal(tenant, "ann")
    assert names(tenant) == ["bob"]


def test_database_stores_one_row_per_member(tenant: Tenant, ann: User) -> None:
    define(tenant, "ann")
    with unit_of_work(tenant.id), transaction.atomic():
        row = PeopleGroupMember.objects.get()
        group = PeopleGroup.objects.get()
        membership = Membership.objects.get(user=ann)
        assert (row.group_id, row.membership_id) == (group.id, membership.id)
        with pytest.raises(IntegrityError, match="peoplegroupmember_once"), transaction.atomic():
            PeopleGroupMember.objects.create(tenant_id=tenant.id, group=group, membership=membership)
        assert Receipt.objects.filter(kind="group.defined").count() == 1
