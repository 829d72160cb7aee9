"""Permits: a series of payments that two people of finance approve at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from integrations.attempts.retry import MAX_WORKER_DEATHS
from integrations.executions.lease import acquire_lease
from integrations.models import Execution
from policies.deciding.stored_decision import stored_facts
from policies.language.approvals import SumLimit
from policies.selectors import policy_decision
from tests.client import Api
from tests.factories import make_principal, make_tenant, make_token
from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.executions.test_forged_approvals import by_owner
from tests.workitems.office import ASKS_TWO, RULES, Office
from tests.workitems.retention.archives import aged, dry_run, put_rule, run, seal_all
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.owners import set_owner
from threada_site.identity.principals import remove_member
from threada_site.kernel import clock, errors
from threada_site.kernel.cel import BoundFacts
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import (
    ActingContext,
    Authentication,
    AuthenticationMethod,
    ObjectGrants,
    Scope,
    Visibility,
)
from threada_site.kernel.ids import new_uuid
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.personal_data.erasable_fields import is_erased
from threada_site.tenancy.models import Role
from workitems.executions.operator_actions import cancel_execution, reconcile_execution, retry_execution
from workitems.executions.run_execution import run_execution
from workitems.items.locks import locked_step
from workitems.models import DecisionStep, Permit, PermitApproval, PermitUse, WorkItem
from workitems.permits import propose, terms, units, warnings
from workitems.permits.narrow import Narrowing, narrow_permit, revoke_permit
from workitems.permits.propose import Proposal, approve_permit, vote_with_permit
from workitems.permits.records import approved_terms
from workitems.permits.selectors import permits
from workitems.permits.terms import NotCoveredError, amount_of
from workitems.retention.erasure import erase_principal
from workitems.steps.voting import Ballot, cast_vote

FIELD = "item.payload.amount"
OFFERS: dict[str, Any] = {
    **ASKS_TWO,
    "permit": {"max_count": 5, "max_valid_for": "P7D", "max_sum": {"field": FIELD, "at_most": 3000}},
}


def rules(approvals: dict[str, Any] = OFFERS, **changes: Any) -> list[dict[str, Any]]:
    return [{**rule, "approvals": approvals, **changes} if rule["id"] == "large" else rule for rule in RULES]


@pytest.fixture
def finance(office: Office) -> Office:
    office.put_rules(*rules())
    return office


def proposal(office: Office, **changes: Any) -> Proposal:
    terms: dict[str, Any] = {
        "ends_at": clock.now() + timedelta(days=2),
        "max_count": 3,
        "max_sum": SumLimit(FIELD, Decimal(2000)),
        "principals": [office.people["rita"].public_id],
        "bounds": ["item.payload.amount <= 900"],
    }
    return Proposal(**{**terms, **changes})


def vote(office: Office, step: DecisionStep, by: str, terms: Proposal) -> Permit:
    with unit_of_work(office.tenant.id):
        item, locked = locked_step(step.id, ctx=office.system)
        ballot = Ballot(decision="approve", envelope_sha256=step.envelope_sha256)
        return vote_with_permit(item, locked, ballot, terms, ctx=office.ctx(by))[1]


def approve(office: Office, step: DecisionStep, permit: Permit, ctx: ActingContext) -> None:
    with unit_of_work(office.tenant.id):
        approve_permit(*locked_step(step.id, ctx=office.system), permit, permit.sha256, ctx=ctx)


def in_effect(office: Office, **changes: Any) -> Permit:
    """Return a permit that fay and finn approved."""
    _, step, _ = office.awaiting()
    terms = proposal(office, **changes)
    vote(office, step, "fay", terms)
    permit = vote(office, step, "finn", terms)
    assert permit.status == "in_effect"
    return permit


def now(office: Office, permit: Permit) -> Permit:
    with unit_of_work(office.tenant.id):
        return Permit.objects.get(id=permit.id)


def ask(office: Office, amount: int = 500, **more: Any) -> tuple[WorkItem, Execution, bool]:
    """Request a payment. Return True if a permit took the place of the approval."""
    item = office.decided(amount)
    started = office.execute(item, **more)
    assert (started.execution.status == "started") == (started.step is None)
    return item, started.execution, started.step is None


def on_permit(office: Office, permit: Permit, operation: Any, *args: Any, by: str = "fay") -> None:
    with unit_of_work(office.tenant.id):
        locked = Permit.objects.select_for_update().get(id=permit.id)
        operation(locked, *args, ctx=office.ctx(by))


def test_a_series_runs_without_further_steps_until_it_is_exhausted(finance: Office, bank: Receiver) -> None:
    permit = in_effect(finance)
    before = len(bank.requests())
    for used in (1, 2, 3):
        item, execution, covered = ask(finance)
        assert covered
        assert (now(finance, permit).used_count, now(finance, permit).used_sum) == (used, 500 * used)
        run_jobs()
        assert finance.execution(execution).status == "succeeded"
    assert len(bank.requests()) >= before + 3
    kinds = finance.kinds(item)
    assert kinds.index("permit.used") < kinds.index("execution.executed")
    assert "permit.exhausted" in kinds
    assert "decision_step.opened" not in kinds
    assert {body["inputs"]["permit_id"] for body in finance.bodies("permit.used")} == {permit.public_id}
    assert not ask(finance)[2]


def test_only_equal_terms_of_all_required_approvers_take_effect(finance: Office) -> None:
    _, step, _ = finance.awaiting()
    wide = proposal(finance)
    first = vote(finance, step, "fay", wide)
    second = vote(finance, step, "finn", replace(wide, max_count=2))
    assert finance.step(step).status == "approved"
    assert {now(finance, each).status for each in (first, second)} == {"proposed"}
    assert not ask(finance)[2]
    with unit_of_work(finance.tenant.id):
        item, locked = locked_step(step.id, ctx=finance.system)
        with pytest.raises(errors.PermitChanged):
            approve_permit(item, locked, second, first.sha256, ctx=finance.ctx("fay"))
        with pytest.raises(errors.VoterNotEligible):
            approve_permit(item, locked, second, second.sha256, ctx=finance.ctx("fred"))
        approve_permit(item, locked, second, second.sha256, ctx=finance.ctx("fay"))
    assert (now(finance, first).status, now(finance, second).status) == ("proposed", "in_effect")
    assert ask(finance)[2]


def test_only_those_who_approved_the_step_approve_its_permit(office: Office) -> None:
    office.put_rules(*rules({**OFFERS, "veto": 2}))
    office.join("bot", kind="agent", roles=("approver", "finance"))
    _, step, _ = office.awaiting()
    office.vote(step, "fred", "reject")
    office.vote(step, "bot")
    permit = vote(office, step, "fay", proposal(office))
    office.vote(step, "finn")
    assert office.step(step).status == "approved"
    for name in ("fred", "bot", "vera"):
        with pytest.raises(errors.VoterNotEligible):
            approve(office, step, permit, office.ctx(name))
    assert (now(office, permit).status, office.count(PermitApproval)) == ("proposed", 1)
    approve(office, step, permit, office.ctx("finn"))
    assert now(office, permit).status == "in_effect"


def test_an_approval_of_a_permit_needs_the_authentication_of_a_vote(office: Office) -> None:
    office.put_rules(*rules({**OFFERS, "authentication": "phishing_resistant"}))
    _, step, _ = office.awaiting()
    with_password = Authentication(method=AuthenticationMethod.SESSION, at=clock.now(), factors=("password",))
    by_passkey = {"authentication": replace(with_password, factors=("passkey",))}
    fay, finn = (replace(office.ctx(name), **by_passkey) for name in ("fay", "finn"))
    ballot = Ballot(decision="approve", envelope_sha256=step.envelope_sha256)
    with unit_of_work(office.tenant.id):
        permit = vote_with_permit(*locked_step(step.id, ctx=office.system), ballot, proposal(office), ctx=fay)[1]
        cast_vote(*locked_step(step.id, ctx=office.system), ballot, ctx=finn)
    assert office.step(step).status == "approved"
    with pytest.raises(errors.VoteAuthenticationRequired, match="a passkey was used"):
        approve(office, step, permit, replace(finn, authentication=with_password))
    assert (now(office, permit).status, office.count(PermitApproval)) == ("proposed", 1)
    approve(office, step, permit, finn)
    assert now(office, permit).status == "in_effect"


def test_terms_are_equal_whatever_the_order_of_people_and_bounds(finance: Office) -> None:
    _, step, _ = finance.awaiting()
    people = [finance.people[name].public_id for name in ("rita", "wim")]
    bounds, ends = ["item.payload.amount <= 900", "item.payload.amount >= 1"], clock.now() + timedelta(days=2)
    first = vote(finance, step, "fay", proposal(finance, ends_at=ends, principals=people, bounds=bounds))
    second = vote(finance, step, "finn", proposal(finance, ends_at=ends, principals=people[::-1], bounds=bounds[::-1]))
    assert (second.id, second.status) == (first.id, "in_effect")


def test_an_approval_of_one_execution_is_none_of_the_permit(finance: Office) -> None:
    _, step, _ = finance.awaiting()
    permit = vote(finance, step, "fay", proposal(finance))
    finance.vote(step, "finn")
    assert finance.step(step).status == "approved"
    assert now(finance, permit).status == "proposed"
    assert not ask(finance)[2]


@pytest.mark.parametrize(
    "changes",
    [
        {"max_count": 6},
        {"ends_at": timedelta(days=8)},
        {"max_sum": SumLimit(FIELD, Decimal(3001))},
        {"max_sum": SumLimit("input.amount", Decimal(1))},
        {"max_sum": None},
    ],
)
def test_a_proposal_stays_within_the_rule(finance: Office, changes: dict[str, Any]) -> None:
    if "ends_at" in changes:
        changes = {"ends_at": clock.now() + changes["ends_at"]}
    _, step, _ = finance.awaiting()
    with pytest.raises(errors.PermitTooWide):
        vote(finance, step, "fay", proposal(finance, **changes))
    assert (finance.count(Permit), finance.step(step).status) == (0, "pending")


def test_a_rule_that_does_not_opt_in_takes_no_permit(office: Office) -> None:
    _, step, _ = office.awaiting()
    with pytest.raises(errors.PermitNotOffered):
        vote(office, step, "fay", proposal(office))


def test_what_the_terms_do_not_cover_is_asked(finance: Office) -> None:
    in_effect(finance, max_sum=SumLimit(FIELD, Decimal(1000)))
    finance.join("rob")
    assert not ask(finance, 901)[2]  # beyond the bound
    assert not ask(finance, by="rob")[2]  # another principal
    assert ask(finance, 600)[2]
    assert not ask(finance, 401)[2]  # beyond the sum
    assert ask(finance, 400)[2]


@pytest.mark.parametrize("bound", ["item.payload.vendor == 'A'", "1 / (item.payload.amount - 500) > 0"])
def test_a_bound_with_an_error_does_not_hold(finance: Office, bound: str) -> None:
    in_effect(finance, bounds=[bound])
    assert not ask(finance)[2]


def test_the_approvers_are_checked_at_each_use(finance: Office) -> None:
    permit = in_effect(finance)
    assert ask(finance)[2]
    with unit_of_work(finance.tenant.id):
        remove_member(finance.people["finn"], ctx=finance.ctx("ada"))
    assert not ask(finance)[2]
    assert now(finance, permit).used_count == 1


def test_a_failed_execution_returns_its_unit_and_a_retry_takes_one_again(finance: Office, bank: Receiver) -> None:
    permit = in_effect(finance, max_count=1)
    bank.behave(status=422)
    item, execution, covered = ask(finance)
    assert covered
    run_execution(finance.tenant, execution.id)
    assert (finance.execution(execution).status, now(finance, permit).used_count) == ("failed", 0)
    assert now(finance, permit).used_sum == 0
    bank.behave()
    finance.on_execution(execution, retry_execution)
    run_jobs()
    assert (finance.execution(execution).status, now(finance, permit).used_count) == ("succeeded", 1)
    assert finance.kinds(item).count("permit.used") == 2
    assert not ask(finance)[2]


def test_a_retry_without_a_unit_is_asked(finance: Office, bank: Receiver) -> None:
    permit = in_effect(finance, max_count=1)
    bank.behave(status=422)
    _, execution, _ = ask(finance)
    run_execution(finance.tenant, execution.id)
    bank.behave()
    assert ask(finance)[2]
    finance.on_execution(execution, retry_execution)
    run_jobs()
    assert (finance.execution(execution).status, now(finance, permit).used_count) == ("awaiting_approval", 1)
    assert finance.execution(execution).permit_id is None


def test_a_unit_stays_used_while_a_lost_worker_may_have_acted(finance: Office, bank: Receiver) -> None:
    permit = in_effect(finance, max_count=1)
    _, execution, _ = ask(finance)
    with unit_of_work(finance.tenant.id):
        acquire_lease(row_of(execution), now=clock.now())
    past = clock.now() - timedelta(seconds=1)
    finance.set_execution(execution, worker_deaths=MAX_WORKER_DEATHS - 1, lease_until=past)
    run_execution(finance.tenant, execution.id)
    assert (finance.execution(execution).status, now(finance, permit).used_count) == ("failed", 1)
    finance.on_execution(execution, retry_execution)
    finance.on_execution(execution, cancel_execution)
    assert (finance.execution(execution).status, now(finance, permit).used_count) == ("cancelled", 1)
    assert not ask(finance)[2]


def test_a_retry_that_keeps_its_unit_takes_no_other(finance: Office, bank: Receiver) -> None:
    permit = in_effect(finance)
    _, execution, _ = ask(finance)
    with unit_of_work(finance.tenant.id):
        acquire_lease(row_of(execution), now=clock.now())
    past = clock.now() - timedelta(seconds=1)
    finance.set_execution(execution, worker_deaths=MAX_WORKER_DEATHS - 1, lease_until=past)
    run_execution(finance.tenant, execution.id)
    on_permit(finance, permit, narrow_permit, Narrowing(bounds=["item.payload.amount < 500"]))
    finance.on_execution(execution, retry_execution)
    run_execution(finance.tenant, execution.id)
    assert (finance.execution(execution).status, now(finance, permit).used_count) == ("awaiting_approval", 1)


def row_of(execution: Execution) -> Execution:
    return Execution.objects.select_for_update().get(id=execution.id)


def test_a_cancelled_execution_returns_its_unit(finance: Office) -> None:
    permit = in_effect(finance)
    _, execution, _ = ask(finance)
    finance.on_execution(execution, cancel_execution)
    assert now(finance, permit).used_count == 0
    assert finance.count(PermitUse) == 1


def test_an_unknown_outcome_keeps_its_unit_until_it_is_reconciled_as_failed(finance: Office, bank: Receiver) -> None:
    finance.put_bank(base_url=bank.url, idempotent=False)
    permit = in_effect(finance)
    _, execution, _ = ask(finance)
    bank.behave(status=500)
    run_execution(finance.tenant, execution.id)
    assert (finance.execution(execution).status, now(finance, permit).used_count) == ("outcome_unknown", 1)
    finance.join("otto", roles=("client",))
    finance.on_execution(execution, reconcile_execution, by="otto", succeeded=False, reason="The bank has none.")
    assert now(finance, permit).used_count == 0


def test_a_revocation_stops_what_is_not_called_yet(finance: Office, bank: Receiver) -> None:
    permit = in_effect(finance)
    item, execution, _ = ask(finance)
    before = len(bank.requests())
    on_permit(finance, permit, revoke_permit)
    run_execution(finance.tenant, execution.id)
    assert len(bank.requests()) == before
    assert finance.execution(execution).status == "awaiting_approval"
    assert finance.pending_step(item).envelope_sha256 == finance.execution(execution).envelope.sha256
    assert now(finance, permit).used_count == 0
    assert not ask(finance)[2]
    with pytest.raises(errors.PermissionDenied):
        on_permit(finance, permit, revoke_permit, by="rita")


def test_approvals_without_a_receipt_that_somebody_signed_cover_nothing(finance: Office, bank: Receiver) -> None:
    """SQL in a request can insert approvals, and receipts, but signs none."""
    in_effect(finance)
    _, execution, is_covered = ask(finance)
    assert is_covered
    before = len(bank.requests())
    by_owner(
        "UPDATE telemetry_receipt SET signature = '' WHERE id = "
        "(SELECT id FROM telemetry_receipt WHERE kind = 'permit.approved' ORDER BY id DESC LIMIT 1)"
    )
    run_execution(finance.tenant, execution.id)
    assert finance.execution(execution).status == "awaiting_approval"
    assert len(bank.requests()) == before
    _, _, is_covered = ask(finance)
    assert not is_covered


def test_a_permit_only_becomes_narrower(finance: Office, bank: Receiver) -> None:
    permit = in_effect(finance)
    _, execution, _ = ask(finance)
    for wider in (
        Narrowing(max_count=4),
        Narrowing(ends_at=clock.now() + timedelta(days=3)),
        Narrowing(principals=[finance.people["vera"].public_id]),
        Narrowing(max_sum=SumLimit(FIELD, Decimal(2001))),
    ):
        with pytest.raises(errors.PermitTooWide):
            on_permit(finance, permit, narrow_permit, wider)
    on_permit(finance, permit, narrow_permit, Narrowing(bounds=["item.payload.amount < 500"]))
    run_execution(finance.tenant, execution.id)
    assert finance.execution(execution).status == "awaiting_approval"
    assert not ask(finance)[2]
    assert ask(finance, 499)[2]
    assert now(finance, permit).sha256 == permit.sha256
    with unit_of_work(finance.tenant.id):
        Permit.objects.filter(id=permit.id).update(limits={**permit.limits, "max_count": 5})
    assert not ask(finance, 499)[2]


def test_narrowing_the_number_stops_reserved_units_beyond_it(finance: Office, bank: Receiver) -> None:
    permit = in_effect(finance)
    executions = [ask(finance)[1] for _ in range(3)]
    on_permit(finance, permit, narrow_permit, Narrowing(max_count=1))
    for execution in executions:
        run_execution(finance.tenant, execution.id)
    run_jobs()
    statuses = [finance.execution(execution).status for execution in executions]
    assert statuses == ["awaiting_approval", "awaiting_approval", "succeeded"]
    assert now(finance, permit).used_count == 1


def test_another_version_of_the_integration_ends_its_uses(finance: Office, bank: Receiver) -> None:
    permit = in_effect(finance)
    _, execution, _ = ask(finance)
    finance.put_bank(base_url=bank.url, idempotent=False)
    assert not ask(finance)[2]
    run_jobs()
    assert (finance.execution(execution).status, now(finance, permit).used_count) == ("succeeded", 1)


def test_permits_that_cannot_be_used_hide_no_other(finance: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "MOST_TRIED", 1)
    soon = {"ends_at": clock.now() + timedelta(hours=1)}
    in_effect(finance, principals=[finance.people["vera"].public_id], **soon)
    assert not ask(finance)[2]
    exhausted = in_effect(finance, max_count=1, **soon)
    assert ask(finance)[2]
    permit = in_effect(finance)
    assert ask(finance)[2]
    assert (now(finance, exhausted).used_count, now(finance, permit).used_count) == (1, 1)


@pytest.mark.parametrize(
    "changed",
    [
        rules(ASKS_TWO),
        rules({**OFFERS, "permit": {**OFFERS["permit"], "max_count": 2}}),
        rules({**OFFERS, "all": [{"role": "finance", "count": 3}]}),
        rules(id="larger"),
    ],
)
def test_a_changed_rule_ends_its_uses(finance: Office, bank: Receiver, changed: list[dict[str, Any]]) -> None:
    in_effect(finance)
    _, execution, covered = ask(finance)
    assert covered
    finance.put_rules(*changed)
    run_execution(finance.tenant, execution.id)
    assert finance.execution(execution).status == "awaiting_approval"
    assert not ask(finance)[2]


def test_the_api_warns_of_a_permit_for_every_tool(finance: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "CALL_WORKFLOW", "payments")
    _, step, _ = finance.awaiting()
    terms = {
        "ends_at": rfc3339(clock.now() + timedelta(days=1)),
        "max_count": 3,
        "max_sum": {"field": FIELD, "at_most": 2000},
        "principals": [finance.people["rita"].public_id],
    }
    vote_of = {"decision": "approve", "envelope_sha256": step.envelope_sha256, "permit": terms}
    place = f"/decision-steps/{step.public_id}/votes"
    [warning] = finance.api("fay").post(place, vote_of).json()["permit_warnings"]
    assert warning["code"] == "covers_every_tool"
    permit = finance.api("finn").post(place, vote_of).json()["permit_id"]
    assert finance.api("finn").get(f"/permits/{permit}").json()["warnings"] == [warning]
    named = {"bounds": ["item.payload.tool == 'look_up'"]}
    assert finance.api("fay").post(f"/permits/{permit}/narrow", named).json()["warnings"] == []
    _, step, _ = finance.awaiting()
    alone = {**vote_of, "envelope_sha256": step.envelope_sha256}
    alone.pop("permit")
    assert finance.api("fay").post(f"/decision-steps/{step.public_id}/votes", alone).json()["permit_warnings"] == []


def test_the_api_proposes_shows_narrows_and_revokes(finance: Office) -> None:
    _, step, _ = finance.awaiting()
    terms = {
        "ends_at": rfc3339(clock.now() + timedelta(days=1)),
        "max_count": 3,
        "max_sum": {"field": FIELD, "at_most": 2000},
        "principals": [finance.people["rita"].public_id],
    }
    vote_of = {"decision": "approve", "envelope_sha256": step.envelope_sha256, "permit": terms}
    place = f"/decision-steps/{step.public_id}/votes"
    assert finance.api("fay").post(place, {**vote_of, "permit": {**terms, "bounds": ["1 +"]}}).status_code == 422
    first = finance.api("fay").post(place, vote_of)
    assert first.status_code == 201, first.json()
    [listed] = finance.api("finn").get(f"/permits?decision_step_id={step.public_id}").json()["data"]
    assert (listed["permit_id"], listed["status"]) == (first.json()["permit_id"], "proposed")
    assert finance.api("finn").post(place, vote_of).json()["permit_id"] == listed["permit_id"]
    _, execution, covered = ask(finance)
    assert covered
    here = f"/permits/{listed['permit_id']}"
    shown = finance.api("rita").get(here).json()
    assert (shown["status"], shown["used_count"], shown["used_sum"]) == ("in_effect", 1, "500")
    assert [use["execution_id"] for use in shown["uses"]] == [execution.public_id]
    assert shown["sha256"] == canonical_sha256(shown["approved"])
    assert finance.api("rita").get(f"/executions/{execution.public_id}").json()["permit_id"] == listed["permit_id"]
    assert finance.api("rita").post(f"{here}/revoke", {}).status_code == 403
    assert finance.api("fay").post(f"{here}/narrow", {"max_count": 4}).json()["reason_code"] == "permit_too_wide"
    assert finance.api("fay").post(f"{here}/narrow", {"ends_at": ""}).status_code == 422
    assert finance.api("fay").post(f"{here}/narrow", {"max_count": 2}).json()["limits"]["max_count"] == 2
    assert finance.api("finn").post(f"{here}/revoke", {}).json()["status"] == "revoked"
    assert finance.api("fay").post(f"{here}/narrow", {"max_count": 1}).json()["reason_code"] == "permit_closed"
    assert not ask(finance)[2]


def test_nobody_behind_a_request_approves_it_by_a_permit(finance: Office) -> None:
    finance.join("bot", kind="agent")
    finance.join("dora", roles=("client", "approver", "finance"))
    with unit_of_work(finance.tenant.id):
        set_owner(finance.people["bot"], "fay", ctx=finance.system)
    _, step, _ = finance.awaiting()
    terms = proposal(finance, principals=[finance.people[name].public_id for name in ("rita", "bot", "dora")])
    vote(finance, step, "fay", terms)
    permit = vote(finance, step, "dora", terms)
    assert permit.status == "in_effect"
    assert not ask(finance, by="bot")[2]
    assert not ask(finance, by="dora")[2]
    assert finance.execute(finance.decided(500, by="dora")).step is not None
    assert ask(finance)[2]
    assert now(finance, permit).used_count == 1


def test_a_requester_who_sees_own_cases_uses_the_permit_and_reads_no_other(finance: Office) -> None:
    other = in_effect(finance, principals=[finance.people["vera"].public_id])
    permit = in_effect(finance)
    with unit_of_work(finance.tenant.id):
        Role.objects.filter(tenant_id=finance.tenant.id, slug="client").update(visibility=Visibility.OWN)
    item = finance.decided(500)
    asked = {"work_item_id": item.public_id, "integration_id": "bank", "action_id": "pay"}
    answer = finance.api("rita").post("/actions/execute", asked).json()
    assert (answer["status"], answer["decision_steps"]) == ("started", [])
    assert [row["permit_id"] for row in finance.api("rita").get("/permits").json()["data"]] == [permit.public_id]
    assert finance.api("rita").get(f"/permits/{other.public_id}").status_code == 404
    finance.join("rob")
    on_permit(finance, permit, revoke_permit)
    shared = in_effect(finance, principals=[finance.people[name].public_id for name in ("rita", "rob")])
    others = finance.execute(finance.decided(500, by="rob"), by="rob").execution
    assert others.permit_id == shared.id
    assert finance.api("rita").get(f"/permits/{shared.public_id}").json()["uses"] == []
    assert [use["execution_id"] for use in finance.api("fay").get(f"/permits/{shared.public_id}").json()["uses"]] == [
        others.public_id
    ]
    granted = replace(
        finance.ctx("rita"), grants=ObjectGrants(workflows={new_uuid(): frozenset({Scope.WORKITEMS_READ})})
    )
    with unit_of_work(finance.tenant.id):
        assert {row.id for row in permits(granted)} == {permit.id, shared.id}


def test_permits_of_a_tenant_are_those_of_no_other(finance: Office) -> None:
    permit = in_effect(finance)
    others = make_tenant("others")
    with unit_of_work(others.id):
        assert not Permit.objects.exists()
        assert not PermitUse.objects.exists()
    stranger = make_principal(others, "sam", roles=("tenant_admin",))
    api = Api(make_token(others, stranger))
    assert api.get(f"/permits/{permit.public_id}").status_code == 404
    assert api.post(f"/permits/{permit.public_id}/revoke", {}).status_code == 404
    assert now(finance, permit).status == "in_effect"


@pytest.mark.parametrize("amount", [-1, True, "5", None, 0.0000001, 2**53, [1]])
def test_an_amount_that_is_no_number_from_0_on_is_not_covered(amount: Any) -> None:
    with pytest.raises(NotCoveredError):
        amount_of("input.amount", {"input": {"amount": amount}})


def test_amounts_are_added_exactly() -> None:
    assert sum(amount_of("input.a.b", {"input": {"a": {"b": 0.1}}}) for _ in range(10)) == 1


def test_erasures_reach_bounds_and_a_case_stays_while_its_permit_is_needed(finance: Office, bank: Receiver) -> None:
    naming = in_effect(finance, bounds=["item.payload.note != 'for Gus'"])  # covers no payment without a note
    permit = in_effect(finance)
    gus = finance.join("gus", roles=("approver",))
    used, _, covered = ask(finance, 400)
    assert covered
    run_jobs()
    with unit_of_work(finance.tenant.id):
        first = WorkItem.objects.get(id=permit.work_item_id)
    assert {finance.item(item).status for item in (first, used)} == {"resolved"}
    aged(finance, first, days=100)
    put_rule(finance, keep_payload="P1D", keep_receipts="P9D", then="delete")
    assert dry_run(finance).planned_contents == 0, "a permit in effect needs its terms"

    with unit_of_work(finance.tenant.id):
        assert erase_principal(gus, ctx=finance.ctx("ada")) == 1
    emptied = now(finance, naming)
    assert (is_erased(emptied.bounds), is_erased(emptied.body), is_erased(now(finance, permit).body)) == (
        True, True, False,
    )  # fmt: skip
    with pytest.raises(errors.ContentsRemoved):
        on_permit(finance, naming, narrow_permit, Narrowing(max_count=1))

    on_permit(finance, permit, revoke_permit)
    seal_all(finance)
    dry_run(finance)
    run(finance)
    assert is_erased(now(finance, permit).bounds)
    aged(finance, first, days=100)
    dry_run(finance)
    run(finance)
    assert finance.count(Permit) == 2, "its use in another case is still there"
    aged(finance, used, days=100)
    for _ in range(2):
        dry_run(finance)
        run(finance)
    assert now(finance, naming)
    assert finance.count(Permit) == 1


def test_bounds_that_are_too_expensive_together_cover_nothing(finance: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    in_effect(finance)
    assert ask(finance)[2]
    monkeypatch.setattr(terms, "MAX_COST", 0)
    assert not ask(finance)[2]


def test_a_bound_is_charged_once_for_a_use(finance: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    [bound] = in_effect(finance).bounds
    _, first, covered = ask(finance)
    assert covered
    with unit_of_work(finance.tenant.id):
        facts = stored_facts(policy_decision(first.policy_decision_id, tenant_id=finance.tenant.id))
    cost = BoundFacts(facts, variables=terms.BOUND_VARIABLES).cost_of(bound, terms.BOUND_VARIABLES)
    monkeypatch.setattr(terms, "MAX_COST", cost)
    assert ask(finance)[2]
    monkeypatch.setattr(terms, "MAX_COST", cost - 1)
    assert not ask(finance)[2]


def test_a_digest_confirms_no_guess_after_an_erasure(finance: Office) -> None:
    """Equal terms have different digests on different steps, and the salt is erased with the bounds."""
    permit = in_effect(finance, bounds=["item.payload.vendor != 'Fay'"])
    with unit_of_work(finance.tenant.id):
        approved = approved_terms(permit)
        assert len(approved.salt) == 32
        guess = replace(approved, salt="").sha256
        narrow_permit(permit, Narrowing(max_count=2), ctx=finance.ctx("fay"))
        erase_principal(finance.people["fay"], ctx=finance.ctx("ada"))
    stored = now(finance, permit)
    assert is_erased(stored.body)
    assert approved.salt not in str(stored.limits)
    assert guess != permit.sha256
    digests = {
        body["inputs"].get(name)
        for kind in ("permit.proposed", "permit.in_effect", "permit.narrowed")
        for body in finance.bodies(kind)
        for name in ("permit_sha256", "limits_sha256", "limits_before_sha256")
    }
    guesses = {replace(approved, salt="", max_count=count).sha256 for count in (2, 3)}
    assert not guesses & digests
    with unit_of_work(finance.tenant.id):
        revoke_permit(stored, ctx=finance.ctx("finn"))


def test_a_permit_from_before_salts_still_covers(finance: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(propose, "new_salt", lambda: b"")
    permit = in_effect(finance)
    assert "salt" not in bytes(permit.body).decode()
    assert ask(finance)[2]


def test_each_stage_approves_the_same_terms(office: Office) -> None:
    stages = {"stages": [{"role": "finance"}, {"user": "vera"}], "exclude": ["requester"], "permit": OFFERS["permit"]}
    office.put_rules(*rules(stages))
    _, step, _ = office.awaiting()
    agreed = proposal(office)
    office.vote(step, "fay")
    permit = vote(office, step, "vera", agreed)
    assert (office.step(step).status, permit.status) == ("approved", "proposed")
    assert not ask(office)[2], "the first stage approved one execution, and no series"
    with unit_of_work(office.tenant.id):
        item, locked = locked_step(step.id, ctx=office.system)
        approve_permit(item, locked, permit, permit.sha256, ctx=office.ctx("fay"))
    assert now(office, permit).status == "in_effect"
    assert ask(office)[2]
