"""Users by SCIM: accounts, memberships, attributes and their limits."""

from __future__ import annotations

import pytest

from tests.factories import make_principal, make_tenant
from tests.threada_site.scim.provisioning import ENTERPRISE, USER, Provisioning
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import Membership, ProvisionedPerson, Tenant, User


def account(user_id: str) -> User:
    return User.objects.get(id=ids.parse_public_id(ids.PRINCIPAL, user_id))


def test_user_is_a_person_without_password_and_member_of_the_tenant(acme: Tenant, scim: Provisioning) -> None:
    added = scim.add(
        "Ann@example.com",
        externalId="00u1",
        displayName="Ann",
        emails=[{"value": "ann@example.com", "primary": True}],
        timezone="Europe/Berlin",
        **{ENTERPRISE: {"department": "Finance"}},
    )
    person = account(added["id"])
    assert (person.kind, person.display_name, person.email, person.time_zone) == (
        "human",
        "Ann",
        "ann@example.com",
        "Europe/Berlin",
    )
    assert not person.has_usable_password()
    with unit_of_work(acme.id):
        assert Membership.objects.get(user=person).accepted_at is not None
    found = scim.get(f"/Users/{added['id']}")
    assert found.json() == added
    assert found["ETag"] == 'W/"1"'
    assert added["active"] is True
    assert added[ENTERPRISE]["department"] == "Finance"


def test_a_client_describes_no_account_of_a_person_who_is_in_another_tenant_too(
    acme: Tenant, scim: Provisioning
) -> None:
    told = {"displayName": "Ann", "emails": [{"value": "ann@example.com"}], "timezone": "Europe/Berlin"}
    ann, bob = (scim.add(name, **told)["id"] for name in ("ann", "bob"))
    confirmed_at = clock.now()
    User.objects.filter(home_tenant=None, email="ann@example.com").update(email_confirmed_at=confirmed_at)
    make_principal(make_tenant("globex"), account(ann).username)
    others = {"displayName": "Eve", "emails": [{"value": "eve@example.com"}], "timezone": "Asia/Tokyo"}
    for user_id in (ann, bob):
        answer = scim.patch(f"/Users/{user_id}", {"op": "replace", "value": others})
        assert answer.status_code == 204, answer.content
        body = {"schemas": [USER], "userName": user_id, **others}
        assert scim.send("PUT", f"/Users/{user_id}", body).status_code == 200
    described = [(a.display_name, a.email, a.time_zone, a.email_confirmed_at) for a in map(account, (ann, bob))]
    assert described == [
        ("Ann", "ann@example.com", "Europe/Berlin", confirmed_at),
        ("Eve", "eve@example.com", "Asia/Tokyo", None),
    ]
    assert scim.get(f"/Users/{ann}").json()["displayName"] == "Eve"


def test_user_name_is_unique_in_its_tenant_in_any_case(acme: Tenant, scim: Provisioning) -> None:
    scim.add("ann")
    answer = scim.send("POST", "/Users", {"schemas": [USER], "userName": "ANN"})
    assert answer.status_code == 409
    assert answer.json()["scimType"] == "uniqueness"
    with unit_of_work(acme.id):
        assert ProvisionedPerson.objects.count() == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/Users", {"schemas": [USER], "userName": "bob", "password": "x"}),
        ("POST", "/Users", {"schemas": [USER], "userName": "bob", "PassWord": "x"}),
        ("PATCH", "/Users/{id}", {"Operations": [{"op": "replace", "path": "password", "value": "x"}]}),
        ("PATCH", "/Users/{id}", {"Operations": [{"op": "replace", "path": f"{USER}:password", "value": "x"}]}),
        ("PATCH", "/Users/{id}", {"Operations": [{"op": "replace", "value": {"password": "x"}}]}),
        ("PUT", "/Users/{id}", {"schemas": [USER], "userName": "bob", f"{USER}:password": "x"}),
    ],
)
def test_passwords_are_refused(scim: Provisioning, method: str, path: str, body: dict) -> None:
    added = scim.add("ann")
    answer = scim.send(method, path.format(id=added["id"]), body)
    assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidValue")
    assert "provisioned_password_refused" in answer.json()["detail"]
    assert not account(added["id"]).has_usable_password()


def test_manager_needs_no_address(scim: Provisioning) -> None:
    boss = scim.add("boss")["id"]
    added = scim.add("ann", **{ENTERPRISE: {"manager": {"value": boss}}})
    assert added[ENTERPRISE]["manager"]["value"] == boss


@pytest.mark.parametrize("name", ["", " ", "a" * 256, "a\u200bb"])
def test_odd_user_names_are_refused(scim: Provisioning, name: str) -> None:
    for method, path in (("POST", "/Users"), ("PUT", f"/Users/{scim.add('ann')['id']}")):
        answer = scim.send(method, path, {"schemas": [USER], "userName": name})
        assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidValue")
