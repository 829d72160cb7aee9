"""Four-eyes rule for policies: one person turns it on, two turn it off."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from tests.client import Api
from tests.factories import acting, acting_system, make_principal, make_token
from tests.threada_site.identity.test_commands import Manage, Said, manage
from tests.threada_site.identity.test_services import kinds, last_body
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.four_eyes import end_four_eyes, turn_on_four_eyes
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES, is_four_eyes_required
from threada_site.tenancy.models import FourEyesRule, Tenant

__all__ = ["manage"]


@pytest.fixture
def ada(tenant: Tenant) -> ActingContext:
    return acting(tenant, make_principal(tenant, "ada", roles=["tenant_admin"]))


@pytest.fixture
def ben(tenant: Tenant) -> ActingContext:
    return acting(tenant, make_principal(tenant, "ben", roles=["tenant_admin"]))


def require(ctx: ActingContext) -> FourEyesRule:
    with unit_of_work(ctx.tenant_id):
        return turn_on_four_eyes(POLICY_FOUR_EYES, ctx=ctx)


def end(ctx: ActingContext) -> FourEyesRule:
    with unit_of_work(ctx.tenant_id):
        return end_four_eyes(POLICY_FOUR_EYES, ctx=ctx)


def is_required(tenant: Tenant) -> bool:
    with unit_of_work(tenant.id):
        return is_four_eyes_required(tenant.id, POLICY_FOUR_EYES)


def test_four_eyes_is_off_by_default(tenant: Tenant, other_tenant: Tenant, ada: ActingContext) -> None:
    assert not is_required(tenant)
    require(ada)
    assert is_required(tenant)
    assert not is_required(other_tenant)
    body = last_body(tenant)
    assert (body["kind"], body["inputs"], body["outcome"]) == (
        "four_eyes.required", {"rule": "policy_four_eyes"}, {"is_required": True},
    )  # fmt: skip
    before = kinds(tenant)
    require(ada)
    assert kinds(tenant) == before


def test_two_people_turn_it_off(tenant: Tenant, ada: ActingContext, ben: ActingContext) -> None:
    require(ada)
    assert end(ada).is_required
    with pytest.raises(errors.SecondPersonRequired):
        end(ada)
    assert is_required(tenant)
    assert not end(ben).is_required
    assert not is_required(tenant)
    assert kinds(tenant)[-3:] == ["four_eyes.required", "four_eyes.end_asked", "four_eyes.ended"]


def test_request_to_turn_it_off_may_be_declined(tenant: Tenant, ada: ActingContext, ben: ActingContext) -> None:
    require(ada)
    end(ada)
    require(ben)
    assert end(ben).end_asked_by == ben.principal_id
    assert is_required(tenant)


def test_expired_request_must_be_made_again(tenant: Tenant, ada: ActingContext, ben: ActingContext) -> None:
    require(ada)
    end(ada)
    with unit_of_work(tenant.id):
        rule = FourEyesRule.objects.get()
        assert rule.end_asked_at is not None
        rule.end_asked_at -= timedelta(days=7, seconds=1)
        rule.save()
    assert end(ben).end_asked_by == ben.principal_id
    assert is_required(tenant)


def test_only_people_with_every_scope_turn_it_off(tenant: Tenant, ada: ActingContext) -> None:
    require(ada)
    robot = acting(tenant, make_principal(tenant, "robot", kind="service", roles=["tenant_admin"]))
    agent = acting(tenant, make_principal(tenant, "agent", kind="agent", roles=["tenant_admin"]))
    publisher = acting(tenant, make_principal(tenant, "pia", roles=["policy_publisher", "policy_author"]))
    before = kinds(tenant)
    for ctx in (robot, agent, acting_system(tenant)):
        with pytest.raises(errors.PersonRequired):
            end(ctx)
    for operation in (end, require):
        with pytest.raises(errors.PermissionDenied):
            operation(publisher)
    assert (is_required(tenant), kinds(tenant)) == (True, before)


def test_requester_is_stored_in_the_database(tenant: Tenant, ada: ActingContext) -> None:
    with unit_of_work(tenant.id):
        turn_on_four_eyes(POLICY_FOUR_EYES, ctx=ada)
        with pytest.raises(IntegrityError, match="foureyesrule_asked_by_somebody"), transaction.atomic():
            FourEyesRule.objects.update(end_asked_by=ada.principal_id)
        FourEyesRule.objects.update(end_asked_by=ada.principal_id, end_asked_at="2026-01-31T12:00:00Z")
        with pytest.raises(IntegrityError, match="foureyesrule_asked_by_somebody"), transaction.atomic():
            FourEyesRule.objects.update(is_required=False)


def test_by_command(manage: Manage, tenant: Tenant) -> None:
    assert manage("four_eyes", "show", "--tenant", "acme") == Said(0, "policy_four_eyes: off\n", "")
    assert manage("four_eyes", "require", "--tenant", "acme") == Said(0, "policy_four_eyes: on\n", "")
    refused = manage("four_eyes", "end", "--tenant", "acme")
    assert (refused.status, refused.out) == (1, "")
    assert "Two people must end this" in refused.err
    assert manage("four_eyes", "show", "--tenant", "acme") == Said(0, "policy_four_eyes: on\n", "")


def test_through_the_api(tenant: Tenant) -> None:
    ada, ben = (
        Api(make_token(tenant, make_principal(tenant, name, roles=["tenant_admin"]))) for name in ("ada", "ben")
    )
    off = {"policy_four_eyes": False, "changed_at": None, "end_asked_by": None, "end_asked_at": None}
    off |= {"freeze_four_eyes": False, "freeze_end_asked_by": None}
    off |= {"legal_hold_four_eyes": True, "legal_hold_end_asked_by": None}
    off |= {"identity_four_eyes": True, "identity_end_asked_by": None}  # two stewards
    assert ada.get("/four-eyes").json() == off
    assert ada.post("/four-eyes", {"policy_four_eyes": True}).json()["policy_four_eyes"] is True
    asked = ada.post("/four-eyes", {"policy_four_eyes": False}).json()
    assert (asked["policy_four_eyes"], asked["end_asked_by"]) == (True, ada.get("/me").json()["principal_id"])
    again = ada.post("/four-eyes", {"policy_four_eyes": False})
    assert (again.status_code, again.json()["reason_code"]) == (403, "second_person_required")
    ended = ben.post("/four-eyes", {"policy_four_eyes": False}).json()
    assert (ended["policy_four_eyes"], ended["end_asked_by"]) == (False, None)
    both = ada.post("/four-eyes", {"freeze_four_eyes": True}).json()
    assert (both["policy_four_eyes"], both["freeze_four_eyes"]) == (False, True)
    asked = ben.post("/four-eyes", {"freeze_four_eyes": False}).json()
    assert (asked["freeze_four_eyes"], asked["freeze_end_asked_by"]) == (True, ben.get("/me").json()["principal_id"])
    assert ada.post("/four-eyes", {"freeze_four_eyes": False}).json()["freeze_four_eyes"] is False
    assert ada.post("/four-eyes", {}).status_code == 422
