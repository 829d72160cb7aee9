"""Changes to people and their rights need a second, independent steward once there are two stewards."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from policies.models import Workflow
from tests.factories import acting, acting_system, make_principal
from tests.threada_site.identity.test_services import kinds
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.admission import add_principal
from threada_site.identity.four_eyes import end_four_eyes, turn_on_four_eyes
from threada_site.identity.grants.object_grants import set_object_scopes
from threada_site.identity.grants.role_grants import grant_role, set_roles, withdraw_role
from threada_site.identity.groups import define_group, remove_group
from threada_site.identity.owners import set_owner
from threada_site.identity.principals import add_member, ensure_principal, remove_member
from threada_site.identity.roles import define_role, remove_role
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ALL_SCOPES, ActingContext, PrincipalKind, Scope
from threada_site.tenancy.authority_models import AccountDependence, ChangeSet, DependenceReason
from threada_site.tenancy.change_sets import ProposedChange, operation_named
from threada_site.tenancy.four_eyes import IDENTITY_FOUR_EYES, is_four_eyes_required, stewards
from threada_site.tenancy.models import FourEyesRule, Membership, Tenant, User


def is_required(tenant: Tenant) -> bool:
    with unit_of_work(tenant.id), CaptureQueriesContext(connection) as statements:
        said = is_four_eyes_required(tenant.id, IDENTITY_FOUR_EYES)
    assert len(statements) == 1
    return said


def depends(tenant: Tenant, one: User, other: User) -> None:
    with unit_of_work(tenant.id):
        AccountDependence.objects.create(tenant=tenant, user=one, depends_on=other, reason=DependenceReason.INVITED)


@pytest.fixture
def ada(tenant: Tenant) -> User:
    return make_principal(tenant, "ada", roles=["tenant_admin"])


@pytest.fixture
def ben(tenant: Tenant) -> User:
    return make_principal(tenant, "ben", roles=["tenant_admin"])


@pytest.fixture
def cleo(tenant: Tenant) -> User:
    return make_principal(tenant, "cleo", roles=["approver"])


@pytest.fixture
def workflow(tenant: Tenant) -> Workflow:
    with unit_of_work(tenant.id):
        return Workflow.objects.create(id=ids.new_uuid(), tenant=tenant, slug="wf")


class TestDefault:
    def test_it_is_on_from_two_stewards_on(self, tenant: Tenant, other_tenant: Tenant, ada: User) -> None:
        assert not is_required(tenant)
        make_principal(tenant, "robot", kind="service", roles=["tenant_admin"])
        make_principal(tenant, "agent", kind="agent", roles=["tenant_admin"])
        make_principal(tenant, "pia", roles=["policy_publisher", "policy_author"])
        make_principal(other_tenant, "zoe", roles=["tenant_admin"])
        assert not is_required(tenant)
        ben = make_principal(tenant, "ben", roles=["tenant_admin"])
        assert is_required(tenant)
        with unit_of_work(tenant.id):
            assert set(stewards(tenant.id)) == {ada.id, ben.id}

    def test_a_steward_who_is_alone_cannot_turn_it_off_for_later(self, tenant: Tenant, ada: User) -> None:
        with unit_of_work(tenant.id):
            assert not end_four_eyes(IDENTITY_FOUR_EYES, ctx=acting(tenant, ada)).is_required
        make_principal(tenant, "ben", roles=["tenant_admin"])
        assert is_required(tenant)

    def test_an_invited_person_counts_after_acceptance(self, tenant: Tenant, ada: User, ben: User) -> None:
        with unit_of_work(tenant.id):
            Membership.objects.filter(user=ben).update(accepted_at=None)
        assert not is_required(tenant)

    def test_an_inactive_person_does_not_count(self, tenant: Tenant, ada: User, ben: User) -> None:
        User.objects.filter(id=ben.id).update(is_active=False)
        assert not is_required(tenant)

    def test_scopes_of_several_roles_add_up(self, tenant: Tenant, ada: User) -> None:
        most = ALL_SCOPES - {Scope.TELEMETRY_READ, Scope.POLICIES_WRITE}  # the latter is part of workflow:manage
        with unit_of_work(tenant.id):
            define_role("most", most, ctx=acting_system(tenant))
        ben = make_principal(tenant, "ben", roles=["most"])
        assert not is_required(tenant)
        with unit_of_work(tenant.id):
            grant_role(ben, "auditor", ctx=acting_system(tenant))
        assert is_required(tenant)

    @pytest.mark.parametrize("setting", [True, False])
    def test_a_row_wins(self, tenant: Tenant, ada: User, setting: bool) -> None:
        with unit_of_work(tenant.id):
            FourEyesRule.objects.create(tenant=tenant, slug=IDENTITY_FOUR_EYES, is_required=setting)
        assert is_required(tenant) == setting
        make_principal(tenant, "ben", roles=["tenant_admin"])
        assert is_required(tenant) == setting


type Change = Callable[[ActingContext], object]


@pytest.fixture
def changes(tenant: Tenant, ada: User, cleo: User, workflow: Workflow) -> dict[str, Change]:
    """Return every change that needs a second steward, by name, ready to be carried out."""
    bot = make_principal(tenant, "bot", kind="agent", roles=[])
    leaving = make_principal(tenant, "dora", roles=["viewer"])
    with unit_of_work(tenant.id):
        define_role("spare", frozenset({Scope.WORKITEMS_READ}), ctx=acting_system(tenant))
        define_group("old", ["cleo"], ctx=acting_system(tenant))
    return {
        "define a role": lambda ctx: define_role("clerk", frozenset({Scope.DECISIONS_DECIDE}), ctx=ctx),
        "widen a role": lambda ctx: define_role("approver", ALL_SCOPES, ctx=ctx),
        "remove a role": lambda ctx: remove_role("spare", ctx=ctx),
        "grant a role": lambda ctx: grant_role(cleo, "operator", ctx=ctx),
        "grant oneself a role": lambda ctx: grant_role(ada, "approver", ctx=ctx),
        "withdraw a role": lambda ctx: withdraw_role(cleo, "approver", ctx=ctx),
        "set roles": lambda ctx: set_roles(cleo, ["viewer", "auditor"], ctx=ctx),
        "define a group": lambda ctx: define_group("board", ["cleo"], ctx=ctx),
        "empty a group": lambda ctx: define_group("old", [], ctx=ctx),
        "rename a group": lambda ctx: define_group("old", ["cleo"], name="Board", ctx=ctx),
        "remove a group": lambda ctx: remove_group("old", ctx=ctx),
        "add a person": lambda ctx: add_principal("eve", kind=PrincipalKind.HUMAN, roles=["approver"], ctx=ctx),
        "add a service": lambda ctx: add_principal(
            "sync", kind=PrincipalKind.SERVICE, roles=["tenant_admin"], owner="cleo", ctx=ctx
        ),
        "add a member": lambda ctx: add_member(ensure_principal("fay", kind=PrincipalKind.HUMAN, ctx=ctx), ctx=ctx),
        "add roles to a member": lambda ctx: add_principal(
            "cleo", kind=PrincipalKind.HUMAN, roles=["tenant_admin"], ctx=ctx
        ),
        "remove a member": lambda ctx: remove_member(leaving, ctx=ctx),
        "set an owner": lambda ctx: set_owner(bot, "cleo", ctx=ctx),
        "grant on one object": lambda ctx: set_object_scopes(cleo, workflow, {Scope.DECISIONS_DECIDE}, ctx=ctx),
    }


NAMES = [
    "define a role", "widen a role", "remove a role", "grant a role", "grant oneself a role", "withdraw a role",
    "set roles", "define a group", "empty a group", "rename a group", "remove a group", "add a person",
    "add a service", "add a member", "add roles to a member", "remove a member", "set an owner", "grant on one object",
]  # fmt: skip


def proposed(tenant: Tenant, change: Change, ctx: ActingContext) -> ProposedChange:
    with pytest.raises(errors.ConfirmationRequired) as refusal, unit_of_work(tenant.id):
        change(ctx)
    found = refusal.value.change
    assert isinstance(found, ProposedChange)
    return found


class TestGate:
    @pytest.mark.parametrize("name", NAMES)
    def test_one_steward_changes_nothing_and_a_second_one_publishes(
        self, tenant: Tenant, changes: dict[str, Change], ada: User, ben: User, name: str
    ) -> None:
        before = kinds(tenant)
        change = proposed(tenant, changes[name], acting(tenant, ada))
        assert (change.rule, kinds(tenant)) == (IDENTITY_FOUR_EYES, before)
        assert change.before != change.after
        with unit_of_work(tenant.id):
            row = ChangeSet.objects.create(
                tenant=tenant,
                rule=change.rule,
                operation=change.operation,
                title=change.title,
                arguments=change.arguments,
                before=change.before,
                after=change.after,
                digest=change.digest,
                proposed_by=ada.id,
            )
            row.refresh_from_db()
        carry_out = getattr(operation_named(row.operation), "carry_out", operation_named(row.operation))
        publisher = acting(tenant, ben)
        again = proposed(
            tenant, lambda ctx: carry_out(row.arguments, ctx), dataclasses.replace(publisher, always_propose=True)
        )
        assert again.digest == row.digest
        with unit_of_work(tenant.id):
            carry_out(row.arguments, dataclasses.replace(publisher, change_set_id=row.id))
        assert len(kinds(tenant)) > len(before)
        if name == "add a member":
            return  # the account is created outside of the change
        with unit_of_work(tenant.id):
            written = kinds(tenant)
        with unit_of_work(tenant.id):
            try:
                changes[name](acting(tenant, ada))  # nothing is left to change
            except (errors.NotFound, errors.InvalidRequest):
                assert name.startswith("remove")
        assert kinds(tenant) == written

    @pytest.mark.parametrize("name", NAMES)
    def test_the_operator_is_exempt(
        self, tenant: Tenant, changes: dict[str, Change], ada: User, ben: User, name: str
    ) -> None:
        with unit_of_work(tenant.id):
            changes[name](acting_system(tenant))

    def test_a_single_steward_changes_alone(self, tenant: Tenant, changes: dict[str, Change], ada: User) -> None:
        with unit_of_work(tenant.id):
            changes["grant a role"](acting(tenant, ada))

    @pytest.mark.parametrize("kind", ["agent", "service"])
    def test_agents_and_services_with_every_scope_only_propose(
        self, tenant: Tenant, changes: dict[str, Change], ada: User, ben: User, kind: str
    ) -> None:
        robot = make_principal(tenant, "robot", kind=kind, roles=["tenant_admin"])
        proposed(tenant, changes["grant a role"], acting(tenant, robot))

    def test_permissions_come_first(self, tenant: Tenant, changes: dict[str, Change], cleo: User, ben: User) -> None:
        for change in changes.values():
            with pytest.raises(errors.PermissionDenied), unit_of_work(tenant.id):
                change(acting(tenant, cleo))

    def test_the_change_shows_what_it_grants(
        self, tenant: Tenant, changes: dict[str, Change], ada: User, ben: User
    ) -> None:
        grant = proposed(tenant, changes["grant a role"], acting(tenant, ada))
        approver = ["decisions:decide", "workitems:read"]
        assert grant.before == {"cleo": {"approver": approver}}
        assert set(grant.after["cleo"]) == {"approver", "operator"}
        added = proposed(tenant, changes["add a service"], acting(tenant, ada))
        assert added.before is None
        assert added.after["sync"]["owner"] == "cleo"
        assert added.after["sync"]["roles"] == {"tenant_admin": sorted(scope.value for scope in ALL_SCOPES)}
        widened = proposed(tenant, changes["widen a role"], acting(tenant, ada))
        assert widened.after["held by"] == {"principals": 1, "first": ["cleo"]}


class TestEnding:
    def ends(self, tenant: Tenant, user: User, slug: str = IDENTITY_FOUR_EYES) -> FourEyesRule:
        with unit_of_work(tenant.id):
            return end_four_eyes(slug, ctx=acting(tenant, user))

    def test_two_independent_stewards_turn_the_default_off(self, tenant: Tenant, ada: User, ben: User) -> None:
        assert self.ends(tenant, ada).is_required
        with pytest.raises(errors.SecondPersonRequired):
            self.ends(tenant, ada)
        assert is_required(tenant)
        assert not self.ends(tenant, ben).is_required
        assert not is_required(tenant)
        assert kinds(tenant)[-3:] == ["four_eyes.required", "four_eyes.end_asked", "four_eyes.ended"]

    @pytest.mark.parametrize("slug", ["policy_four_eyes", "freeze_four_eyes", "identity_four_eyes"])
    def test_a_second_account_of_the_same_person_does_not_end_a_rule(
        self, tenant: Tenant, ada: User, ben: User, slug: str
    ) -> None:
        with unit_of_work(tenant.id):
            turn_on_four_eyes(slug, ctx=acting(tenant, ada))
        depends(tenant, ben, ada)
        self.ends(tenant, ada, slug)
        with pytest.raises(errors.SecondPersonRequired, match="independent"):
            self.ends(tenant, ben, slug)
        with unit_of_work(tenant.id):
            assert is_four_eyes_required(tenant.id, slug)

    def test_two_accounts_of_a_third_person_do_not_end_a_rule(self, tenant: Tenant, ada: User, ben: User) -> None:
        cleo, dan = (make_principal(tenant, name, roles=["tenant_admin"]) for name in ("cleo", "dan"))
        depends(tenant, cleo, ada)
        depends(tenant, dan, cleo)
        depends(tenant, ben, ada)
        self.ends(tenant, dan)
        with pytest.raises(errors.SecondPersonRequired, match="independent"):
            self.ends(tenant, ben)
        with unit_of_work(tenant.id):
            AccountDependence.objects.filter(user=ben).update(ended_at=clock.now())
        assert not self.ends(tenant, ben).is_required
