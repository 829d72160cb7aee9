"""Any order of operations, clock jumps and crashes: no request is sent without an approved, unexpired, hash-equal
envelope, or against a denial of the rules in force.

A model records what people did and checks every request that reaches the receiver against it. The examples are fixed;
`THREADA_MODEL_EXAMPLES` and `--hypothesis-seed` run more and others.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pytest_django import Settings

from integrations.configuration.configure import upsert_integration
from integrations.configuration.parsed_documents import readable_action_of
from integrations.freezes.scope import FreezeScope
from integrations.models import Execution, Freeze
from tests.factories import acting_system, make_tenant
from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver, receiver
from tests.workitems.office import ASKS_TWO, BANK, open_office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from threada_site.kernel.context import EntryPoint
from threada_site.kernel.errors import ThreadaError
from workitems.executions import run_execution as running
from workitems.executions.close_item import cancel_work_item, edit_payload
from workitems.executions.freezes import lift_freeze, set_freeze
from workitems.executions.operator_actions import cancel_execution, retry_execution
from workitems.models import DecisionStep, WorkItem
from workitems.steps.deadline_sweep import sweep_deadlines
from workitems.sweeps import dispatch_all_waiting, enqueue_due_executions

__all__ = ["receiver"]

pytestmark = [pytest.mark.adversarial, pytest.mark.slow, pytest.mark.django_db]

EXAMPLES = int(os.environ.get("THREADA_MODEL_EXAMPLES", "15"))
STEPS = 40
EXPIRES_AFTER = timedelta(hours=8)
AMOUNTS = st.sampled_from([500, 5, 150, 666])
FINANCE = ("fay", "finn", "fred")
BANKS = {"bank": True, "brittle": False}
SCOPES = [FreezeScope(), FreezeScope(workflow="payments"), FreezeScope(integration="bank")]


class JumpingClock:
    """Replacement for `datetime` in `clock`, also used by column defaults."""

    offset = timedelta()

    @classmethod
    def now(cls, zone: tzinfo) -> datetime:
        return datetime.now(zone) + cls.offset


class Crash(BaseException):
    """The worker died before it could record the result of its call."""


@dataclass
class Approval:
    """The votes cast in time on one envelope."""

    amount: int
    opened_at: datetime
    approved_by: set[str] = field(default_factory=set)
    is_rejected: bool = False


class World(RuleBasedStateMachine):
    """The tenant and the model's record: `limit` and `denied` are the rules in force, `approvals` is by envelope
    hash."""

    bank: Receiver
    effects: Counter[str] = Counter()
    items = Bundle("items")

    def __init__(self) -> None:
        super().__init__()
        self.block = transaction.atomic()
        self.block.__enter__()
        JumpingClock.offset = timedelta()
        self.office = open_office(make_tenant("model"))
        self.amounts: dict[Any, int] = {}
        self.approvals: dict[str, Approval] = {}
        self.needed: dict[str, int] = {}
        self.cancelled: set[str] = set()
        self.freezes: list[Freeze] = []
        self.frozen = timedelta()
        self.requests: Counter[str] = Counter()
        self.seen = len(self.bank.requests())

    def teardown(self) -> None:
        try:
            while self.freezes:
                self.lift()
            self.work(times=2)
        finally:
            transaction.set_rollback(True)
            self.block.__exit__(None, None, None)

    @initialize(target=items)
    def begin(self) -> Any:
        """Create banks, rules, and a waiting execution of every kind, so that each operation has something to act
        on."""
        ctx = acting_system(self.office.tenant, EntryPoint.COMMAND)
        with unit_of_work(self.office.tenant.id):
            for slug, is_idempotent in BANKS.items():
                pay = {**BANK["actions"]["pay"], "path": f"/{slug}"}
                spec = {**BANK, "base_url": self.bank.url, "idempotent": is_idempotent, "actions": {"pay": pay}}
                upsert_integration(slug, spec, ctx=ctx)
        self.change_policy(limit=100, denied=666)
        kinds = [(500, "bank", 2), (500, "brittle", 2), (5, "bank", 0), (5, "brittle", 0), (150, "bank", 1)]
        return multiple(*(self.create(amount, bank, voters) for amount, bank, voters in kinds))

    def attempt(self, operation: Callable[[], Any]) -> Any:
        """Return the result of `operation`, or None if it is refused. A refusal leaves the record unchanged."""
        try:
            return operation()
        except ThreadaError:
            return None

    @rule(target=items, amount=AMOUNTS, bank=st.sampled_from([*BANKS, None]), voters=st.sampled_from([2, 0, 1]))
    def create(self, amount: int, bank: str | None, voters: int) -> WorkItem:
        """Create a work item; execute it and vote on it in some examples."""
        item = self.office.decided(amount)
        self.amounts[item.id] = amount
        if bank is not None:
            self.ask_for(item, bank)
        for by in FINANCE[:voters]:
            self.say(item, by, "approve", is_stale=False)
        return item

    @rule(item=items, amount=AMOUNTS)
    def edit(self, item: WorkItem, amount: int) -> None:
        def operation() -> bool:
            self.office.on_item(item, lambda locked, *, ctx: edit_payload(locked, {"amount": amount}, ctx=ctx))
            return True

        if self.attempt(operation):
            self.amounts[item.id] = amount

    @rule(item=items, bank=st.sampled_from(list(BANKS)))
    def execute(self, item: WorkItem, bank: str) -> None:
        self.ask_for(item, bank)

    def ask_for(self, item: WorkItem, bank: str) -> None:
        started = self.attempt(lambda: self.office.execute(item, integration=bank))
        if started is not None:
            amount = self.amounts[item.id]
            assert amount != self.denied
            self.needed[started.execution.public_id] = 2 if amount > self.limit else 0
            assert (started.step is not None) == (amount > self.limit)

    @rule(
        item=items,
        by=st.sampled_from([*FINANCE, "rita", "vera"]),
        decision=st.sampled_from(["approve", "approve", "approve", "reject"]),
        is_stale=st.sampled_from([False, False, False, True]),
    )
    def vote(self, item: WorkItem, by: str, decision: str, is_stale: bool) -> None:
        self.say(item, by, decision, is_stale=is_stale)

    def say(self, item: WorkItem, by: str, decision: str, *, is_stale: bool) -> None:
        with unit_of_work(self.office.tenant.id):
            step = DecisionStep.objects.filter(work_item=item, status="pending").first()
        if step is None:
            return
        opened_at = step.opened_at
        digest = "0" * 64 if is_stale else step.envelope_sha256
        if self.attempt(lambda: self.office.vote(step, by, decision, envelope_sha256=digest)) is None:
            return
        assert not is_stale
        assert clock.now() <= opened_at + EXPIRES_AFTER + self.frozen_until_now()
        books = self.approvals.setdefault(digest, Approval(self.amounts[item.id], opened_at))
        if decision == "reject":
            books.is_rejected = True
        elif by in FINANCE:
            books.approved_by.add(by)

    @rule(item=items)
    def cancel_execution(self, item: WorkItem) -> None:
        execution = self.last_execution(item)
        if execution is not None:

            def operation() -> bool:
                self.office.on_execution(execution, cancel_execution)
                return True

            if self.attempt(operation):
                self.cancelled.add(execution.public_id)

    @rule(item=items)
    def cancel(self, item: WorkItem) -> None:
        execution = self.last_execution(item)

        def operation() -> bool:
            self.office.on_item(item, cancel_work_item)
            return True

        if self.attempt(operation) and execution is not None:
            self.cancelled.add(execution.public_id)

    @rule(item=items)
    def retry(self, item: WorkItem) -> None:
        execution = self.last_execution(item)
        if execution is not None:
            self.attempt(lambda: self.office.on_execution(execution, retry_execution))

    @precondition(lambda self: not self.freezes)
    @rule(scope=st.sampled_from(SCOPES))
    def freeze(self, scope: FreezeScope) -> None:
        def operation() -> Freeze:
            with unit_of_work(self.office.tenant.id):
                return set_freeze(scope, reason="Stop.", ctx=self.office.ctx("ada")).freeze

        frozen = self.attempt(operation)
        if frozen is not None and frozen.id not in {each.id for each in self.freezes}:
            self.freezes.append(frozen)

    @precondition(lambda self: self.freezes)
    @rule()
    def lift(self) -> None:
        frozen = self.freezes.pop(0)
        self.frozen += clock.now() - frozen.set_at
        with unit_of_work(self.office.tenant.id):
            lift_freeze(frozen.id, reason="Go on.", ctx=self.office.ctx("ada"))

    @rule(limit=st.sampled_from([100, 100, 200]), denied=AMOUNTS)
    def change_policy(self, limit: int, denied: int) -> None:
        asks = {"approvals": {**ASKS_TWO, "expires_after": "PT8H", "on_expiry": "reject"}}
        self.office.put_rules(
            {
                "id": "cursed",
                "when": f"ctx.point == 'execute' && item.payload.amount == {denied}",
                "at": "execute",
                "effect": "deny",
                "reason": "CURSED",
            },
            {
                "id": "large",
                "when": f"ctx.action == 'pay' && item.payload.amount > {limit}",
                "effect": "require_approval",
                "reason": "LARGE",
                **asks,
            },
            {"id": "fine", "when": "true", "effect": "allow", "reason": "FINE"},
        )
        self.limit, self.denied = limit, denied

    @rule(by=st.sampled_from([timedelta(seconds=31), timedelta(hours=3), timedelta(hours=9)]))
    def jump(self, by: timedelta) -> None:
        JumpingClock.offset += by

    @rule()
    def sweep(self) -> None:
        """Expire what is due."""
        sweep_deadlines(now=clock.now())

    @rule(times=st.integers(1, 2))
    def work(self, times: int) -> None:
        """Run a worker until there is nothing left to do."""
        for _ in range(times):
            dispatch_all_waiting(now=clock.now())
            enqueue_due_executions(now=clock.now())
            run_jobs(ahead_of_time=True)
        self.check_requests()

    @rule(item=items)
    def crash(self, item: WorkItem) -> None:
        """Run a worker that dies after its call, before it has settled it."""
        execution = self.last_execution(item)
        if execution is None or execution.status != "started":
            return
        settle = running.settle

        def die(*_: Any, **__: Any) -> None:
            raise Crash

        running.settle = die
        try:
            running.run_execution(self.office.tenant, execution.id)
        except Crash:
            pass
        finally:
            running.settle = settle
        self.check_requests()

    def check_requests(self) -> None:
        """Assert that every request received since was allowed now: no operation lies in between."""
        fresh = self.bank.requests()[self.seen :]
        self.seen += len(fresh)
        for request in fresh:
            public_id = request["headers"]["idempotency-key"]
            with unit_of_work(self.office.tenant.id):
                (execution,) = (each for each in self.executions() if each.public_id == public_id)
                body = bytes(execution.envelope.body)
                slug = execution.integration
                is_repeatable = readable_action_of(execution).idempotent
            digest, sent = hashlib.sha256(body).hexdigest(), json.loads(request["body"])
            amount = self.amounts[execution.work_item_id]
            self.requests[public_id] += 1
            self.effects[f"{slug} {'approved' if self.needed[public_id] else 'allowed'}"] += 1
            assert digest == execution.envelope.sha256
            assert sent == json.loads(body)["request"]["body"] == {"amount": amount}
            assert amount != self.denied
            assert public_id not in self.cancelled
            assert not [each for each in self.freezes if each.integration in ("", slug)]
            if self.needed[public_id]:
                books = self.approvals[digest]
                assert books.amount == amount
                assert len(books.approved_by) >= self.needed[public_id]
                assert not books.is_rejected
            if not is_repeatable:
                assert self.requests[public_id] == 1

    def frozen_until_now(self) -> timedelta:
        """Return the longest time by which a deadline has moved or will move."""
        return self.frozen + sum((clock.now() - each.set_at for each in self.freezes), timedelta())

    def executions(self) -> list[Execution]:
        chosen = Execution.objects.filter(tenant_id=self.office.tenant.id)
        return list(chosen.select_related("envelope", "integration_version").order_by("id"))

    def last_execution(self, item: WorkItem) -> Execution | None:
        with unit_of_work(self.office.tenant.id):
            return Execution.objects.filter(work_item_id=item.id).order_by("id").last()


def test_no_request_is_sent_without_approval_or_against_a_denial(
    receiver: Receiver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "datetime", JumpingClock)
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    receiver.behave({"/bank": {"dedupe": True}})
    World.bank, World.effects = receiver, Counter()
    run_state_machine_as_test(World, settings=_settings())
    print(f"\nmodel: {EXAMPLES} examples of up to {STEPS} operations, requests that went out: {dict(World.effects)}")
    for why in ("approved", "allowed"):
        assert sum(World.effects[f"{bank} {why}"] for bank in BANKS) > 0


def _settings() -> Any:
    return settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize="THREADA_MODEL_EXAMPLES" not in os.environ,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
