"""Authors of a provider: whoever wrote its identity alone stays one until the identity changes, whoever renames it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.client import Api
from tests.factories import acting, acting_system
from tests.receivers.oidc_provider import OidcProvider
from tests.threada_site.scim.provisioning import provisioning_of
from tests.threada_site.scim.test_sign_in import account
from tests.threada_site.sign_in.people import put_provider, sign_in_at
from tests.threada_site.sign_in.test_linking import link, signed_in
from tests.threada_site.sign_in.test_oidc import link_of, reason_of
from tests.threada_site.sign_in.test_providers import document, steward
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.change_sets.publish import publish
from threada_site.identity.dependence import confirm_account, open_dependences
from threada_site.identity.providers.configure import withdraw_provider
from threada_site.kernel import errors
from threada_site.tenancy.authority_models import ChangeSet
from threada_site.tenancy.independence import is_independent_of
from threada_site.tenancy.models import GrantRecord, IdentityLink, Tenant, User

pytestmark = pytest.mark.usefixtures("step_up")

type Rewrite = Callable[[Tenant, OidcProvider, Api, dict[str, Any]], None]


def by_operator(tenant: Tenant, provider: OidcProvider, _author: Api, spec: dict[str, Any]) -> None:
    put_provider(tenant, provider, **{**spec, "name": "Renamed"})


def by_operator_after_withdrawal(tenant: Tenant, provider: OidcProvider, _author: Api, spec: dict[str, Any]) -> None:
    with unit_of_work(tenant.id):
        withdraw_provider("corp", ctx=acting_system(tenant))
    put_provider(tenant, provider, **spec)


def by_two_stewards(tenant: Tenant, provider: OidcProvider, author: Api, spec: dict[str, Any]) -> None:
    """Publish a version that the author proposed, so that only the first one is by one steward alone."""
    _, second = steward(tenant, "second")
    proposed = author.post("/identity-providers", document(provider, **{**spec, "name": "Renamed"}))
    assert proposed.status_code == 202
    where = f"/change-sets/{proposed.json()['change_set_id']}/publish"
    assert second.post(where, {"digest": proposed.json()["digest"]}).status_code == 200


rewritten = pytest.mark.parametrize("rewrite", [by_operator, by_operator_after_withdrawal, by_two_stewards])


def provider_of_one(tenant: Tenant, provider: OidcProvider, rewrite: Rewrite, **spec: Any) -> tuple[User, Api]:
    """Return the steward who alone put a provider that others rewrote afterwards."""
    mallory, api = steward(tenant, "mallory")
    assert api.post("/identity-providers", document(provider, **spec)).status_code in (200, 201)
    rewrite(tenant, provider, api, spec)
    return mallory, api


def depends_on(person: User, tenant: Tenant) -> list[User]:
    return [row.depends_on for row in open_dependences(person.id, tenant_id=tenant.id)]


@rewritten
def test_accounts_depend_on_whoever_alone_wrote_the_identity(
    acme: Tenant, provider: OidcProvider, rewrite: Rewrite
) -> None:
    mallory, _ = provider_of_one(acme, provider, rewrite, roles={"it": ["approver"]})
    sign_in_at(provider, groups=["it"])
    person = link_of(acme).user
    with unit_of_work(acme.id):
        assert depends_on(person, acme) == [mallory]
        assert not is_independent_of(person.id, [mallory.id], tenant_id=acme.id)
        grants = GrantRecord.objects.filter(user=person, source="corp")
        assert {(row.kind, row.granted_by, row.confirmed_at) for row in grants} == {
            ("member", mallory.id, None),
            ("role", mallory.id, None),
        }


@rewritten
def test_people_who_link_an_account_depend_on_whoever_alone_wrote_the_identity(
    acme: Tenant, provider: OidcProvider, rewrite: Rewrite
) -> None:
    mallory, _ = provider_of_one(acme, provider, rewrite)
    alice, browser = signed_in(acme, "alice")
    assert link(browser, provider).status_code == 302
    with unit_of_work(acme.id):
        assert depends_on(alice, acme) == [mallory]


@rewritten
def test_provisioned_people_depend_on_whoever_alone_wrote_the_identity(
    acme: Tenant, provider: OidcProvider, rewrite: Rewrite
) -> None:
    scim = provisioning_of(acme)
    ann = scim.add("ann", externalId="00u1")["id"]
    group = scim.add_group("Finance")
    spec = {"claims": {"scim_external_id": "oid"}, "roles": {"Finance": ["approver"]}}
    mallory, _ = provider_of_one(acme, provider, rewrite, **spec)
    scim.patch(f"/Groups/{group['id']}", {"op": "add", "path": "members", "value": [{"value": ann}]})
    with unit_of_work(acme.id):
        role = GrantRecord.objects.get(user=account(ann), kind="role")
        assert (role.granted_by, role.confirmed_at) == (mallory.id, None)
    assert sign_in_at(provider, oid="00u1")[1].status_code == 302
    with unit_of_work(acme.id):
        assert mallory in depends_on(account(ann), acme)


def test_several_people_can_be_sole_authors(acme: Tenant, provider: OidcProvider) -> None:
    mallory, api = steward(acme, "mallory")
    assert api.post("/identity-providers", document(provider)).status_code == 201
    User.objects.filter(id=mallory.id).update(is_active=False)
    trent, other = steward(acme, "trent")
    assert other.post("/identity-providers", document(provider, name="Renamed")).status_code == 200
    sign_in_at(provider)
    with unit_of_work(acme.id):
        assert set(depends_on(link_of(acme).user, acme)) == {mallory, trent}


def test_another_identity_by_the_operator_has_no_author(acme: Tenant, provider: OidcProvider) -> None:
    _, api = steward(acme, "mallory")
    assert api.post("/identity-providers", document(provider, client_id="of-mallory")).status_code == 201
    put_provider(acme, provider)
    sign_in_at(provider)
    person = link_of(acme).user
    with unit_of_work(acme.id):
        assert depends_on(person, acme) == []
        assert GrantRecord.objects.get(user=person).confirmed_at is not None
    put_provider(acme, provider, client_id="of-mallory")
    assert reason_of(sign_in_at(provider)[1]) == "identity_link_suspended"
    sign_in_at(provider, sub="person-2")
    with unit_of_work(acme.id):
        assert len(depends_on(link_of(acme, "person-2").user, acme)) == 1


def another_identity_by_operator(tenant: Tenant, provider: OidcProvider, _author: Api, _spec: dict[str, Any]) -> None:
    put_provider(tenant, provider, client_id="another")


@pytest.mark.parametrize(
    "rewrite", [by_operator, by_operator_after_withdrawal, by_two_stewards, another_identity_by_operator]
)
def test_nobody_who_changed_the_provider_since_links_are_suspended_confirms_them(
    acme: Tenant, provider: OidcProvider, rewrite: Rewrite
) -> None:
    put_provider(acme, provider)
    sign_in_at(provider)
    _, mallory = provider_of_one(acme, provider, rewrite, client_id="of-mallory")
    _, independent = steward(acme, "independent")
    refused = mallory.post("/identity-providers/corp/confirm-links", {})
    assert refused.json()["reason_code"] == "second_person_required"
    with unit_of_work(acme.id):
        assert IdentityLink.objects.filter(suspended_at=None).count() == 0
    assert independent.post("/identity-providers/corp/confirm-links", {}).json() == {"links": 1}


def test_whoever_alone_wrote_the_present_identity_before_does_not_confirm_links(
    acme: Tenant, provider: OidcProvider
) -> None:
    """The operator puts back what the steward wrote before the links were suspended."""
    _, mallory = steward(acme, "mallory")
    assert mallory.post("/identity-providers", document(provider, client_id="of-mallory")).status_code == 201
    sign_in_at(provider)
    put_provider(acme, provider)
    put_provider(acme, provider, client_id="of-mallory")
    refused = mallory.post("/identity-providers/corp/confirm-links", {})
    assert refused.json()["reason_code"] == "second_person_required"


def test_whoever_alone_wrote_the_provider_publishes_no_steward_role_from_it(
    acme: Tenant, provider: OidcProvider
) -> None:
    mallory, _ = provider_of_one(acme, provider, by_operator, roles={"it": ["tenant_admin"]})
    independent, _ = steward(acme, "independent")
    sign_in_at(provider)
    person = link_of(acme).user
    with unit_of_work(acme.id):
        confirm_account(person, ctx=acting_system(acme))
    sign_in_at(provider, groups=["it"])
    with unit_of_work(acme.id):
        waiting = ChangeSet.objects.get(operation="identity.grant_provider_role")
        with pytest.raises(errors.SecondPersonRequired):
            publish(waiting, waiting.digest, ctx=acting(acme, mallory))
        publish(waiting, waiting.digest, ctx=acting(acme, independent))
