"""Steps listed as waiting for a person are exactly those on which the person's vote is accepted now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from integrations.freezes.scope import FreezeScope
from policies.language.approvals import Leaf
from tests.workitems.office import ASKS_TWO, RULES, Office
from tests.workitems.steps.test_escalation import escalate_outside
from tests.workitems.steps.test_pending_approvers import stand_in, waiting_for
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.roles import define_role
from threada_site.kernel import clock, errors
from threada_site.kernel.context import Authentication, AuthenticationMethod, Scope
from threada_site.kernel.factors import Factor
from threada_site.tenancy.models import EnrolledFactor, GrantRecord, Membership, RoleScopeRecord
from workitems import selectors
from workitems.executions.freezes import set_freeze
from workitems.items.locks import locked_step
from workitems.models import DecisionStep
from workitems.steps.voting import Ballot, cast_vote

METHOD = AuthenticationMethod
SESSION = Authentication(method=METHOD.SESSION, factors=("password",))
type Case = Callable[[Office, DecisionStep], None]


class _Undo(Exception):
    """Rolls back an accepted vote."""


def accepts_vote(office: Office, step: DecisionStep, name: str, **options: Any) -> bool:
    """Return True if the vote of this person is accepted. The vote is rolled back."""
    ctx = replace(office.ctx(name), **options)
    try:
        with unit_of_work(office.tenant.id), transaction.atomic():
            item, locked = locked_step(step.id, ctx=office.system)
            cast_vote(item, locked, Ballot(decision="approve", envelope_sha256=step.envelope_sha256), ctx=ctx)
            raise _Undo
    except _Undo:
        return True
    except errors.ThreadaError:
        return False


def is_listed(office: Office, step: DecisionStep, name: str, **options: Any) -> bool:
    ctx = replace(office.ctx(name), **options)
    with unit_of_work(office.tenant.id):
        return selectors.steps_pending_for(ctx, selectors.decision_steps(ctx)).filter(id=step.id).exists()


def role_without_decide(office: Office, step: DecisionStep) -> None:
    """Let somebody hold the role that the rule asks for, but no role with `decisions:decide`."""
    with unit_of_work(office.tenant.id):
        define_role("finance", frozenset({Scope.WORKITEMS_READ}), ctx=office.system)
    office.join("lea", roles=("finance", "viewer"))


def late_decide(office: Office, step: DecisionStep) -> None:
    """Let everybody's scopes begin after the step, while their roles are confirmed."""
    with unit_of_work(office.tenant.id):
        RoleScopeRecord.objects.all().update(confirmed_at=None, effective_at=clock.now() + timedelta(seconds=1))


def late_role(office: Office, step: DecisionStep) -> None:
    with unit_of_work(office.tenant.id):
        mine = GrantRecord.objects.filter(user=office.people["fay"], kind="role")
        mine.update(confirmed_at=None, effective_at=clock.now() + timedelta(seconds=1))


def not_accepted(office: Office, step: DecisionStep) -> None:
    with unit_of_work(office.tenant.id):
        Membership.objects.filter(user=office.people["fay"]).update(accepted_at=None)


def dependent_on_requester(office: Office, step: DecisionStep) -> None:
    office.depend("fay", "rita")


def requester_depends(office: Office, step: DecisionStep) -> None:
    office.depend("rita", "finn")


def both_depend_on_one(office: Office, step: DecisionStep) -> None:
    office.depend("rita", "ada")
    office.depend("fred", "ada")
    office.depend("ada", "wim")


def dependent_on_a_vote(office: Office, step: DecisionStep) -> None:
    office.depend("fay", "finn")
    office.vote(step, "fay")


def delegate_of_the_dependent(office: Office, step: DecisionStep) -> None:
    stand_in(office, "vera", "fay")
    office.depend("fay", "rita")


def delegate_of_the_dependent_and_an_approver(office: Office, step: DecisionStep) -> None:
    stand_in(office, "finn", "fay")
    office.depend("fay", "rita")


def controller_stands_for_the_requester(office: Office, step: DecisionStep) -> None:
    office.depend("fay", "ada")
    stand_in(office, "ada", "rita")


def delegate_voted(office: Office, step: DecisionStep) -> None:
    stand_in(office, "vera", "fay")
    office.vote(step, "vera")


def delegator_voted(office: Office, step: DecisionStep) -> None:
    stand_in(office, "finn", "fay")
    office.vote(step, "fay")


def delegator_without_decide(office: Office, step: DecisionStep) -> None:
    with unit_of_work(office.tenant.id):
        define_role("cashier", frozenset({Scope.WORKITEMS_READ}), ctx=office.system)
    office.join("cleo", roles=("cashier",))
    stand_in(office, "vera", "cleo")
    escalate_outside(office, step, Leaf("role", "cashier"))


def expired(office: Office, step: DecisionStep) -> None:
    office.set_step(step, expires_at=clock.now() - timedelta(seconds=1))


def expired_and_frozen(office: Office, step: DecisionStep) -> None:
    expired(office, step)
    with unit_of_work(office.tenant.id):
        set_freeze(FreezeScope(integration="bank", action="pay"), reason="Stop.", ctx=office.ctx("ada"))


def expired_and_another_frozen(office: Office, step: DecisionStep) -> None:
    expired(office, step)
    with unit_of_work(office.tenant.id):
        set_freeze(FreezeScope(integration="desk"), reason="Stop.", ctx=office.ctx("ada"))


@pytest.mark.parametrize(
    ("case", "voters"),
    [
        (role_without_decide, {"fay", "finn", "fred"}), (late_decide, set()), (late_role, {"finn", "fred"}), (not_accepted, {"finn", "fred"}),
        (dependent_on_requester, {"finn", "fred"}), (requester_depends, {"fay", "fred"}),
        (both_depend_on_one, {"fay", "finn"}), (dependent_on_a_vote, {"fred"}),
        (delegate_of_the_dependent, {"finn", "fred"}), (delegate_of_the_dependent_and_an_approver, {"fred"}),
        (controller_stands_for_the_requester, {"finn", "fred"}), (delegate_voted, {"finn", "fred"}),
        (delegator_voted, {"fred"}), (delegator_without_decide, {"fay", "finn", "fred"}), (expired, set()),
        (expired_and_frozen, {"fay", "finn", "fred"}), (expired_and_another_frozen, set()),
    ],
)  # fmt: skip
def test_a_step_waits_for_exactly_those_who_can_vote(office: Office, case: Case, voters: set[str]) -> None:
    _, step, _ = office.awaiting()
    case(office, step)
    accepted = {name for name in office.people if accepts_vote(office, step, name)}
    assert ({name for name in office.people if waiting_for(office, name)}, accepted) == (voters, voters)


@pytest.mark.parametrize(
    ("authentication", "rule", "is_possible"),
    [
        (Authentication(method=METHOD.ISSUED_TOKEN), {}, False),
        (Authentication(method=METHOD.PERSONAL_TOKEN), {}, True),
        (Authentication(method=METHOD.PERSONAL_TOKEN), {"authentication": "session"}, False),
        (Authentication(method=METHOD.PERSONAL_TOKEN), {"step_up": True}, False),
        (Authentication(method=METHOD.PERSONAL_TOKEN), {"authentication": "phishing_resistant"}, False),
        (SESSION, {"authentication": "session"}, True),
        (SESSION, {"authentication": "phishing_resistant"}, False),
        (Authentication(method=METHOD.SESSION, factors=("passkey",)), {"authentication": "phishing_resistant"}, True),
    ],
)
def test_a_step_waits_only_for_who_can_authenticate(
    office: Office, authentication: Authentication, rule: dict[str, Any], is_possible: bool
) -> None:
    office.put_rules({**RULES[1], "approvals": {**ASKS_TWO, **rule}}, *RULES[2:])
    _, step, _ = office.awaiting()
    options = {"authentication": authentication}
    assert is_listed(office, step, "fay", **options) is is_possible
    assert accepts_vote(office, step, "fay", **options) is is_possible


def test_an_enrolled_passkey_makes_a_vote_possible_in_a_session(office: Office) -> None:
    office.put_rules({**RULES[1], "approvals": {**ASKS_TWO, "authentication": "phishing_resistant"}}, *RULES[2:])
    _, step, _ = office.awaiting()
    assert not is_listed(office, step, "fay", authentication=SESSION)
    EnrolledFactor.objects.create(user=office.people["fay"], kind=Factor.PASSKEY)
    assert is_listed(office, step, "fay", authentication=SESSION)
    assert not is_listed(office, step, "finn", authentication=SESSION)


def test_the_api_lists_mine_by_what_the_token_can_decide(office: Office) -> None:
    office.put_rules({**RULES[1], "approvals": {**ASKS_TWO, "authentication": "session"}}, *RULES[2:])
    office.awaiting()
    assert office.api("fay").get("/decision-steps?mine=true").json()["data"] == []


def test_delegations_cost_one_statement(office: Office) -> None:
    office.awaiting()
    stand_in(office, "vera", "fay")
    with unit_of_work(office.tenant.id):
        ctx = office.ctx("vera")
        with CaptureQueriesContext(connection) as queries:
            assert len(selectors.steps_pending_for(ctx, selectors.decision_steps(ctx))) == 1
    assert len(queries) == 4
