"""People whom a client provisioned sign in at an identity provider; provisioned groups become roles."""

from __future__ import annotations

from typing import Any

import pytest

from tests.client import Api
from tests.factories import acting, acting_system, make_principal
from tests.receivers.oidc_provider import OidcProvider
from tests.threada_site.scim.provisioning import Provisioning, name_owner
from tests.threada_site.sign_in.conftest import provider
from tests.threada_site.sign_in.people import put_provider, sign_in_at
from tests.threada_site.sign_in.test_linking import link, signed_in
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.change_sets.publish import publish
from threada_site.identity.forgetting import forget_account
from threada_site.identity.four_eyes import turn_on_four_eyes
from threada_site.identity.principals import remove_member
from threada_site.identity.providers.provisioned import unbound_groups
from threada_site.identity.selectors import roles_of_member
from threada_site.kernel import ids
from threada_site.tenancy.authority_models import ChangeSet, GrantRecord
from threada_site.tenancy.four_eyes import IDENTITY_FOUR_EYES
from threada_site.tenancy.models import IdentityLink, IdentityProvider, ProvisionedPerson, Tenant, User
from workitems.configuration.kinds.identity_providers import put_identity_provider

__all__ = ["provider"]  # a fixture


def account(user_id: str) -> User:
    return User.objects.get(id=ids.parse_public_id(ids.PRINCIPAL, user_id))


def roles(tenant: Tenant, user_id: str) -> list[str]:
    with unit_of_work(tenant.id):
        return roles_of_member(account(user_id), tenant_id=tenant.id)


def put(tenant: Tenant, at: OidcProvider, **spec: Any) -> None:
    put_provider(tenant, at, claims={"scim_external_id": "oid"}, **spec)


def test_deprovisioned_person_who_signed_in_is_out_at_once(
    acme: Tenant, provider: OidcProvider, scim: Provisioning
) -> None:
    put(acme, provider)
    ann = scim.add("ann@example.com", externalId="00u1")["id"]
    browser, answer = sign_in_at(provider, oid="00u1", email="other@example.com")
    assert (answer.status_code, answer["Location"]) == (302, "/console/")
    assert browser.get("/console/").status_code == 200
    with unit_of_work(acme.id):
        assert IdentityLink.objects.get().user == account(ann)
    scim.set_active(ann, active=False)
    assert browser.get("/console/").status_code == 302
    assert sign_in_at(provider, oid="00u1")[1].status_code == 403
    scim.set_active(ann, active=True)
    assert browser.get("/console/").status_code == 302
    refused = sign_in_at(provider, oid="00u1")[1]
    assert (refused.status_code, "Sign in another way and link it again" in refused.content.decode()) == (403, True)
    with unit_of_work(acme.id):
        assert IdentityLink.objects.get().ended_at is not None
    assert User.objects.filter(kind="human").exclude(username="keeper").count() == 1


@pytest.mark.parametrize("claims", [{}, {"oid": "unknown"}, {"oid": ""}, {"oid": 7}])
def test_only_provisioned_people_sign_in(
    acme: Tenant, provider: OidcProvider, scim: Provisioning, claims: dict[str, Any]
) -> None:
    put(acme, provider)
    scim.add("ann")
    answer = sign_in_at(provider, email="ann@example.com", **claims)[1]
    assert answer.status_code == 403
    assert "identity_not_provisioned" in answer.content.decode()


def test_account_whose_claim_names_somebody_else_is_refused(
    acme: Tenant, provider: OidcProvider, scim: Provisioning
) -> None:
    put(acme, provider)
    scim.add("ann", externalId="00u1")
    scim.add("bob", externalId="00u2")
    assert sign_in_at(provider, oid="00u1")[1].status_code == 302
    answer = sign_in_at(provider, oid="00u2")[1]
    assert "identity_ambiguous" in answer.content.decode()


def test_an_external_id_is_not_cut(acme: Tenant, provider: OidcProvider, scim: Provisioning) -> None:
    put(acme, provider)
    scim.add("ann", externalId="a" * 200)
    assert "identity_not_provisioned" in sign_in_at(provider, oid="a" * 200 + "b")[1].content.decode()
    assert sign_in_at(provider, oid="a" * 200)[1].status_code == 302


def test_people_link_only_the_account_that_names_them(acme: Tenant, provider: OidcProvider, scim: Provisioning) -> None:
    """At a provider of provisioned people, the claim of groups gives no roles, whoever links an account there."""
    put(acme, provider, roles={"Finance": ["approver"]})
    scim.add("ann", externalId="00u1")
    alice, browser = signed_in(acme, "alice")
    answer = link(browser, provider, oid="00u9", groups=["Finance"])
    assert "identity_not_provisioned" in answer.content.decode()
    answer = link(browser, provider, oid="00u1", groups=["Finance"])
    assert "identity_ambiguous" in answer.content.decode()
    with unit_of_work(acme.id):
        assert roles_of_member(alice, tenant_id=acme.id) == ["client"]
        assert not IdentityLink.objects.exists()
    assert sign_in_at(provider, oid="00u1")[1].status_code == 302


def test_provisioned_groups_become_roles(acme: Tenant, provider: OidcProvider, scim: Provisioning) -> None:
    mapped = {"Finance": ["approver"], "Staff": ["viewer"]}
    ann, bob = scim.add("ann", externalId="00u1")["id"], scim.add("bob", externalId="00u2")["id"]
    group = scim.add_group("Finance", bob)
    put(acme, provider, roles=mapped)
    scim.patch(f"/Groups/{group['id']}", {"op": "add", "path": "members", "value": [{"value": ann}]})
    assert roles(acme, ann) == ["approver"]
    with unit_of_work(acme.id):
        assert GrantRecord.objects.get(kind="role", user=account(ann)).source == "corp"
    assert sign_in_at(provider, oid="00u1", groups=["Staff"])[1].status_code == 302
    assert roles(acme, ann) == ["approver"]
    scim.patch(f"/Groups/{group['id']}", {"op": "replace", "path": "displayName", "value": "Staff"})
    assert roles(acme, ann) == []
    put(acme, provider, roles=mapped)
    assert sign_in_at(provider, oid="00u1")[1].status_code == 302
    assert roles(acme, ann) == ["viewer"]
    scim.set_active(ann, active=False)
    assert roles(acme, ann) == []
    scim.set_active(ann, active=True)
    assert roles(acme, ann) == ["viewer"]
    scim.send("DELETE", f"/Groups/{group['id']}")
    assert roles(acme, ann) == []


def test_steward_role_waits_for_a_second_steward(acme: Tenant, provider: OidcProvider, scim: Provisioning) -> None:
    admins = scim.add_group("Admins")
    put(acme, provider, roles={"Admins": ["tenant_admin"]})
    with unit_of_work(acme.id):
        turn_on_four_eyes(IDENTITY_FOUR_EYES, ctx=acting_system(acme))
    ada = make_principal(acme, "ada", roles=["tenant_admin"])
    ann = scim.add("ann", externalId="00u1")["id"]
    scim.patch(f"/Groups/{admins['id']}", {"op": "add", "path": "members", "value": [{"value": ann}]})
    assert roles(acme, ann) == []
    with unit_of_work(acme.id):
        change_set = ChangeSet.objects.get(operation="identity.grant_provider_role")
        publish(change_set, change_set.digest, ctx=acting(acme, ada))
    assert roles(acme, ann) == ["tenant_admin"]


def test_erasure_covers_what_the_client_sent(acme: Tenant, scim: Provisioning) -> None:
    ann = scim.add("ann", externalId="00u1", title="Boss")["id"]
    scim.add_group("Finance", ann)
    with unit_of_work(acme.id):
        forget_account(account(ann), ctx=acting_system(acme))
        assert not ProvisionedPerson.objects.exists()
    assert scim.get(f"/Users/{ann}").status_code == 404
    assert scim.add("ann", externalId="00u1")["id"] != ann
    assert Api(scim.token).get("/me").status_code == 200


@pytest.mark.parametrize("way", ["created", "renamed"])
def test_a_group_that_the_client_names_like_a_mapping_is_bound_by_a_person(
    acme: Tenant, provider: OidcProvider, scim: Provisioning, way: str
) -> None:
    mapped = {"Finance": ["approver"]}
    put(acme, provider, roles=mapped)
    ann = scim.add("ann", externalId="00u1")["id"]
    group = scim.add_group("Finance" if way == "created" else "Printers", ann)
    if way == "renamed":
        scim.patch(f"/Groups/{group['id']}", {"op": "replace", "path": "displayName", "value": "Finance"})
    assert roles(acme, ann) == []
    assert sign_in_at(provider, oid="00u1")[1].status_code == 302
    assert roles(acme, ann) == []
    robot = acting(acme, make_principal(acme, "robot", "service", roles=["tenant_admin"]))
    spec = {"protocol": "oidc", "name": "Corp", "issuer": provider.issuer, "client_id": "threada"}
    whole = {**spec, "create_accounts": True, "claims": {"scim_external_id": "oid"}, "roles": mapped}
    with unit_of_work(acme.id):
        assert put_identity_provider("corp", whole, ctx=robot).change == "unchanged"
        version = IdentityProvider.objects.get().current_version
        assert version is not None
        assert [one.display_name for one in unbound_groups(version, tenant_id=acme.id)] == ["Finance"]
    put(acme, provider, roles=mapped)
    with unit_of_work(acme.id):
        current = IdentityProvider.objects.get().current_version
        assert current is not None
        assert (current.number, current.spec) == (version.number + 1, version.spec)
        assert not unbound_groups(current, tenant_id=acme.id).exists()
    assert sign_in_at(provider, oid="00u1")[1].status_code == 302
    assert roles(acme, ann) == ["approver"]


def test_a_client_without_an_owner_fills_no_group_that_decides_or_manages(
    acme: Tenant, provider: OidcProvider, scim: Provisioning
) -> None:
    name_owner(scim, "")
    ann = scim.add("ann", externalId="00u1")["id"]
    finance, crew, admins = (scim.add_group(name)["id"] for name in ("Finance", "Staff", "Admins"))
    put(acme, provider, roles={"Finance": ["approver"], "Staff": ["viewer"], "Admins": ["tenant_admin"]})
    joins = {"op": "add", "path": "members", "value": [{"value": ann}]}
    for group in (finance, admins):
        answer = scim.patch(f"/Groups/{group}", joins)
        assert answer.status_code == 403, answer.content
        assert "nobody answers for provisioner" in answer.json()["detail"]
        assert scim.get(f"/Groups/{group}").json().get("members", []) == []
    assert scim.patch(f"/Groups/{crew}", joins).status_code == 204
    assert roles(acme, ann) == ["viewer"]
    make_principal(acme, "olga", roles=[])
    name_owner(scim, "olga")
    assert scim.patch(f"/Groups/{finance}", joins).status_code == 204
    assert roles(acme, ann) == ["approver", "viewer"]
    scim.set_active(ann, active=False)
    with unit_of_work(acme.id):
        remove_member(User.objects.get(username="olga"), ctx=acting_system(acme))
    answer = scim.patch(f"/Users/{ann}", {"op": "replace", "path": "active", "value": True})
    assert answer.status_code == 403
    assert roles(acme, ann) == []
    assert scim.patch(f"/Groups/{finance}", {"op": "remove", "path": "members"}).status_code == 204
    scim.set_active(ann, active=True)
    assert roles(acme, ann) == ["viewer"]
