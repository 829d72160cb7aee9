"""A small office to test with: one workflow, rules, a bank, and people. Everything but what a test changes is here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from integrations.configuration.configure import upsert_integration
from integrations.models import Execution
from policies.configuration.channels import upsert_channel
from policies.configuration.overlays import upsert_overlay
from policies.configuration.workflows import upsert_workflow
from policies.documents.overlay import OverlayScope
from policies.documents.workflow import parse_workflow
from policies.publication.publish import upsert_policy
from telemetry.models import Receipt
from tests.client import Api
from tests.factories import acting, acting_system, make_principal, make_token
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.roles import define_role
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext, EntryPoint, PrincipalKind, Scope
from threada_site.kernel.ids import new_uuid
from threada_site.tenancy.models import AccountDependence, Tenant, User
from workitems import selectors
from workitems.executions.request_action import ActionRequest, ActionStarted, execute_action
from workitems.items.intake import IntakeRequest, create_work_item
from workitems.items.locks import locked_execution, locked_item, locked_step
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep, Vote, WorkItem
from workitems.steps.policy.decision import take_intake_decision
from workitems.steps.voting import Ballot, cast_vote

WORKFLOW: dict[str, Any] = {
    "payload_schema": {
        "type": "object",
        "required": ["amount"],
        "properties": {"amount": {"type": "integer"}, "vendor": {"type": "string"}},
    },
    "actions": ["pay", "request_approval", "assign", "close"],
    "reject_reasons": ["WRONG", "OTHER"],
}
BANK: dict[str, Any] = {
    "connector": "http",
    "base_url": "http://127.0.0.1:9",
    "idempotent": True,
    "actions": {
        "pay": {"method": "POST", "path": "/payments", "body": {"amount": "${item.payload.amount}"}, "resolves": True}
    },
}
DESK: dict[str, Any] = {
    "connector": "workflow",
    "actions": {"request_approval": {"question": "Go ahead?"}, "assign": {"to": "${input.to}"}, "close": {}},
}
ASKS_TWO: dict[str, Any] = {"all": [{"role": "finance", "count": 2}], "exclude": ["requester"]}
RULES: list[dict[str, Any]] = [
    {"id": "cursed", "when": "item.payload.amount == 666", "effect": "deny", "reason": "CURSED"},
    {
        "id": "large",
        "when": "ctx.action == 'pay' && item.payload.amount > 100",
        "effect": "require_approval",
        "reason": "LARGE",
        "approvals": ASKS_TWO,
    },
    {"id": "unsure", "when": "item.confidence < 0.8", "effect": "review", "reason": "UNSURE"},
    {"id": "fine", "when": "true", "effect": "allow", "reason": "FINE"},
]
PEOPLE = {
    "rita": ("client",),
    "fay": ("approver", "finance"),
    "finn": ("approver", "finance"),
    "fred": ("approver", "finance"),
    "vera": ("approver",),
    "wim": ("viewer",),
    "ada": ("tenant_admin",),
}


@dataclass
class Office:
    """The tenant with its people; acts by service calls, each in a unit of work of its own."""

    tenant: Tenant
    people: dict[str, User] = field(default_factory=dict)
    _apis: dict[str, Api] = field(default_factory=dict)

    @property
    def system(self) -> ActingContext:
        return acting_system(self.tenant)

    def ctx(self, name: str, **options: Any) -> ActingContext:
        return acting(self.tenant, self.people[name], **options)

    def publishing(self, name: str) -> ActingContext:
        """Return the context of `name`, who publishes a change set."""
        return replace(self.ctx(name), change_set_id=new_uuid())

    def api(self, name: str) -> Api:
        if name not in self._apis:
            self._apis[name] = Api(make_token(self.tenant, self.people[name]))
        return self._apis[name]

    def join(self, name: str, kind: str = "human", roles: tuple[str, ...] = ("client",)) -> User:
        self.people[name] = make_principal(self.tenant, name, kind=PrincipalKind(kind), roles=roles)
        return self.people[name]

    def depend(self, name: str, on: str, reason: str = "invited") -> None:
        """Record that the account of `name` depends on another person."""
        with unit_of_work(self.tenant.id):
            AccountDependence.objects.create(
                tenant=self.tenant, user=self.people[name], depends_on=self.people[on], reason=reason
            )

    def confirm(self, name: str) -> None:
        """End all dependences of the account of `name`, as the operator does."""
        with unit_of_work(self.tenant.id):
            AccountDependence.objects.filter(user=self.people[name]).update(ended_at=clock.now(), ended_how="operator")

    def put_rules(self, *rules: dict[str, Any], policy: str = "rules") -> None:
        with unit_of_work(self.tenant.id):
            upsert_policy(policy, {"rules": list(rules)}, ctx=self.system)
            upsert_overlay(policy, OverlayScope("workflow", "payments"), ctx=self.system)

    def upsert_workflow(self, slug: str = "payments", **changes: Any) -> None:
        with unit_of_work(self.tenant.id):
            upsert_workflow(slug, parse_workflow({**WORKFLOW, **changes}), ctx=self.system)

    def put_bank(self, **changes: Any) -> None:
        with unit_of_work(self.tenant.id):
            upsert_integration("bank", {**BANK, **changes}, ctx=acting_system(self.tenant, EntryPoint.COMMAND))

    def create(self, amount: int = 5, *, by: str = "rita", **more: Any) -> WorkItem:
        """Create a work item that is not decided yet."""
        asked: dict[str, Any] = {"workflow": "payments", "channel": "web", "payload": {"amount": amount}, **more}
        with unit_of_work(self.tenant.id):
            return create_work_item(IntakeRequest(**asked), ctx=self.ctx(by))

    def decided(self, amount: int = 5, **more: Any) -> WorkItem:
        """Create a work item with a policy decision."""
        item = self.create(amount, **more)
        with unit_of_work(self.tenant.id):
            locked = locked_item(item.id, ctx=self.system)
            take_intake_decision(locked, ctx=self.system)
        return self.item(item)

    def execute(self, item: WorkItem, *, by: str = "rita", **request: Any) -> ActionStarted:
        with unit_of_work(self.tenant.id):
            asked = {"integration": "bank", "action": "pay", **request}
            return execute_action(locked_item(item.id, ctx=self.system), ActionRequest(**asked), ctx=self.ctx(by))

    def awaiting(self, amount: int = 500, **more: Any) -> tuple[WorkItem, DecisionStep, Execution]:
        """Create a payment that needs two approvals of finance."""
        item = self.decided(amount, **more)
        started = self.execute(item)
        assert started.step is not None
        return self.item(item), started.step, started.execution

    def vote(self, step: DecisionStep, by: str, decision: str = "approve", **more: Any) -> Vote:
        ballot = {"envelope_sha256": step.envelope_sha256, "decision": decision, **more}
        if decision == "reject":
            ballot.setdefault("reason_code", "WRONG")
        with unit_of_work(self.tenant.id):
            item, locked = locked_step(step.id, ctx=self.system)
            return cast_vote(item, locked, Ballot(**ballot), ctx=self.ctx(by))

    def on_item(self, item: WorkItem, operation: Any, by: str = "rita", **more: Any) -> Any:
        """`operation(locked item, ctx=…)` in a unit of work."""
        with unit_of_work(self.tenant.id):
            return operation(locked_item(item.id, ctx=self.system), ctx=self.ctx(by), **more)

    def on_execution(self, execution: Execution, operation: Any, by: str = "rita", **more: Any) -> Any:
        """`operation(locked item, locked execution, ctx=…)` in a unit of work."""
        with unit_of_work(self.tenant.id):
            return operation(*locked_execution(execution.id, ctx=self.system), ctx=self.ctx(by), **more)

    def item(self, item: WorkItem) -> WorkItem:
        with unit_of_work(self.tenant.id):
            found = selectors.work_item(item.id, ctx=self.system)
            assert found is not None
            return found

    def item_of(self, execution: Execution) -> WorkItem:
        with unit_of_work(self.tenant.id):
            return WorkItem.objects.get(id=execution.work_item_id)

    def step(self, step: DecisionStep) -> DecisionStep:
        with unit_of_work(self.tenant.id):
            return DecisionStep.objects.get(id=step.id)

    def pending_step(self, item: WorkItem) -> DecisionStep:
        with unit_of_work(self.tenant.id):
            return DecisionStep.objects.get(work_item=item, status=StepStatus.PENDING)

    def execution(self, execution: Execution) -> Execution:
        with unit_of_work(self.tenant.id):
            return Execution.objects.select_related("envelope", "integration_version").get(id=execution.id)

    def set_execution(self, execution: Execution, **columns: Any) -> None:
        """Let time pass for a row."""
        with unit_of_work(self.tenant.id):
            Execution.objects.filter(id=execution.id).update(**columns)

    def set_step(self, step: DecisionStep, **columns: Any) -> None:
        with unit_of_work(self.tenant.id):
            DecisionStep.objects.filter(id=step.id).update(**columns)

    def kinds(self, item: WorkItem) -> list[str]:
        with unit_of_work(self.tenant.id):
            return list(Receipt.objects.filter(work_item_id=item.id).order_by("id").values_list("kind", flat=True))

    def bodies(self, kind: str) -> list[dict[str, Any]]:
        with unit_of_work(self.tenant.id):
            rows = Receipt.objects.filter(kind=kind).order_by("id")
            return [orjson.loads(bytes(row.body)) for row in rows]

    def count(self, model: Any) -> int:
        with unit_of_work(self.tenant.id):
            return model.objects.count()


def open_office(tenant: Tenant) -> Office:
    office = Office(tenant)
    with unit_of_work(tenant.id):
        ctx = acting_system(tenant)
        define_role("finance", frozenset({Scope.WORKITEMS_READ, Scope.DECISIONS_DECIDE}), ctx=ctx)
        upsert_channel("web", ctx=ctx)
        upsert_integration("desk", DESK, ctx=ctx)
    office.upsert_workflow()
    office.put_bank()
    office.put_rules(*RULES)
    for name, roles in PEOPLE.items():
        office.join(name, roles=roles)
    return office
