"""No sequence of moves of one human satisfies a rule that requires two.

Mallory is a member, often a steward, and uses everybody she controls: accounts that she invited, services and agents
with tokens that she issued, and whomever she can take over. Nobody else does anything, so nothing that needs two people
may ever happen. The examples are random; the adversarial lane takes `THREADA_MODEL_EXAMPLES` of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution
from policies.configuration.overlays import remove_overlay
from policies.configuration.workflows import upsert_workflow
from policies.documents.workflow import parse_workflow
from policies.drafts.edit import draft_policy_version
from policies.lifecycle import EmergencyStatus
from policies.models import EmergencyPublication, Overlay, Policy, PolicyVersion, Workflow
from policies.publication.emergencies import confirm_emergency
from policies.publication.publish import publish_policy_version, upsert_policy
from tests.examples import CHOSEN, FEW
from tests.factories import PASSWORD, acting, acting_system
from tests.policies.emergencies import alone
from tests.workitems.office import WORKFLOW, Office, open_office
from threada_site.api.refusals import result_or_refusal
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.account_links import show_link, unused_link
from threada_site.identity.admission import add_principal
from threada_site.identity.change_sets.publish import publish
from threada_site.identity.credentials import issue_credential
from threada_site.identity.dependence import confirm_account
from threada_site.identity.four_eyes import end_four_eyes, turn_on_four_eyes
from threada_site.identity.grants.role_grants import grant_role, withdraw_role
from threada_site.identity.groups import define_group
from threada_site.identity.invitations import accept_invitation
from threada_site.identity.owners import set_owner
from threada_site.identity.passwords import reset_password, set_password, start_reset
from threada_site.identity.principals import remove_member
from threada_site.identity.roles import define_role
from threada_site.kernel import clock, errors
from threada_site.kernel.context import (
    ALL_SCOPES,
    ActingContext,
    Authentication,
    AuthenticationMethod,
    EntryPoint,
    PrincipalKind,
    Scope,
)
from threada_site.tenancy.account_link_models import LinkPurpose
from threada_site.tenancy.authority_models import ChangeSet, ChangeSetStatus
from threada_site.tenancy.change_sets import store_proposal
from threada_site.tenancy.four_eyes import FOUR_EYES, POLICY_FOUR_EYES, is_four_eyes_required
from threada_site.tenancy.models import Membership, Tenant, User
from workitems.executions.amend_input import Amendment, amend_input
from workitems.executions.request_action import ActionRequest, execute_action
from workitems.items.intake import IntakeRequest, create_work_item
from workitems.items.locks import locked_item, locked_step
from workitems.lifecycle import StepKind, StepStatus
from workitems.models import DecisionStep, Delegation, LegalHold
from workitems.retention.legal_holds import LegalHoldRequest, lift_legal_hold, set_legal_hold
from workitems.steps.claims import claim_step
from workitems.steps.delegations import OutOfOffice, confirm_delegation, consent_to_delegation, delegate
from workitems.steps.escalation import escalate_step
from workitems.steps.policy.decision import take_intake_decision
from workitems.steps.reassignment import reassign_step
from workitems.steps.voting import Ballot, cast_vote

pytestmark = pytest.mark.django_db

EXAMPLES = 5 if CHOSEN == "few" else int(os.environ.get("THREADA_MODEL_EXAMPLES", "15"))
ROLES = ("finance", "tenant_admin", "approver", "requester")
RUN = (
    ExecutionStatus.STARTED,
    ExecutionStatus.RUNNING,
    ExecutionStatus.SUCCEEDED,
    ExecutionStatus.OUTCOME_UNKNOWN,
)
LENIENT = {"rules": [{"id": "all", "when": "true", "effect": "allow", "reason": "FINE"}]}
HONEST = ("rita", "fay", "finn", "hanna")


@dataclass
class Mallory:
    """One human with everybody she controls, in the tenant of `office`. `controlled` begins with herself."""

    office: Office
    controlled: list[User]
    invented: int = 0
    refused: dict[str, int] = field(default_factory=dict)

    @property
    def tenant(self) -> Tenant:
        return self.office.tenant

    def ctx(self, number: int) -> ActingContext:
        """Return the context of somebody whom Mallory controls: a session of people, a token of others."""
        who = self.controlled[number % len(self.controlled)]
        ctx = acting(self.tenant, who, entry_point=EntryPoint.CONSOLE)
        now = clock.now()
        if who.kind != PrincipalKind.HUMAN:
            issued = Authentication(method=AuthenticationMethod.ISSUED_TOKEN, issued_by=self.controlled[0].id)
            return replace(ctx, entry_point=EntryPoint.API, authentication=issued)
        session = Authentication(method=AuthenticationMethod.SESSION, at=now, factors=("password",))
        return replace(ctx, authentication=session, reauthenticated_at=now)

    def attempt(self, ctx: ActingContext, work: Callable[[], Any], *, needs: Scope | None = None) -> Any:
        """Return the result of `work`, or None if it is refused. Store what needs a second person, as requests do.

        `needs` is the scope that entry points require.
        """
        if needs is not None and not ctx.has_scope_anywhere(needs):
            return None
        with unit_of_work(self.tenant.id):
            belongs = Membership.objects.filter(user_id=ctx.principal_id, accepted_at__isnull=False).exists()
        if not belongs:
            return None
        done = result_or_refusal(work, inside=unit_of_work(self.tenant.id, actor=ctx), raises_failures=True)
        if isinstance(done, errors.ConfirmationRequired):
            with unit_of_work(self.tenant.id):
                store_proposal(done, ctx=ctx)
        if isinstance(done, errors.ThreadaError):
            self.refused[done.reason_code] = self.refused.get(done.reason_code, 0) + 1
            return None
        return done

    def members(self) -> list[User]:
        with unit_of_work(self.tenant.id):
            return list(User.objects.filter(memberships__tenant_id=self.tenant.id).order_by("created_at", "id"))

    def control(self, who: User) -> None:
        if who.id not in {one.id for one in self.controlled}:
            self.controlled.append(who)

    # Moves. Each takes the number of the actor and two further numbers.

    def invite(self, actor: int, pick: int, other: int) -> None:
        """Invite a person with a role and accept the invitation in the person's place."""
        self.invented += 1
        ctx, name = self.ctx(actor), f"puppet-{self.invented}"

        def add() -> tuple[User, str]:
            person = add_principal(name, kind=PrincipalKind.HUMAN, roles=[ROLES[pick % len(ROLES)]], ctx=ctx).row
            link = unused_link(person, LinkPurpose.INVITATION, tenant_id=self.tenant.id)
            assert link is not None
            return person, show_link(link, ctx=ctx)

        added = self.attempt(ctx, add)
        if added is None:
            return
        person, token = added
        with unit_of_work(self.tenant.id):
            by_link = replace(
                acting(self.tenant, person),
                scopes=frozenset(),
                authentication=Authentication(method=AuthenticationMethod.LINK),
            )
            accept_invitation(token, password=PASSWORD, ctx=by_link)
        self.control(User.objects.get(id=person.id))

    def add_machine(self, actor: int, pick: int, other: int) -> None:
        """Add a service or agent, owned by somebody, and issue its token."""
        self.invented += 1
        ctx, name = self.ctx(actor), f"machine-{self.invented}"
        kind = (PrincipalKind.SERVICE, PrincipalKind.AGENT)[pick % 2]
        owner = self.controlled[other % len(self.controlled)].username if other % 3 else ""
        machine = self.attempt(
            ctx, lambda: add_principal(name, kind=kind, roles=[ROLES[other % len(ROLES)]], owner=owner, ctx=ctx).row
        )
        if machine is not None and self._issue(ctx, machine):
            self.control(machine)

    def take_over_by_token(self, actor: int, pick: int, other: int) -> None:
        """Issue a token of any member; with it Mallory would be the member."""
        target = self._any(pick)
        if self._issue(self.ctx(actor), target):
            self.control(target)

    def take_over_by_reset(self, actor: int, pick: int, other: int) -> None:
        """Reset the password of any member; with the link Mallory would be the member."""
        ctx, target = self.ctx(actor), self._any(pick)

        def reset() -> bool:
            token = show_link(start_reset(target, ctx=ctx), ctx=ctx)
            reset_password(token, PASSWORD + " again", ctx=replace(acting(self.tenant, target), scopes=frozenset()))
            return True

        if self.attempt(ctx, reset):
            self.control(target)

    def take_over_by_password(self, actor: int, pick: int, other: int) -> None:
        """Set the password of any member."""
        ctx, target = self.ctx(actor), self._any(pick)
        if target.id == ctx.principal_id:
            return
        if self.attempt(ctx, lambda: set_password(target, PASSWORD, current=PASSWORD, ctx=ctx) or True):
            self.control(target)

    def grant(self, actor: int, pick: int, other: int) -> None:
        ctx = self.ctx(actor)
        self.attempt(ctx, lambda: grant_role(self._any(pick), ROLES[other % len(ROLES)], ctx=ctx))

    def withdraw(self, actor: int, pick: int, other: int) -> None:
        ctx = self.ctx(actor)
        self.attempt(ctx, lambda: withdraw_role(self._any(pick), ROLES[other % len(ROLES)], ctx=ctx))

    def widen_role(self, actor: int, pick: int, other: int) -> None:
        ctx = self.ctx(actor)
        self.attempt(ctx, lambda: define_role(ROLES[pick % len(ROLES)], ALL_SCOPES, ctx=ctx))

    def regroup(self, actor: int, pick: int, other: int) -> None:
        ctx = self.ctx(actor)
        self.attempt(ctx, lambda: define_group("board", [one.username for one in self.controlled], ctx=ctx))

    def change_owner(self, actor: int, pick: int, other: int) -> None:
        ctx = self.ctx(actor)
        self.attempt(ctx, lambda: set_owner(self._any(pick), self._any(other).username, ctx=ctx))

    def remove(self, actor: int, pick: int, other: int) -> None:
        ctx = self.ctx(actor)
        self.attempt(ctx, lambda: remove_member(self._any(pick), ctx=ctx))

    def confirm(self, actor: int, pick: int, other: int) -> None:
        ctx = self.ctx(actor)
        self.attempt(ctx, lambda: confirm_account(self._any(pick), ctx=ctx))

    def publish(self, actor: int, pick: int, other: int) -> None:
        """Publish a change set, by its digest."""
        ctx = self.ctx(actor)
        with unit_of_work(self.tenant.id):
            waiting = list(ChangeSet.objects.filter(status=ChangeSetStatus.PROPOSED).order_by("id"))
        if waiting:
            chosen = waiting[pick % len(waiting)]
            self.attempt(ctx, lambda: publish(chosen, chosen.digest, ctx=ctx))

    def end_rule(self, actor: int, pick: int, other: int) -> None:
        ctx = self.ctx(actor)
        self.attempt(ctx, lambda: end_four_eyes(FOUR_EYES[pick % len(FOUR_EYES)], ctx=ctx))

    def soften_policy(self, actor: int, pick: int, other: int) -> None:
        """Write a policy that allows everything, and publish it."""
        ctx = self.ctx(actor)
        self.attempt(ctx, lambda: upsert_policy("rules", LENIENT, ctx=ctx), needs=Scope.POLICIES_WRITE)
        with unit_of_work(self.tenant.id):
            draft = PolicyVersion.objects.filter(policy__slug="rules", status="draft").order_by("-id").first()
        publisher = self.ctx(other)
        if draft is not None:
            self.attempt(publisher, lambda: publish_policy_version(draft, ctx=publisher), needs=Scope.POLICIES_PUBLISH)

    def unbind_policy(self, actor: int, pick: int, other: int) -> None:
        ctx = self.ctx(actor)

        def remove() -> None:
            remove_overlay(Overlay.objects.get(policy__slug="rules"), ctx=ctx)

        self.attempt(ctx, remove, needs=Scope.POLICIES_PUBLISH)

    def change_workflow(self, actor: int, pick: int, other: int) -> None:
        ctx = self.ctx(actor)
        changed = {**WORKFLOW, "actions": ["pay"]}

        def change() -> None:
            upsert_workflow("payments", parse_workflow(changed), ctx=ctx)

        self.attempt(ctx, change, needs=Scope.WORKFLOW_MANAGE)

    def confirm_break_glass(self, actor: int, pick: int, other: int) -> None:
        """Confirm the emergency publication of Mallory's."""
        ctx = self.ctx(actor)
        with unit_of_work(self.tenant.id):
            emergency = EmergencyPublication.objects.get()
        self.attempt(ctx, lambda: confirm_emergency(emergency, ctx=ctx), needs=Scope.POLICIES_PUBLISH)

    def lift_hold(self, actor: int, pick: int, other: int) -> None:
        ctx = self.ctx(actor)
        with unit_of_work(self.tenant.id):
            hold = LegalHold.objects.get()
        self.attempt(ctx, lambda: lift_legal_hold(hold.id, reason="No longer needed.", ctx=ctx))

    def stand_in(self, actor: int, pick: int, other: int) -> None:
        """Delegate the seat of any member to any other."""
        ctx = self.ctx(actor)
        out_of_office = OutOfOffice(
            delegator=self._any(pick), delegate=self._any(other), ends_at=clock.now() + timedelta(days=2)
        )
        row = self.attempt(ctx, lambda: delegate(out_of_office, ctx=ctx))
        for operation in (consent_to_delegation, confirm_delegation):
            agreeing = self.ctx(other)
            if row is not None:
                self.attempt(agreeing, lambda: operation(self._locked_delegation(row), ctx=agreeing))  # noqa: B023

    def request(self, actor: int, pick: int, other: int) -> None:
        """Create a payment that needs two approvals, and ask for its execution."""
        ctx = self.ctx(actor)
        intake = IntakeRequest(workflow="payments", channel="web", payload={"amount": 500})
        item = self.attempt(ctx, lambda: create_work_item(intake, ctx=ctx))
        if item is None:
            return
        with unit_of_work(self.tenant.id):
            system = acting_system(self.tenant)
            take_intake_decision(locked_item(item.id, ctx=system), ctx=system)
        asked = ActionRequest(integration="bank", action="pay")
        self.attempt(ctx, lambda: execute_action(locked_item(item.id, ctx=ctx), asked, ctx=ctx))

    def vote(self, actor: int, pick: int, other: int) -> None:
        def cast(ctx: ActingContext, step: DecisionStep) -> None:
            item, locked = locked_step(step.id, ctx=ctx)
            cast_vote(item, locked, Ballot(envelope_sha256=step.envelope_sha256, decision="approve"), ctx=ctx)

        self._on_step(actor, pick, cast)

    def vote_with_all(self, actor: int, pick: int, other: int) -> None:
        for number in range(len(self.controlled)):
            self.vote(number, pick, other)

    def try_everything(self) -> None:
        """Let everybody controlled confirm each other's accounts, publish every change set and vote on every step."""
        with unit_of_work(self.tenant.id):
            steps = DecisionStep.objects.filter(status=StepStatus.PENDING).count()
            waiting = ChangeSet.objects.filter(status=ChangeSetStatus.PROPOSED).count()
        for actor, who in enumerate(list(self.controlled)):
            if who.kind == PrincipalKind.HUMAN:
                self.confirm_break_glass(actor, 0, 0)
                ctx = self.ctx(actor)
                for account in self.controlled[1:]:
                    self.attempt(ctx, lambda: confirm_account(account, ctx=ctx))  # noqa: B023
                for pick in range(waiting):
                    self.publish(actor, pick, 0)
        for pick in range(steps):
            self.vote_with_all(0, pick, 0)

    def claim(self, actor: int, pick: int, other: int) -> None:
        self._on_step(actor, pick, lambda ctx, step: claim_step(*locked_step(step.id, ctx=ctx), ctx=ctx))

    def reassign(self, actor: int, pick: int, other: int) -> None:
        to = self._any(other)
        self._on_step(actor, pick, lambda ctx, step: reassign_step(*locked_step(step.id, ctx=ctx), to, ctx=ctx))

    def escalate(self, actor: int, pick: int, other: int) -> None:
        self._on_step(actor, pick, lambda ctx, step: escalate_step(*locked_step(step.id, ctx=ctx), ctx=ctx))

    def amend(self, actor: int, pick: int, other: int) -> None:
        def change(ctx: ActingContext, step: DecisionStep) -> None:
            item, locked = locked_step(step.id, ctx=ctx)
            amendment = Amendment(envelope_sha256=step.envelope_sha256, payload={"amount": 300 + other})
            amend_input(item, locked, amendment, ctx=ctx)

        self._on_step(actor, pick, change)

    def _on_step(self, actor: int, pick: int, operation: Callable[[ActingContext, DecisionStep], None]) -> None:
        ctx = self.ctx(actor)
        with unit_of_work(self.tenant.id):
            steps = list(DecisionStep.objects.filter(status=StepStatus.PENDING).order_by("id"))
        if steps:
            self.attempt(ctx, lambda: operation(ctx, steps[pick % len(steps)]))

    def _issue(self, ctx: ActingContext, target: User) -> bool:
        issued = self.attempt(
            ctx,
            lambda: issue_credential(
                principal=target, scopes=["workitems:read"], label="t", expires_in=timedelta(days=1), ctx=ctx
            ),
        )
        return issued is not None

    def _any(self, number: int) -> User:
        members = self.members()
        return members[number % len(members)]

    def _locked_delegation(self, row: Delegation) -> Delegation:
        return Delegation.objects.select_for_update().get(id=row.id)


MOVES = sorted(
    name
    for name, value in vars(Mallory).items()
    if callable(value)
    and not name.startswith("_")
    and name not in ("ctx", "attempt", "members", "control", "try_everything")
)
SMALL = st.integers(min_value=0, max_value=11)
FINANCE, STEWARD = ROLES.index("finance"), ROLES.index("tenant_admin")
OPENINGS: list[list[tuple[str, int, int, int]]] = [
    [],
    [("invite", 0, FINANCE, 0), ("invite", 0, FINANCE, 0)],
    [("invite", 0, STEWARD, 0), ("invite", 1, FINANCE, 0), ("invite", 0, FINANCE, 0)],
    [("invite", 0, STEWARD, 0), ("invite", 1, STEWARD, 0), ("invite", 2, FINANCE, 0), ("invite", 0, FINANCE, 0)],
    [("grant", 0, pick, FINANCE) for pick in range(8)],
    [("add_machine", 0, 0, STEWARD), ("invite", 1, FINANCE, 0), ("invite", 0, FINANCE, 0)],
]
RULES_CHANGED = [(name, 0, 0, 0) for name in ("soften_policy", "unbind_policy", "change_workflow", "end_rule")]
MALLORYS_ROLES: st.SearchStrategy[tuple[str, ...]] = st.sampled_from(
    [("tenant_admin",), ("tenant_admin", "finance"), ("tenant_admin", "approver"), ("finance",), ()]
)
SEQUENCES = st.tuples(
    st.sampled_from(OPENINGS), st.lists(st.tuples(st.sampled_from(MOVES), SMALL, SMALL, SMALL), max_size=20)
).map(lambda parts: [*parts[0], *parts[1]])


@pytest.fixture
def office(tenant: Tenant, settings: Any) -> Office:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    office = open_office(tenant)
    office.join("hanna", roles=("viewer",))
    office.join("mallory", roles=("requester",))
    return office


@contextmanager
def world(office: Office, *, roles: tuple[str, ...], has_second_steward: bool) -> Iterator[Mallory]:
    """Open a world that is undone at the end: a payment of Rita's awaits two approvals, and a legal hold is in force."""
    with transaction.atomic():
        system = acting_system(office.tenant, EntryPoint.COMMAND)
        with unit_of_work(office.tenant.id):
            for name, role in (
                *(("mallory", role) for role in roles),
                *([("hanna", "tenant_admin")] if has_second_steward else []),
            ):
                grant_role(office.people[name], role, ctx=system)
            withdraw_role(office.people["ada"], "tenant_admin", ctx=system)
            set_legal_hold(LegalHoldRequest(reason="The court asked for it.", workflow="payments"), ctx=system)
            LegalHold.objects.update(set_by=office.people["hanna"].id)
            turn_on_four_eyes(POLICY_FOUR_EYES, ctx=system)
        office.awaiting()
        mallory = Mallory(office, [office.people["mallory"]])
        with unit_of_work(office.tenant.id):
            draft = draft_policy_version("drill", LENIENT, ctx=mallory.ctx(0)).row
            alone(draft, mallory.ctx(0))
        yield mallory
        transaction.set_rollback(True)


def what_two_decided(office: Office) -> list[str]:
    """Return what happened that needs two people."""
    found = []
    with unit_of_work(office.tenant.id):
        if DecisionStep.objects.filter(kind=StepKind.APPROVAL, status=StepStatus.APPROVED).exists():
            found.append("a step that asks two people was approved")
        if Execution.objects.filter(status__in=RUN).exists():
            found.append("an execution that needs two approvals left the queue of approvals")
        if ChangeSet.objects.filter(status=ChangeSetStatus.PUBLISHED).exists():
            found.append("a change set was published")
        if LegalHold.objects.exclude(lifted_at=None).exists():
            found.append("a legal hold was lifted")
        if EmergencyPublication.objects.filter(status=EmergencyStatus.CONFIRMED).exists():
            found.append("an emergency publication was confirmed")
        if not is_four_eyes_required(office.tenant.id, POLICY_FOUR_EYES):
            found.append("policy_four_eyes ended")
    return found


def rules_in_force(office: Office) -> Any:
    """Return the rules in force that `policy_four_eyes` protects."""
    with unit_of_work(office.tenant.id):
        return (
            sorted(Policy.objects.values_list("slug", "in_force_id")),
            sorted(Overlay.objects.values_list("policy__slug", "scope_kind", "scope_slug")),
            sorted(Workflow.objects.values_list("slug", "current_version_id")),
        )


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate] if EXAMPLES > FEW else [Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(moves=SEQUENCES, roles=MALLORYS_ROLES, has_second_steward=st.booleans())
@example(moves=OPENINGS[1], roles=("tenant_admin",), has_second_steward=False)
@example(moves=OPENINGS[2], roles=("tenant_admin", "finance"), has_second_steward=False)
@example(moves=OPENINGS[5], roles=("tenant_admin",), has_second_steward=False)
@example(moves=OPENINGS[1], roles=("tenant_admin", "finance"), has_second_steward=True)
@example(moves=RULES_CHANGED, roles=("tenant_admin",), has_second_steward=False)
@example(moves=RULES_CHANGED, roles=("tenant_admin",), has_second_steward=True)
@pytest.mark.timeout(36_000 if EXAMPLES > FEW else 300)
def test_one_human_never_satisfies_a_rule_for_two(
    office: Office, moves: list[tuple[str, int, int, int]], roles: tuple[str, ...], has_second_steward: bool
) -> None:
    with world(office, roles=roles, has_second_steward=has_second_steward) as mallory:
        before = rules_in_force(office)
        for name, actor, pick, other in moves:
            getattr(mallory, name)(actor, pick, other)
            mallory.controlled = [one for one in mallory.controlled if one.is_active]
        mallory.try_everything()
        honest = {office.people[name].id for name in HONEST}
        assert not honest & {one.id for one in mallory.controlled}, "Mallory took over an honest account"
        assert what_two_decided(office) == []
        assert rules_in_force(office) == before


def test_two_humans_do(office: Office) -> None:
    """Two independent people can decide in the same world, so the property above is not empty."""
    with world(office, roles=("tenant_admin",), has_second_steward=True) as mallory:
        mallory.grant(0, 0, 0)
        mallory.lift_hold(0, 0, 0)
        others = Mallory(office, [office.people["hanna"]])
        others.publish(0, 0, 0)
        others.publish(0, 0, 0)
        others.confirm_break_glass(0, 0, 0)
        for name in ("fay", "finn"):
            Mallory(office, [office.people[name]]).vote(0, 0, 0)
        assert what_two_decided(office) == [
            "a step that asks two people was approved",
            "an execution that needs two approvals left the queue of approvals",
            "a change set was published",
            "a legal hold was lifted",
            "an emergency publication was confirmed",
        ]


def test_each_move_is_possible_or_refused(office: Office) -> None:
    """No move of Mallory ends in an error of the instance."""
    for move in MOVES:
        with world(office, roles=("tenant_admin", "finance"), has_second_steward=False) as mallory:
            for pick in range(3):
                getattr(mallory, move)(0, pick, pick)
