"""Decisions of people of whom the tenant requires a second factor: which sessions and tokens they count from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from integrations import selectors as integration_selectors
from integrations.freezes.scope import FreezeScope
from integrations.tools.accepting import accept_tools
from policies.language.approvals import Leaf
from policies.models import EmergencyPublication, PolicyVersion
from policies.publication.emergencies import confirm_emergency
from telemetry.models import Receipt
from tests.client import Api
from tests.factories import make_token
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.access_reviews.reviews import start_review
from threada_site.identity.change_sets.permissions import waiting_for
from threada_site.identity.change_sets.propose import propose
from threada_site.identity.change_sets.publish import publish, reject
from threada_site.identity.credentials import issue_credential
from threada_site.identity.dependence import confirm_account
from threada_site.identity.factors.reset import reset_factors
from threada_site.identity.four_eyes import end_four_eyes, turn_on_four_eyes
from threada_site.identity.passwords import start_reset
from threada_site.identity.roles import set_role_require_mfa
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, Authentication, AuthenticationMethod
from threada_site.tenancy.change_sets import ProposedChange
from threada_site.tenancy.four_eyes import IDENTITY_FOUR_EYES, POLICY_FOUR_EYES
from threada_site.tenancy.models import Credential, Tenant, User
from workitems.approvers.can_vote import can_vote
from workitems.executions.freezes import lift_freeze, set_freeze
from workitems.executions.operator_actions import reconcile_execution
from workitems.items.locks import locked_execution, locked_step
from workitems.items.participants import had_no_part
from workitems.models import DecisionStep, Vote
from workitems.retention.legal_holds import LegalHoldRequest, lift_legal_hold, set_legal_hold
from workitems.retention.tenant_deletion import check_may_request, withdraw_deletion
from workitems.steps.delegations import OutOfOffice, confirm_delegation, consent_to_delegation, delegate, end_delegation
from workitems.steps.escalation import escalate_step
from workitems.steps.reassignment import reassign_step
from workitems.steps.voting import Ballot, cast_vote, check_may_decide

METHOD = AuthenticationMethod
OF_OPERATOR = Authentication(method=METHOD.OPERATOR_TOKEN)
WITH_FACTOR = Authentication(method=METHOD.SESSION, factors=("password", "totp"))
type Door = Callable[[Office, ActingContext, ActingContext], object]


@pytest.fixture
def covered(office: Office) -> Office:
    """Return the office after its tenant requires second factors."""
    require_mfa(office)
    return office


def require_mfa(office: Office) -> None:
    with unit_of_work(office.tenant.id):
        Tenant.objects.filter(id=office.tenant.id).update(require_mfa=True)


def personal_token(office: Office, name: str, *factors: str) -> str:
    """Return a token that `name` created in a session with `factors`."""
    session = Authentication(method=METHOD.SESSION, factors=factors)
    with unit_of_work(office.tenant.id):
        return issue_credential(
            principal=office.people[name],
            scopes=["decisions:decide", "workitems:read"],
            label="mine",
            expires_in=timedelta(days=1),
            ctx=replace(office.ctx(name), authentication=session),
        ).token


def vote_by(token: str, step: DecisionStep, *, batch: bool = False) -> Any:
    entry = {"decision_step_id": step.public_id, "envelope_sha256": step.envelope_sha256}
    if batch:
        return Api(token).post("/decision-steps/batch-votes", {"decision": "approve", "steps": [entry]})
    body = {"decision": "approve", "envelope_sha256": step.envelope_sha256}
    return Api(token).post(f"/decision-steps/{step.public_id}/votes", body)


def said(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("reason_code", "")


REFUSED = (403, "vote_authentication_required")


@pytest.mark.parametrize("batch", [False, True])
def test_tokens_of_somebody_else_or_of_a_session_without_a_factor_do_not_vote(covered: Office, batch: bool) -> None:
    _, step, _ = covered.awaiting()
    stolen = make_token(covered.tenant, covered.people["fay"])
    weak = personal_token(covered, "fay", "password")
    before = covered.count(Receipt)
    assert [said(vote_by(token, step, batch=batch)) for token in (stolen, weak)] == [REFUSED] * 2
    assert (covered.count(Vote), covered.step(step).status) == (0, "pending")
    kinds = set(Receipt.objects.order_by("-id").values_list("kind", flat=True)[: covered.count(Receipt) - before])
    assert kinds <= {"request.refused"}


def test_a_personal_token_of_a_session_with_a_factor_votes(covered: Office) -> None:
    _, step, _ = covered.awaiting()
    for name in ("fay", "finn"):
        answer = vote_by(personal_token(covered, name, "password", "totp"), step)
        assert (answer.status_code, answer.json()["counted"]) == (201, True)
    assert covered.step(step).status == "approved"
    issued = covered.bodies("credential.issued")[-1]["inputs"]
    assert issued["session_factors"] == ["password", "totp"]


def test_a_personal_token_from_before_factors_were_stored_does_not_vote(covered: Office) -> None:
    _, step, _ = covered.awaiting()
    token = personal_token(covered, "fay", "password", "totp")
    with unit_of_work(covered.tenant.id):
        Credential.objects.filter(user=covered.people["fay"]).update(session_factors=None)
    assert said(vote_by(token, step)) == REFUSED
    assert covered.count(Vote) == 0


def test_tokens_of_the_operator_vote_where_no_factor_is_required(office: Office) -> None:
    _, step, _ = office.awaiting()
    assert vote_by(make_token(office.tenant, office.people["fay"]), step).status_code == 201
    require_mfa(office)
    assert said(vote_by(make_token(office.tenant, office.people["finn"]), step)) == REFUSED
    with unit_of_work(office.tenant.id):
        for role in ("finance", "approver"):
            set_role_require_mfa(role, False, ctx=office.system)
    assert vote_by(make_token(office.tenant, office.people["finn"]), step).status_code == 201


def test_nothing_waits_for_a_token_whose_votes_do_not_count(covered: Office) -> None:
    with unit_of_work(covered.tenant.id):
        ctx = covered.ctx("fay")
        assert can_vote(replace(ctx, authentication=OF_OPERATOR)) is None
        assert can_vote(replace(ctx, authentication=WITH_FACTOR)) is not None
        assert can_vote(ctx) is not None  # nobody knows yet how fay will sign in


def with_step(operate: Callable[..., object]) -> Door:
    def door(office: Office, ctx: ActingContext, _strong: ActingContext) -> object:
        item, step = locked_step(DecisionStep.objects.get().id, ctx=office.system)
        return operate(item, step, ctx=ctx)

    return door


def _publish(office: Office, ctx: ActingContext, _strong: ActingContext) -> object:
    row = _proposed(office)
    assert bool(waiting_for(ctx)) is (ctx.authentication == WITH_FACTOR)
    return publish(row, row.digest, ctx=ctx)


def _proposed(office: Office) -> Any:
    change = ProposedChange(
        rule=IDENTITY_FOUR_EYES,
        operation="identity.set_role_require_mfa",
        title="Require",
        arguments={"role": "finance", "require_mfa": True},
        before={"finance": {"require_mfa": None}},
        after={"finance": {"require_mfa": True}},
    )
    return propose(change, ctx=office.system)


def _end_rule(office: Office, ctx: ActingContext, _strong: ActingContext) -> object:
    turn_on_four_eyes(POLICY_FOUR_EYES, ctx=office.system)
    return end_four_eyes(POLICY_FOUR_EYES, ctx=ctx)


def _lift_freeze(office: Office, ctx: ActingContext, _strong: ActingContext) -> object:
    stopped = set_freeze(FreezeScope(workflow="payments"), reason="stop", ctx=office.system)
    return lift_freeze(stopped.freeze.id, reason="go", ctx=ctx)


def _lift_hold(office: Office, ctx: ActingContext, strong: ActingContext) -> object:
    held = set_legal_hold(LegalHoldRequest(workflow="payments", reason="court"), ctx=strong)
    return lift_legal_hold(held.id, reason="over", ctx=ctx)


def _away(office: Office) -> OutOfOffice:
    return OutOfOffice(
        delegator=office.people["ada"], delegate=office.people["fay"], ends_at=clock.now() + timedelta(days=1)
    )


def _confirm_delegation(office: Office, ctx: ActingContext, _strong: ActingContext) -> None:
    away = OutOfOffice(
        delegator=office.people["finn"], delegate=office.people["fay"], ends_at=clock.now() + timedelta(days=1)
    )
    manager = replace(office.ctx("ada"), authentication=WITH_FACTOR)
    confirm_delegation(delegate(away, ctx=manager), ctx=ctx)


def _consent(office: Office, ctx: ActingContext, strong: ActingContext) -> None:
    row = delegate(_away(office), ctx=strong)
    consent_to_delegation(row, ctx=ctx)


def _end_delegation(office: Office, ctx: ActingContext, strong: ActingContext) -> None:
    end_delegation(delegate(_away(office), ctx=strong), ctx=ctx)


def _confirm_emergency(office: Office, ctx: ActingContext, _strong: ActingContext) -> object:
    version = PolicyVersion.objects.get()
    now = clock.now()
    row = EmergencyPublication.objects.create(
        tenant=office.tenant,
        policy_id=version.policy_id,
        version=version,
        reason="fire",
        status="open",
        published_by=office.people["wim"].id,
        takes_effect_at=now,
        document_sha256="0" * 64,
        ends_at=now + timedelta(hours=1),
    )
    return confirm_emergency(row, ctx=ctx)


def _reconcile(office: Office, ctx: ActingContext, _strong: ActingContext) -> None:
    execution = DecisionStep.objects.get().execution
    assert execution is not None
    item, locked = locked_execution(execution.id, ctx=office.system)
    assert had_no_part(item, locked, ctx=ctx) is (ctx.authentication == WITH_FACTOR)
    reconcile_execution(item, locked, succeeded=True, reason="seen", ctx=ctx)


def _accept_tools(office: Office, ctx: ActingContext, _strong: ActingContext) -> object:
    bank = integration_selectors.integration_by_slug("bank", ctx=office.system)
    assert bank is not None
    return accept_tools(bank, {}, ctx=ctx)


DOORS: dict[str, Door] = {
    "vote": with_step(
        lambda item, step, ctx: cast_vote(
            item, step, Ballot(decision="approve", envelope_sha256=step.envelope_sha256), ctx=ctx
        )
    ),
    "amendment": with_step(
        lambda item, step, ctx: check_may_decide(item, step, step.execution, step.envelope_sha256, ctx=ctx)
    ),
    "reassignment": with_step(
        lambda item, step, ctx: reassign_step(item, step, User.objects.get(username="finn"), ctx=ctx)
    ),
    "escalation": with_step(
        lambda item, step, ctx: escalate_step(item, step, to=Leaf("role", "tenant_admin"), ctx=ctx)
    ),
    "publication": _publish,
    "rejection": lambda office, ctx, _strong: reject(_proposed(office), "no", ctx=ctx),
    "end of a rule": _end_rule,
    "account": lambda office, ctx, _strong: confirm_account(office.people["wim"], ctx=ctx),
    "password": lambda office, ctx, _strong: start_reset(office.people["wim"], ctx=ctx),
    "factors": lambda office, ctx, _strong: reset_factors(office.people["wim"], ctx=ctx),
    "review": lambda office, ctx, _strong: start_review(ctx=ctx),
    "deletion": lambda office, ctx, _strong: check_may_request(office.tenant.slug, ctx=ctx),
    "withdrawn deletion": lambda office, ctx, _strong: withdraw_deletion(ctx=ctx),
    "freeze": _lift_freeze,
    "legal hold": _lift_hold,
    "delegation": lambda office, ctx, _strong: delegate(_away(office), ctx=ctx),
    "confirmed delegation": _confirm_delegation,
    "consent": _consent,
    "ended delegation": _end_delegation,
    "emergency": _confirm_emergency,
    "outcome": _reconcile,
    "tools": _accept_tools,
}


AFTERWARDS = {
    "escalation": "second_person_required",
    "password": "confirmation_required",
    "factors": "confirmation_required",
    "legal hold": "confirmation_required",
    "confirmed delegation": "second_person_required",
    "withdrawn deletion": "not_found",
    "outcome": "execution_not_reconcilable",
}
"""Refusals that come after the check of the authentication. The other doors let the person decide."""


@pytest.mark.parametrize("door", DOORS)
def test_no_decision_counts_from_a_token_that_the_operator_made(covered: Office, door: str) -> None:
    covered.awaiting()
    voter = "fay" if door in ("vote", "amendment") else "ada"
    strong = replace(covered.ctx(voter), authentication=WITH_FACTOR)
    with unit_of_work(covered.tenant.id), pytest.raises(errors.VoteAuthenticationRequired) as refused:
        DOORS[door](covered, replace(strong, authentication=OF_OPERATOR), strong)
    assert "requires a second factor of you" in refused.value.detail


@pytest.mark.parametrize("door", DOORS)
def test_every_decision_counts_from_a_session_with_a_factor(covered: Office, door: str) -> None:
    covered.awaiting()
    voter = "fay" if door in ("vote", "amendment") else "ada"
    strong = replace(covered.ctx(voter), authentication=WITH_FACTOR)
    answer = ""
    try:
        with unit_of_work(covered.tenant.id):
            DOORS[door](covered, strong, strong)
    except errors.ThreadaError as refusal:
        answer = refusal.reason_code
    assert answer == AFTERWARDS.get(door, "")
