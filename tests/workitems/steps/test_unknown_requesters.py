"""Cases of agents and services without a known owner: nobody can decide them until an owner is named."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.models import Execution
from tests.factories import make_principal
from tests.receivers.fixtures import Receiver
from tests.threada_site.identity.test_accounts import one_steward_is_enough
from tests.threada_site.identity.test_commands import Manage, manage
from tests.threada_site.identity.test_known_control import UNOWNED, invited_by_one_without_owner, leave
from tests.workitems.office import RULES, Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.grants.role_grants import grant_role
from threada_site.identity.owners import set_owner
from threada_site.kernel import errors
from threada_site.tenancy.models import User
from workitems.approvers.can_vote import can_vote
from workitems.executions.run_execution import run_execution
from workitems.explain.gather import explain_work_item
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep, Vote, WorkItem
from workitems.steps.named_owners import store_known_controllers
from workitems.steps.reachability_sweep import check_tenant

__all__ = ["manage"]


def asked(office: Office, by: User, amount: int = 500) -> tuple[WorkItem, DecisionStep]:
    """Return a payment that `by` asked for and its step, which the rule keeps the requester from deciding."""
    with unit_of_work(office.tenant.id):
        grant_role(by, "client", ctx=office.system)
    office.people["bot"] = by
    item = office.decided(amount, by="bot")
    started = office.execute(item, by="bot")
    assert started.step is not None
    return item, started.step


def seen(office: Office, item: WorkItem, by: str = "fay") -> Any:
    with unit_of_work(office.tenant.id):
        found = office.item(item)
        return explain_work_item(found, ctx=office.ctx(by))


def waiting_for(office: Office, name: str) -> list[str]:
    with unit_of_work(office.tenant.id):
        condition = can_vote(office.ctx(name))
        assert condition is not None
        steps = DecisionStep.objects.filter(condition, tenant_id=office.tenant.id, status=StepStatus.PENDING)
        return [step.public_id for step in steps]


def refuses_everybody(office: Office, step: DecisionStep) -> None:
    for name in ("fay", "finn", "fred"):
        with pytest.raises(errors.VoterNotIndependent, match=r"manage\.py set_owner"):
            office.vote(step, name)
        assert waiting_for(office, name) == []
    assert office.count(Vote) == 0


@pytest.mark.parametrize("way", UNOWNED)
def test_a_case_waits_for_the_owner_and_goes_on(office: Office, manage: Manage, way: str) -> None:
    one_steward_is_enough(office.tenant)
    bot = UNOWNED[way](office.tenant, office.people["ada"])
    item, step = asked(office, bot)
    refuses_everybody(office, step)
    check_tenant(office.tenant.id)
    assert office.item(item).nobody_can_decide
    explained = seen(office, item)
    assert "No member can complete the approval." in explained.why
    names = "bot and maker" if "by_one" in way else "bot"
    said = f"Nobody is known to be independent of {names}: no active person is known as the owner."
    assert said in explained.why
    assert explained.next[0] == (
        f"It goes on when a steward, or the operator with manage.py set_owner, names an owner of {names}."
    )

    assert manage("set_owner", "wim", "--all-of-tenant", office.tenant.slug).status == 0
    check_tenant(office.tenant.id)
    assert not office.item(item).nobody_can_decide
    assert waiting_for(office, "fay") == [step.public_id]
    office.vote(step, "fay")
    assert waiting_for(office, "fay") == []
    office.vote(step, "finn")
    assert office.step(step).status == StepStatus.APPROVED


def test_whoever_names_the_owner_does_not_decide_and_nor_does_the_owner(office: Office) -> None:
    one_steward_is_enough(office.tenant)
    bot = make_principal(office.tenant, "bot", "service", owner="")
    with unit_of_work(office.tenant.id):
        grant_role(office.people["ada"], "finance", ctx=office.system)
    _, step = asked(office, bot)
    with unit_of_work(office.tenant.id):
        set_owner(bot, "fay", ctx=office.ctx("ada"))
    check_tenant(office.tenant.id)
    assert office.step(step).excluded_controllers == {
        str(bot.id): sorted(str(office.people[name].id) for name in ("ada", "fay"))
    }
    for name in ("ada", "fay"):
        with pytest.raises(errors.VoterNotIndependent, match="depend on each other"):
            office.vote(step, name)
        assert waiting_for(office, name) == []
    office.vote(step, "finn")
    office.vote(step, "fred")
    assert office.step(step).status == StepStatus.APPROVED


def test_an_owner_who_leaves_later_changes_nothing_about_what_was_asked_before(office: Office) -> None:
    bot = make_principal(office.tenant, "bot", "service", owner="gone")
    _, step = asked(office, bot)
    leave(office.tenant, User.objects.get(username="gone"))
    office.vote(step, "fay")
    office.vote(step, "finn")
    assert office.step(step).status == StepStatus.APPROVED


def test_a_rule_that_excludes_nobody_lets_the_case_go_on(office: Office) -> None:
    rule = {**RULES[1], "approvals": {"all": [{"role": "finance"}], "exclude": []}}
    office.put_rules(rule, *RULES[2:])
    _, step = asked(office, make_principal(office.tenant, "bot", "service", owner=""))
    office.vote(step, "fay")
    assert office.step(step).status == StepStatus.APPROVED


def test_a_rule_that_excludes_only_the_owner_waits_for_one(office: Office) -> None:
    rule = {**RULES[1], "approvals": {"all": [{"role": "finance"}], "exclude": ["agent_owner"]}}
    office.put_rules(rule, *RULES[2:])
    _, step = asked(office, make_principal(office.tenant, "bot", "agent", owner=""))
    refuses_everybody(office, step)


def test_a_case_of_a_person_whom_a_service_without_owner_invited_waits_too(office: Office, manage: Manage) -> None:
    _, nora = invited_by_one_without_owner(office.tenant)
    item, step = asked(office, nora)
    refuses_everybody(office, step)
    assert "Nobody is known to be independent of maker" in " ".join(seen(office, item).why)
    leave(office.tenant, nora)
    refuses_everybody(office, step)
    assert manage("set_owner", "wim", "--of", "maker").status == 0
    check_tenant(office.tenant.id)
    office.vote(step, "fay")
    office.vote(step, "finn")
    assert office.step(step).status == StepStatus.APPROVED


def test_the_vote_of_a_person_whom_a_service_without_owner_invited_does_not_count(office: Office) -> None:
    _, office.people["nora"] = invited_by_one_without_owner(office.tenant)
    with unit_of_work(office.tenant.id):
        for role in ("approver", "finance"):
            grant_role(office.people["nora"], role, ctx=office.system)
    rule = {**RULES[1], "approvals": {"all": [{"role": "finance"}], "exclude": []}}
    office.put_rules(rule, *RULES[2:])
    _, step, _ = office.awaiting()
    with pytest.raises(errors.VoterNotIndependent):
        office.vote(step, "nora")
    assert waiting_for(office, "nora") == []
    assert (office.count(Vote), office.step(step).status) == (0, StepStatus.PENDING)
    office.vote(step, "fay")
    assert office.step(step).status == StepStatus.APPROVED


def test_a_step_that_an_earlier_version_opened_waits_too(office: Office) -> None:
    """89cae31e stored no controllers of a service that the operator had made without an owner."""
    bot = make_principal(office.tenant, "bot", "service", owner="")
    item, step = asked(office, bot)
    office.set_step(step, excluded_controllers={}, reachability_check_due=False)
    refuses_everybody(office, step)
    check_tenant(office.tenant.id)
    assert office.item(item).nobody_can_decide
    with unit_of_work(office.tenant.id):
        assert store_known_controllers(ctx=office.system) == 0


def test_a_case_that_waited_for_the_owner_is_paid_and_its_receipts_say_who_controls_it(
    office: Office, bank: Receiver, manage: Manage
) -> None:
    bot = make_principal(office.tenant, "bot", "service", owner="")
    _, step = asked(office, bot)
    check_tenant(office.tenant.id)
    assert manage("set_owner", "wim", "--of", "bot").status == 0
    check_tenant(office.tenant.id)
    (known,) = office.bodies("decision_step.controllers_known")
    assert known["inputs"]["controllers"] == {bot.public_id: [office.people["wim"].public_id]}
    office.vote(step, "fay")
    office.vote(step, "finn")
    assert step.execution_id is not None
    run_execution(office.tenant, step.execution_id)
    with unit_of_work(office.tenant.id):
        execution = Execution.objects.get(id=step.execution_id)
    assert (execution.status, execution.failure) == ("succeeded", "")
    assert len(bank.requests()) == 1


def test_controllers_that_no_receipt_states_stop_the_call(office: Office, bank: Receiver) -> None:
    bot = make_principal(office.tenant, "bot", "service", owner="")
    _, step = asked(office, bot)
    office.set_step(step, excluded_controllers={str(bot.id): [str(office.people["wim"].id)]})
    office.vote(step, "fay")
    office.vote(step, "finn")
    assert step.execution_id is not None
    run_execution(office.tenant, step.execution_id)
    with unit_of_work(office.tenant.id):
        execution = Execution.objects.get(id=step.execution_id)
    assert execution.failure == "envelope_mismatch"
    assert bank.requests() == []
