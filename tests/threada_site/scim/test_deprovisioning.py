"""`active: false` and DELETE end everything that the membership justified; `active: true` brings no token back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from telemetry.models import Receipt
from tests.client import Api
from tests.factories import PASSWORD, acting_system, make_principal, make_tenant, make_token
from tests.threada_site.identity.test_accounts import by_link, invited
from tests.threada_site.identity.test_services import kinds
from tests.threada_site.scim.provisioning import USER, Provisioning
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.departure.end import end_membership
from threada_site.identity.departure.outcome import DepartureReason
from threada_site.identity.grants.role_grants import grant_role
from threada_site.identity.invitations import accept_invitation
from threada_site.kernel import errors, ids
from threada_site.tenancy.models import Membership, ProvisionedPerson, Tenant, User


def account(user_id: str) -> User:
    return User.objects.get(id=ids.parse_public_id(ids.PRINCIPAL, user_id))


def token_of(tenant: Tenant, user_id: str) -> str:
    with unit_of_work(tenant.id):
        grant_role(account(user_id), "requester", ctx=acting_system(tenant))
    return make_token(tenant, account(user_id), expires_in=timedelta(days=1))


def end_by_patch(scim: Provisioning, user_id: str) -> None:
    scim.set_active(user_id, active=False)


def end_by_delete(scim: Provisioning, user_id: str) -> None:
    assert scim.send("DELETE", f"/Users/{user_id}").status_code == 204


@pytest.mark.parametrize("end", [end_by_patch, end_by_delete])
def test_token_of_a_deprovisioned_person_is_refused(acme: Tenant, scim: Provisioning, end: object) -> None:
    ann = scim.add("ann", externalId="x1")["id"]
    token = token_of(acme, ann)
    assert Api(token).get("/me").status_code == 200
    end(scim, ann)  # type: ignore[operator]
    assert Api(token).get("/me").status_code == 401
    with unit_of_work(acme.id):
        assert not Membership.objects.filter(user=account(ann)).exists()
        receipt = Receipt.objects.filter(kind="member.removed").get()
        assert b'"deprovisioned"' in bytes(receipt.body)


def test_return_brings_membership_and_no_token_or_role(acme: Tenant, scim: Provisioning) -> None:
    ann = scim.add("ann")["id"]
    token = token_of(acme, ann)
    scim.set_active(ann, active=False)
    scim.set_active(ann, active=True)
    assert Api(token).get("/me").status_code == 401
    with unit_of_work(acme.id):
        assert Membership.objects.get(user=account(ann)).accepted_at is not None
    assert not account(ann).groups.exists()


def test_deleted_external_id_names_the_same_person_again(acme: Tenant, scim: Provisioning) -> None:
    ann = scim.add("ann", externalId="x1")["id"]
    end_by_delete(scim, ann)
    assert scim.get(f"/Users/{ann}").status_code == 404
    assert scim.add("ann.b", externalId="x1")["id"] == ann
    other = scim.add("bob")["id"]
    end_by_delete(scim, other)
    assert scim.add("bob")["id"] != other


def test_steward_who_removes_the_member_makes_the_user_inactive(acme: Tenant, scim: Provisioning) -> None:
    ann = scim.add("ann")["id"]
    with unit_of_work(acme.id):
        end_membership(account(ann), reason=DepartureReason.REMOVED, ctx=acting_system(acme))
    assert scim.get(f"/Users/{ann}").json()["active"] is False


def test_deletion_forgets_what_the_client_sent(acme: Tenant, scim: Provisioning) -> None:
    ann = scim.add("ann", externalId="x1", title="Boss")["id"]
    end_by_delete(scim, ann)
    with unit_of_work(acme.id):
        row = ProvisionedPerson.objects.get()
        assert (row.attributes, row.user_name, row.user_name_key, row.external_id) == ({}, "", "", "x1")


def test_every_act_leaves_a_receipt(acme: Tenant, scim: Provisioning) -> None:
    before = len(kinds(acme))
    ann = scim.add("ann")["id"]
    scim.patch(f"/Users/{ann}", {"op": "replace", "path": "title", "value": "Boss"})
    group = scim.add_group("Finance", ann)
    scim.patch(f"/Groups/{group['id']}", {"op": "replace", "path": "displayName", "value": "Money"})
    scim.set_active(ann, active=False)
    scim.send("PUT", f"/Users/{ann}", {"schemas": [USER], "userName": "ann", "active": True})
    scim.send("DELETE", f"/Groups/{group['id']}")
    scim.send("DELETE", f"/Users/{ann}")
    assert kinds(acme)[before:] == [
        "principal.created",
        "account.dependent",
        "provisioning.person_added",
        "member.added",
        "provisioning.person_changed",
        "provisioning.group_added",
        "provisioning.group_changed",
        "provisioning.person_changed",
        "member.removed",
        "provisioning.person_changed",
        "member.added",
        "provisioning.group_deleted",
        "member.removed",
        "provisioning.person_deleted",
    ]
    with unit_of_work(acme.id):
        changed = Receipt.objects.filter(kind="provisioning.person_changed").order_by("id").first()
        assert b'"attributes":["title"]' in bytes(changed.body)
        assert b"Boss" not in bytes(changed.body)


@pytest.mark.parametrize("end", [end_by_patch, end_by_delete])
def test_an_invitation_elsewhere_sets_no_password_of_somebody_who_may_return(
    acme: Tenant, scim: Provisioning, end: object
) -> None:
    ann = account(scim.add("ann", externalId="x1")["id"])
    end(scim, ann.public_id)  # type: ignore[operator]
    globex = make_tenant("globex")
    mallory = make_principal(globex, "mallory", roles=["tenant_admin"])
    _, token = invited(globex, ann.username, mallory)
    page = Client().get(reverse("admin:invitation", args=[token])).content.decode()
    assert "new_password" not in page
    assert "Sign in" in page
    with unit_of_work(globex.id), pytest.raises(errors.PermissionDenied):
        accept_invitation(token, password=PASSWORD, ctx=by_link(globex, ann))
    assert not account(ann.public_id).has_usable_password()


def test_the_own_tenant_invites_somebody_whom_the_client_ended(acme: Tenant, scim: Provisioning) -> None:
    ann = account(scim.add("ann", externalId="x1")["id"])
    end_by_patch(scim, ann.public_id)
    steward = make_principal(acme, "steward", roles=["tenant_admin"])
    _, token = invited(acme, ann.username, steward)
    passwords = {"new_password": PASSWORD, "again": PASSWORD}
    assert (
        "You are now a member" in Client().post(reverse("admin:invitation", args=[token]), passwords).content.decode()
    )
    assert account(ann.public_id).has_usable_password()
