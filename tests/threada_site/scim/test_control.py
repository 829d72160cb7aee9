"""Control of provisioned people: they depend on everybody who controls the client until somebody confirms them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests.console.sign_in import sign_in
from tests.factories import PASSWORD, acting, acting_system, make_principal, stepped_up
from tests.receivers.oidc_provider import OidcProvider
from tests.threada_site.scim.provisioning import Provisioning, name_owner, provisioning_of
from tests.threada_site.scim.test_access import token_by
from tests.threada_site.scim.test_sign_in import account, put
from tests.threada_site.sign_in.conftest import provider
from tests.threada_site.sign_in.people import sign_in_at
from tests.threada_site.sign_in.test_linking import link
from tests.threada_site.sign_in.test_oidc import link_of, reason_of
from tests.workitems.steps.test_departures import jobs
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.change_sets.publish import publish
from threada_site.identity.dependence import confirm_account, open_dependences
from threada_site.identity.four_eyes import turn_on_four_eyes
from threada_site.identity.passwords import set_password
from threada_site.identity.providers.configure import confirm_links
from threada_site.kernel import clock, errors
from threada_site.sign_in import answers
from threada_site.tenancy.authority_models import ChangeSet
from threada_site.tenancy.controllers import UNKNOWN
from threada_site.tenancy.four_eyes import IDENTITY_FOUR_EYES
from threada_site.tenancy.independence import is_independent_of, read_controllers
from threada_site.tenancy.models import IdentityLink, Tenant, User

__all__ = ["provider"]  # a fixture


def confirm(tenant: Tenant, person: User, by: User | None = None) -> None:
    with unit_of_work(tenant.id):
        confirm_account(person, ctx=acting(tenant, by) if by else acting_system(tenant))


def are_two(tenant: Tenant, one: User, other: User) -> bool:
    with unit_of_work(tenant.id):
        return is_independent_of(one.id, [other.id], tenant_id=tenant.id)


def by_operator(tenant: Tenant) -> tuple[Provisioning, User]:
    """Return a client with a token of the operator, and its owner."""
    mallory = make_principal(tenant, "mallory", roles=["tenant_admin"])
    scim = provisioning_of(tenant)
    name_owner(scim, "mallory")
    return scim, mallory


def by_two_stewards(tenant: Tenant) -> tuple[Provisioning, User]:
    """Return a client whose token one steward issued and another confirmed, and the first one."""
    mallory, second = (make_principal(tenant, name, roles=["tenant_admin"]) for name in ("mallory", "second"))
    provisioning_of(tenant)
    client = User.objects.get(username="provisioner")
    with unit_of_work(tenant.id):
        turn_on_four_eyes(IDENTITY_FOUR_EYES, ctx=acting_system(tenant))
    issued = Provisioning(tenant, token_by(tenant, mallory, client))
    with unit_of_work(tenant.id):
        waiting = ChangeSet.objects.get()
        publish(waiting, waiting.digest, ctx=stepped_up(acting(tenant, second)))
    return issued, mallory


controlled = pytest.mark.parametrize("made", [by_operator, by_two_stewards])
type Made = Callable[[Tenant], tuple[Provisioning, User]]


@controlled
def test_people_whom_a_client_adds_are_not_independent_of_who_controls_it(acme: Tenant, made: Made) -> None:
    scim, mallory = made(acme)
    steward = make_principal(acme, "steward", roles=["tenant_admin"])
    ann, bob = (account(scim.add(name)["id"]) for name in ("ann", "bob"))
    assert not are_two(acme, ann, mallory)
    assert not are_two(acme, ann, bob)
    assert are_two(acme, ann, steward)
    with pytest.raises(errors.SecondPersonRequired):
        confirm(acme, ann, mallory)
    confirm(acme, ann, steward)
    assert are_two(acme, ann, mallory)
    assert are_two(acme, ann, bob)


def test_people_of_a_client_without_an_owner_are_independent_of_nobody(acme: Tenant) -> None:
    scim = provisioning_of(acme)
    name_owner(scim, "")
    steward = make_principal(acme, "steward", roles=["tenant_admin"])
    ann = account(scim.add("ann")["id"])
    with unit_of_work(acme.id):
        assert read_controllers(acme.id, [ann.id]) == {ann.id: UNKNOWN}
    with pytest.raises(errors.SecondPersonRequired):
        confirm(acme, ann, steward)
    confirm(acme, ann)
    assert are_two(acme, ann, steward)


def test_somebody_whom_the_client_adds_again_depends_on_it_again(acme: Tenant) -> None:
    scim, mallory = by_operator(acme)
    ann = account(scim.add("ann", externalId="x1")["id"])
    confirm(acme, ann)
    assert scim.send("DELETE", f"/Users/{ann.public_id}").status_code == 204
    assert scim.add("ann", externalId="x1")["id"] == ann.public_id
    assert not are_two(acme, ann, mallory)


def give(scim: Provisioning, person: User, external_id: str) -> None:
    change = {"op": "replace", "path": "externalId", "value": external_id}
    assert scim.patch(f"/Users/{person.public_id}", change).status_code == 204


@controlled
def test_another_external_id_signs_nobody_in_before_it_is_confirmed(
    acme: Tenant, provider: OidcProvider, made: Made
) -> None:
    """The client's owner gives a person the external id of a second account of the owner at the provider."""
    scim, mallory = made(acme)
    put(acme, provider)
    ann = account(scim.add("ann", externalId="of-ann")["id"])
    browser, _ = sign_in_at(provider, oid="of-ann")
    confirm(acme, ann)
    assert are_two(acme, ann, mallory)
    give(scim, ann, "of-mallory")
    assert browser.get("/console/").status_code == 302
    assert [job["person_id"] for job in jobs("workitems.notify_person") if job["kind"] == "external_id_changed"] == [
        str(ann.id)
    ]
    answer = sign_in_at(provider, sub="person-2", oid="of-mallory")[1]
    assert reason_of(answer) == "identity_link_suspended"
    assert reason_of(sign_in_at(provider, oid="of-mallory")[1]) == "identity_link_suspended"
    assert reason_of(sign_in_at(provider, oid="of-ann")[1]) == "identity_not_provisioned"
    assert not are_two(acme, ann, mallory)
    with pytest.raises(errors.SecondPersonRequired):
        confirm(acme, ann, mallory)
    confirm(acme, ann, make_principal(acme, "steward", roles=["tenant_admin"]))
    assert sign_in_at(provider, oid="of-mallory")[1].status_code == 302
    assert are_two(acme, ann, mallory)


def test_an_external_id_waits_also_for_somebody_who_was_never_confirmed(acme: Tenant, provider: OidcProvider) -> None:
    scim, _ = by_operator(acme)
    put(acme, provider)
    ann = account(scim.add("ann", externalId="x1")["id"])
    sign_in_at(provider, oid="x1")
    give(scim, ann, "x2")
    assert reason_of(sign_in_at(provider, sub="person-2", oid="x2")[1]) == "identity_link_suspended"
    give(scim, ann, "x1")
    assert reason_of(sign_in_at(provider, oid="x1")[1]) == "identity_link_suspended"
    confirm(acme, ann)
    assert sign_in_at(provider, oid="x1")[1].status_code == 302


@pytest.mark.parametrize("state", ["ended", "unlinked", "password"])
def test_an_external_id_waits_for_everybody_who_could_sign_in(acme: Tenant, provider: OidcProvider, state: str) -> None:
    scim, _ = by_operator(acme)
    put(acme, provider)
    ann = account(scim.add("ann", externalId="x1")["id"])
    if state == "password":
        with unit_of_work(acme.id):
            set_password(ann, PASSWORD, ctx=acting_system(acme))
    else:
        sign_in_at(provider, oid="x1")
    if state == "ended":
        scim.set_active(ann.public_id, active=False)
    elif state == "unlinked":
        with unit_of_work(acme.id):
            IdentityLink.objects.update(unlinked_at=clock.now())
    give(scim, ann, "x2")
    scim.set_active(ann.public_id, active=True)
    assert reason_of(sign_in_at(provider, sub="person-2", oid="x2")[1]) == "identity_link_suspended"


def test_an_external_id_of_somebody_who_never_signed_in_is_corrected_at_once(
    acme: Tenant, provider: OidcProvider
) -> None:
    scim, mallory = by_operator(acme)
    put(acme, provider)
    ann = account(scim.add("ann", externalId="wrong")["id"])
    confirm(acme, ann)
    give(scim, ann, "x1")
    assert sign_in_at(provider, oid="x1")[1].status_code == 302
    assert not are_two(acme, ann, mallory)


def test_nobody_links_an_account_by_an_external_id_that_waits(acme: Tenant, provider: OidcProvider) -> None:
    scim, _ = by_operator(acme)
    put(acme, provider)
    ann = account(scim.add("ann", externalId="x1")["id"])
    with unit_of_work(acme.id):
        set_password(ann, PASSWORD, ctx=acting_system(acme))
    browser = Client()
    browser.post("/console/login/", {"username": ann.username, "password": PASSWORD})
    give(scim, ann, "x2")
    assert reason_of(link(browser, provider, sub="person-2", oid="x2")) == "identity_link_suspended"


def test_an_external_id_that_changes_during_the_sign_in_leaves_no_session(
    acme: Tenant, provider: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    scim, _ = by_operator(acme)
    put(acme, provider)
    ann = account(scim.add("ann", externalId="x1")["id"])
    opened = answers.open_session

    def open_after_the_change(*given: Any, **named: Any) -> None:
        give(scim, ann, "x2")
        opened(*given, **named)

    monkeypatch.setattr(answers, "open_session", open_after_the_change)
    browser, answer = sign_in_at(provider, oid="x1")
    assert reason_of(answer) == "sign_in_state_invalid"
    assert browser.get("/console/").status_code == 302


def test_another_external_id_after_a_deactivation_signs_nobody_in(acme: Tenant, provider: OidcProvider) -> None:
    """The end of the membership ended the password of the person, who has signed in before."""
    scim, _ = by_operator(acme)
    put(acme, provider)
    added = scim.add("ann", externalId="x1")["id"]
    ann = account(added)
    User.objects.filter(id=ann.id).update(last_login=clock.now())
    scim.set_active(added, active=False)
    ann.refresh_from_db()
    give(scim, ann, "x2")
    scim.set_active(added, active=True)
    assert reason_of(sign_in_at(provider, oid="x2")[1]) == "identity_link_suspended"


def test_another_claim_links_nobody_by_external_id_before_links_are_confirmed(
    acme: Tenant, provider: OidcProvider
) -> None:
    """Another claim of the external id may name an account that somebody else chose."""
    scim, _ = by_operator(acme)
    put(acme, provider)
    ann = account(scim.add("ann", externalId="x1")["id"])
    sign_in_at(provider, oid="x1")
    put(acme, provider, client_id="other")
    assert reason_of(sign_in_at(provider, sub="person-2", oid="x1")[1]) == "identity_link_suspended"
    with unit_of_work(acme.id):
        confirm_links("corp", ctx=acting_system(acme))
    assert sign_in_at(provider, oid="x1")[1].status_code == 302
    assert link_of(acme).user == ann


def test_a_steward_confirms_the_external_id_that_the_page_showed(acme: Tenant) -> None:
    scim, _ = by_operator(acme)
    ann = account(scim.add("ann", externalId="x1")["id"])
    browser = sign_in(make_principal(acme, "steward", roles=["tenant_admin"]))
    page = f"/console/tenancy/membership/{ann.public_id}/"
    assert 'name="external_id" value="x1"' in browser.get(page).content.decode()
    give(scim, ann, "x2")
    for shown, number in (("x1", 1), ("", 1), ("x2", 0)):
        browser.post(page + "confirm/", {"external_id": shown})
        with unit_of_work(acme.id):
            assert len(open_dependences(ann.id, tenant_id=acme.id)) == number


@controlled
def test_who_controls_the_client_publishes_no_steward_role_of_its_people(
    acme: Tenant, provider: OidcProvider, made: Made
) -> None:
    scim, mallory = made(acme)
    steward = make_principal(acme, "steward", roles=["tenant_admin"])
    ann = account(scim.add("ann")["id"])
    confirm(acme, ann)
    admins = scim.add_group("Admins")
    put(acme, provider, roles={"Admins": ["tenant_admin"]})
    joins = {"op": "add", "path": "members", "value": [{"value": ann.public_id}]}
    assert scim.patch(f"/Groups/{admins['id']}", joins).status_code == 204
    with unit_of_work(acme.id):
        waiting = ChangeSet.objects.get(operation="identity.grant_provider_role")
        with pytest.raises(errors.SecondPersonRequired):
            publish(waiting, waiting.digest, ctx=acting(acme, mallory))
        publish(waiting, waiting.digest, ctx=acting(acme, steward))
