"""End of a membership: sessions, tokens, links, change sets and exports end in one unit of work."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

import orjson
import pytest
from django.test import Client
from django.urls import reverse

from telemetry.models import Receipt, TelemetryExport
from tests.client import Api
from tests.factories import PASSWORD, acting, acting_system, make_principal, make_tenant, make_token
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.account_links import show_link
from threada_site.identity.change_sets.propose import propose
from threada_site.identity.departure.end import end_membership
from threada_site.identity.departure.outcome import Departure, DepartureReason
from threada_site.identity.departure.restore import restore_identity_links, restore_membership
from threada_site.identity.dependence import open_dependences
from threada_site.identity.factors.enrolled import factors_of
from threada_site.identity.factors.recovery_codes import make_recovery_codes, recovery_codes_left
from threada_site.identity.passwords import set_password
from threada_site.identity.principals import add_member, ensure_principal
from threada_site.identity.selectors import roles_of_member
from threada_site.kernel import clock, errors
from threada_site.kernel.context import EntryPoint, PrincipalKind
from threada_site.kernel.factors import Factor
from threada_site.tenancy.account_link_models import AccountLink
from threada_site.tenancy.change_sets import ProposedChange
from threada_site.tenancy.factor_models import EnrolledFactor
from threada_site.tenancy.models import ChangeSet, Credential, IdentityLink, IdentityProvider, Membership, Tenant, User


def depart(person: User, tenant: Tenant, reason: DepartureReason = DepartureReason.DEPROVISIONED) -> Departure:
    with unit_of_work(tenant.id):
        return end_membership(person, reason=reason, ctx=acting_system(tenant))


def restore(person: User, tenant: Tenant) -> None:
    with unit_of_work(tenant.id):
        restore_membership(person, source="scim", ctx=acting_system(tenant))


def bodies(tenant: Tenant, kind: str) -> list[dict[str, Any]]:
    with unit_of_work(tenant.id):
        return [orjson.loads(bytes(row.body)) for row in Receipt.objects.filter(kind=kind).order_by("id")]


def with_password(person: User, tenant: Tenant) -> User:
    with unit_of_work(tenant.id):
        set_password(person, PASSWORD, ctx=acting_system(tenant))
    return person


def signed_in(person: User, tenant: Tenant | None = None) -> Client:
    client = Client()
    client.force_login(person)
    if tenant is not None:
        client.post(reverse("admin:choose_tenant"), {"tenant": tenant.slug})
    return client


def may_enter(client: Client) -> bool:
    return client.get("/console/").status_code == 200


@pytest.fixture
def alice(tenant: Tenant) -> User:
    return with_password(make_principal(tenant, "alice", roles=["tenant_admin"]), tenant)


def link_at_provider(person: User, tenant: Tenant) -> IdentityLink:
    with unit_of_work(tenant.id):
        provider, _ = IdentityProvider.objects.get_or_create(tenant=tenant, slug="corp")
        return IdentityLink.objects.create(
            tenant=tenant, provider=provider, user=person, issuer="https://id.example.com", subject=person.username
        )


def test_everything_of_the_person_ends_and_one_receipt_lists_it(alice: User, tenant: Tenant) -> None:
    make_token(tenant, alice)
    browser = signed_in(alice)
    link = link_at_provider(alice, tenant)
    with unit_of_work(tenant.id):
        ctx = acting(tenant, alice)
        guest = ensure_principal("guest", kind=PrincipalKind.HUMAN, ctx=ctx)
        add_member(guest, ctx=ctx)
        invitation = AccountLink.objects.get()
        show_link(invitation, ctx=ctx)
        change_set = propose(ProposedChange(rule="x", operation="overlay.remove", title="z", arguments={}), ctx=ctx)
        export = TelemetryExport.objects.create(
            tenant=tenant, requested_by=alice.id, from_id=invitation.id, before_id=invitation.id
        )
    departure = depart(alice, tenant)
    assert departure.was_member
    assert departure.is_last
    assert len(departure.credentials) == 1
    assert len(departure.sessions) == 1
    assert departure.identity_links == (link.public_id,)
    assert departure.account_links == (invitation.public_id,)
    assert departure.change_sets == (change_set.public_id,)
    assert departure.exports == (export.public_id,)
    assert not may_enter(browser)
    with unit_of_work(tenant.id):
        assert not Membership.objects.filter(user=alice).exists()
        assert not Credential.objects.filter(user=alice, revoked_at=None).exists()
        assert ChangeSet.objects.get().status == "stale"
        assert IdentityLink.objects.get().ended_at is not None
    assert not User.objects.get(id=alice.id).has_usable_password()
    (receipt,) = bodies(tenant, "member.removed")
    assert receipt["inputs"] == {"principal": alice.public_id, "reason": "deprovisioned"}
    assert set(receipt["outcome"]) == {
        "revoked",
        "sessions",
        "identity_links",
        "account_links",
        "change_sets",
        "exports",
    }


@pytest.mark.parametrize("reason", [DepartureReason.LEFT, DepartureReason.ERASED])
def test_a_proposal_of_a_later_version_ends_too(alice: User, tenant: Tenant, reason: DepartureReason) -> None:
    """After a rollback, a change set names an operation that no module of this version registers."""
    with unit_of_work(tenant.id):
        change = ProposedChange(rule="x", operation="overlay.of_a_later_version", title="z", arguments={})
        change_set = propose(change, ctx=acting(tenant, alice))
    assert depart(alice, tenant, reason).change_sets == (change_set.public_id,)
    with unit_of_work(tenant.id):
        assert ChangeSet.objects.get().status == "stale"
        assert not Membership.objects.filter(user=alice).exists()
    assert len(bodies(tenant, "change_set.stale")) == 1


def test_it_is_idempotent(alice: User, tenant: Tenant) -> None:
    depart(alice, tenant)
    again = depart(alice, tenant)
    assert again == Departure(was_member=False, work=again.work)
    assert not any(again.work.values())
    assert len(bodies(tenant, "member.removed")) == 1


def test_tokens_that_the_person_issued_for_others_stay_and_are_named(alice: User, tenant: Tenant) -> None:
    bot = make_principal(tenant, "bot", kind="service")
    token = make_token(tenant, bot)
    with unit_of_work(tenant.id):
        Credential.objects.filter(user=bot).update(issued_by=alice.id)
        issued = Credential.objects.get(user=bot).public_id
    assert depart(alice, tenant).issued == (issued,)
    assert Api(token).get("/work-items").status_code == 200


def test_exchanged_tokens_are_not_among_those_that_the_person_may_know(alice: User, tenant: Tenant) -> None:
    bot = make_principal(tenant, "bot", kind="service")
    make_token(tenant, bot)
    with unit_of_work(tenant.id):
        Credential.objects.filter(user=bot).update(issued_by=alice.id, trusted_issuer_version_id=uuid4())
    assert depart(alice, tenant).issued == ()


def test_sessions_in_another_tenant_and_the_password_stay(alice: User, tenant: Tenant) -> None:
    other = make_tenant("globex")
    make_principal(other, "alice", roles=["viewer"])
    here, there, undecided = signed_in(alice, tenant), signed_in(alice, other), signed_in(alice)
    departure = depart(alice, tenant)
    assert not departure.is_last
    assert len(departure.sessions) == 2
    assert may_enter(there)
    assert not may_enter(here)
    assert not may_enter(undecided)
    assert User.objects.get(id=alice.id).has_usable_password()


def test_nothing_happens_to_a_person_of_another_tenant_only(alice: User, tenant: Tenant) -> None:
    other = make_tenant("globex")
    stranger = with_password(make_principal(other, "stranger", roles=["viewer"]), other)
    browser = signed_in(stranger, other)
    assert not depart(stranger, tenant).was_member
    assert may_enter(browser)
    assert User.objects.get(id=stranger.id).has_usable_password()


def test_who_returns_has_nothing_from_before(alice: User, tenant: Tenant) -> None:
    token = make_token(tenant, alice)
    browser = signed_in(alice)
    link = link_at_provider(alice, tenant)
    passkey = EnrolledFactor.objects.create(user=alice, kind=Factor.PASSKEY.value, label="key")
    make_recovery_codes(alice.id)
    depart(alice, tenant)
    restore(alice, tenant)
    restore(alice, tenant)
    assert Api(token).get("/work-items").status_code == 401
    assert not may_enter(browser)
    with unit_of_work(tenant.id):
        assert Membership.objects.get(user=alice).accepted_at is not None
        assert roles_of_member(alice, tenant_id=tenant.id) == []
        assert IdentityLink.objects.get().ended_at is not None
    assert (factors_of(alice.id), recovery_codes_left(alice.id)) == ([], 0)
    (removed,) = bodies(tenant, "member.removed")
    assert removed["outcome"]["second_factors"] == [passkey.public_id]
    assert removed["outcome"]["identity_links"] == [link.public_id]
    assert bodies(tenant, "member.added")[-1]["inputs"] == {
        "principal": alice.public_id,
        "returned": True,
        "source": "scim",
    }


def test_who_is_added_again_has_no_link_from_before(alice: User, tenant: Tenant) -> None:
    """As by the operator and by a steward, whose invitation the person accepts."""
    link_at_provider(alice, tenant)
    depart(alice, tenant)
    with unit_of_work(tenant.id):
        add_member(alice, ctx=acting_system(tenant))
        assert IdentityLink.objects.get().ended_at is not None


def test_a_steward_restores_links_after_a_step_up_and_the_person_depends_on_the_steward(
    alice: User, tenant: Tenant
) -> None:
    steward = make_principal(tenant, "sam", roles=["tenant_admin"])
    link = link_at_provider(alice, tenant)
    depart(alice, tenant)
    ctx = acting(tenant, steward)
    stepped_up = replace(ctx, reauthenticated_at=clock.now(), entry_point=EntryPoint.CONSOLE)
    with unit_of_work(tenant.id):
        with pytest.raises(errors.NotFound):
            restore_identity_links(alice, ctx=stepped_up)
        restore_membership(alice, source="scim", ctx=acting_system(tenant))
        with pytest.raises(errors.StepUpRequired):
            restore_identity_links(alice, ctx=ctx)
        assert [row.id for row in restore_identity_links(alice, ctx=stepped_up)] == [link.id]
        assert restore_identity_links(alice, ctx=stepped_up) == []
        assert IdentityLink.objects.get().ended_at is None
        assert [row.depends_on for row in open_dependences(alice.id, tenant_id=tenant.id)] == [steward]
        with pytest.raises(errors.Conflict):
            restore_identity_links(steward, ctx=stepped_up)
    assert len(bodies(tenant, "identity.link_restored")) == 1


def test_factors_stay_while_another_tenant_has_the_person(alice: User, tenant: Tenant) -> None:
    make_principal(make_tenant("globex"), "alice", roles=["viewer"])
    EnrolledFactor.objects.create(user=alice, kind=Factor.PASSKEY.value, label="key")
    assert depart(alice, tenant).second_factors == ()
    assert len(factors_of(alice.id)) == 1


def test_a_service_does_not_return(tenant: Tenant) -> None:
    bot = make_principal(tenant, "bot", kind="service")
    depart(bot, tenant)
    with pytest.raises(errors.Conflict):
        restore(bot, tenant)
