"""Owners of agents and services."""

from __future__ import annotations

import uuid

import pytest

from tests.factories import acting, acting_system, make_principal
from tests.threada_site.identity.test_commands import Manage, Said, credential, manage
from tests.threada_site.identity.test_services import kinds, last_body
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.owners import set_owner
from threada_site.identity.principals import remove_member
from threada_site.kernel import errors
from threada_site.tenancy.controllers import UNKNOWN, Controllers
from threada_site.tenancy.independence import read_controllers
from threada_site.tenancy.models import Membership, Tenant, User

__all__ = ["manage"]


@pytest.fixture
def agent(tenant: Tenant) -> User:
    return make_principal(tenant, "bot", kind="agent", owner="")


@pytest.fixture
def ann(tenant: Tenant) -> User:
    return make_principal(tenant, "ann")


def own(tenant: Tenant, principal: User, owner: str) -> None:
    with unit_of_work(tenant.id):
        set_owner(principal, owner, ctx=acting_system(tenant))


def owner_of(tenant: Tenant, principal: User) -> User | None:
    with unit_of_work(tenant.id):
        return Membership.objects.select_related("owner").get(user=principal).owner


def controlled_by(agent: User, *people: User) -> dict[uuid.UUID, Controllers]:
    return {agent.id: Controllers(frozenset({agent.id, *(person.id for person in people)}))}


def test_owner_of_an_agent_is_set_and_removed(tenant: Tenant, agent: User, ann: User) -> None:
    own(tenant, agent, "ann")
    assert owner_of(tenant, agent) == ann
    assert last_body(tenant)["kind"] == "principal.owner_set"
    assert last_body(tenant)["inputs"] == {"principal": agent.public_id, "owner": ann.public_id}
    before = kinds(tenant)
    own(tenant, agent, "ann")
    assert kinds(tenant) == before
    own(tenant, agent, "")
    assert owner_of(tenant, agent) is None
    assert last_body(tenant)["inputs"] == {"principal": agent.public_id, "owner": None}


def test_an_owner_who_is_replaced_by_one_steward_still_controls_the_agent(
    tenant: Tenant, agent: User, ann: User
) -> None:
    ada = make_principal(tenant, "ada", roles=["tenant_admin"])
    own(tenant, agent, "ada")
    own(tenant, agent, "ann")
    with unit_of_work(tenant.id):
        assert read_controllers(tenant.id, [agent.id]) == controlled_by(agent, ann)
        set_owner(agent, "ada", ctx=acting(tenant, ada))
        assert read_controllers(tenant.id, [agent.id]) == controlled_by(agent, ann, ada)
        set_owner(agent, "", ctx=acting(tenant, ada))
        assert read_controllers(tenant.id, [agent.id]) == {agent.id: UNKNOWN}
        set_owner(agent, "ann", ctx=acting(tenant, ada))
        assert read_controllers(tenant.id, [agent.id]) == controlled_by(agent, ann, ada)


def test_the_owner_of_a_removed_agent_still_controls_it(tenant: Tenant, agent: User, ann: User) -> None:
    own(tenant, agent, "ann")
    with unit_of_work(tenant.id):
        remove_member(agent, ctx=acting_system(tenant))
        assert read_controllers(tenant.id, [agent.id]) == controlled_by(agent, ann)


def test_owner_must_be_a_human_member(tenant: Tenant, other_tenant: Tenant, agent: User, ann: User) -> None:
    make_principal(other_tenant, "eve")
    make_principal(tenant, "other-bot", kind="service")
    gone = make_principal(tenant, "gone")
    User.objects.filter(id=gone.id).update(is_active=False)
    before = kinds(tenant)
    for name in ("eve", "other-bot", "gone", "nobody", "bot"):
        with pytest.raises(errors.InvalidRequest) as refused:
            own(tenant, agent, name)
        assert [(entry.pointer, entry.code) for entry in refused.value.errors] == [("/owner", "not_a_person")]
    assert (owner_of(tenant, agent), kinds(tenant)) == (None, before)


def test_humans_have_no_owner(tenant: Tenant, ann: User) -> None:
    make_principal(tenant, "bob")
    with pytest.raises(errors.InvalidRequest, match="answer for themselves"):
        own(tenant, ann, "bob")


def test_setting_an_owner_requires_a_steward_and_a_member(
    tenant: Tenant, other_tenant: Tenant, agent: User, ann: User
) -> None:
    with unit_of_work(tenant.id), pytest.raises(errors.PermissionDenied):
        set_owner(agent, "ann", ctx=acting(tenant, ann))
    with pytest.raises(errors.InvalidRequest) as refused:
        own(tenant, make_principal(other_tenant, "far", kind="agent"), "ann")
    assert [entry.code for entry in refused.value.errors] == ["not_a_member"]


def test_owner_is_shown_with_the_credential(manage: Manage, tenant: Tenant, ann: User) -> None:
    asked = ("--kind", "agent", "--role", "viewer", "--scopes", "workitems:read")
    said = credential(manage, *asked, "--owner", "ann", principal="crawler")
    assert (said.status, said.err) == (0, "")
    assert owner_of(tenant, User.objects.get(username="crawler")) == ann
    further = manage("create_credential", "--tenant", "acme", "--principal", "crawler", *asked)
    assert (further.status, further.err) == (0, "")
    assert owner_of(tenant, User.objects.get(username="crawler")) == ann
    refused = credential(manage, *asked, "--owner", "nobody", principal="other")
    assert refused == Said(
        1, "", "The owner 'nobody' is not an active person of this tenant.\n/owner is not a person\n"
    )
    assert not User.objects.filter(username="other").exists()
