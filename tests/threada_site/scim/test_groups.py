"""Groups by SCIM: groups of the tenant that people cannot edit, and roles that follow from them."""

from __future__ import annotations

import pytest

from tests.factories import acting_system
from tests.threada_site.scim.provisioning import GROUP, Provisioning
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.groups import define_group, remove_group
from threada_site.identity.selectors import group_member_names
from threada_site.kernel import errors, ids
from threada_site.tenancy.authority_models import GrantRecord
from threada_site.tenancy.models import PeopleGroup, Tenant, User


def members(tenant: Tenant, slug: str) -> list[str]:
    """Return the ids of the members of a group."""
    with unit_of_work(tenant.id):
        names = group_member_names(slug, tenant_id=tenant.id)
        return sorted(User.objects.get(username=name).public_id for name in names or [])


def test_group_is_a_group_of_the_tenant(acme: Tenant, scim: Provisioning) -> None:
    ann, bob = scim.add("ann")["id"], scim.add("bob")["id"]
    group = scim.add_group("Finance Team", ann)
    assert members(acme, "finance-team") == [ann]
    scim.patch(f"/Groups/{group['id']}", {"op": "add", "path": "members", "value": [{"value": bob}]})
    assert members(acme, "finance-team") == sorted([ann, bob])
    answer = scim.patch(f"/Groups/{group['id']}", {"op": "remove", "path": f'members[value eq "{ann}"]'})
    assert answer.status_code == 204
    assert members(acme, "finance-team") == [bob]
    with unit_of_work(acme.id):
        grant = GrantRecord.objects.get(kind="group", user_id=ids.parse_public_id(ids.PRINCIPAL, bob))
        assert (grant.name, grant.source) == ("finance-team", "scim")
    assert scim.get(f"/Users/{bob}").json()["groups"][0]["display"] == "Finance Team"
    assert "members" not in scim.get(f"/Groups/{group['id']}?excludedAttributes=members").json()


def test_slug_stays_when_the_group_is_renamed(acme: Tenant, scim: Provisioning) -> None:
    group = scim.add_group("Finance")
    scim.patch(f"/Groups/{group['id']}", {"op": "replace", "path": "displayName", "value": "Money"})
    with unit_of_work(acme.id):
        found = PeopleGroup.objects.get()
        assert (found.slug, found.name) == ("finance", "Money")


def test_group_that_people_made_is_not_taken_over(acme: Tenant, scim: Provisioning) -> None:
    with unit_of_work(acme.id):
        define_group("board", [], ctx=acting_system(acme))
    ann = scim.add("ann")["id"]
    scim.add_group("Board", ann)
    assert members(acme, "board") == []
    assert members(acme, "board-2") == [ann]


def test_provisioned_group_is_not_edited_by_hand(acme: Tenant, scim: Provisioning) -> None:
    scim.add_group("Finance")
    with unit_of_work(acme.id):
        with pytest.raises(errors.GroupFromProvisioning):
            define_group("finance", [], name="x", ctx=acting_system(acme))
        with pytest.raises(errors.GroupFromProvisioning):
            remove_group("finance", ctx=acting_system(acme))


def test_groups_contain_people_of_this_tenant_only(acme: Tenant, scim: Provisioning) -> None:
    outer = scim.add_group("Outer")
    for stranger in (outer["id"], "pr_01k9zq6w4ve9qtr1n5m2d3c4b5", "x"):
        body = {"schemas": [GROUP], "displayName": "Inner", "members": [{"value": stranger}]}
        answer = scim.send("POST", "/Groups", body)
        assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidValue")


def test_deactivated_person_returns_to_the_groups(acme: Tenant, scim: Provisioning) -> None:
    ann = scim.add("ann")["id"]
    scim.add_group("Finance", ann)
    scim.set_active(ann, active=False)
    assert members(acme, "finance") == []
    scim.set_active(ann, active=True)
    assert members(acme, "finance") == [ann]


def test_deleting_a_group_removes_it(acme: Tenant, scim: Provisioning) -> None:
    group = scim.add_group("Finance", scim.add("ann")["id"])
    assert scim.send("DELETE", f"/Groups/{group['id']}").status_code == 204
    with unit_of_work(acme.id):
        assert not PeopleGroup.objects.exists()
        assert not GrantRecord.objects.filter(kind="group").exists()
