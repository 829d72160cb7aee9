"""Demo tenant of a new instance, and actions of its people by the API."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import orjson

from integrations.configuration.configure import upsert_integration
from policies.models import Policy
from policies.publication.publish import upsert_policy
from telemetry.models import Receipt
from tests.client import Api
from tests.factories import acting_system, make_principal, make_token
from tests.jobs import run_jobs
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import EntryPoint
from threada_site.kernel.json.canonical import sha256_hex
from threada_site.runtime.prepare import DEMO_CLIENT, DemoSecrets, seed_demo
from threada_site.tenancy.models import Tenant, User

BANK_TOKEN = "s3cret-of-the-bank"
BANK: dict[str, Any] = {
    "connector": "http",
    "base_url": "http://127.0.0.1:9901",
    "idempotent": True,
    "timeout": "PT10S",
    "retry": {"attempts": 5, "backoff": 2, "max_backoff": "PT5M"},
    "auth": {"scheme": "bearer", "secret": {"env": "BANK_TOKEN"}},
    "actions": {
        "pay": {
            "method": "POST",
            "path": "/payments",
            "body": {
                "vendor": "${item.payload.vendor}",
                "amount_minor": "${item.payload.amount_minor}",
                "reference": "${item.id}",
            },
            "resolves": True,
        }
    },
}
"""A real bank in the place of the simulated one that `manage.py up` installs."""
LARGE = {"vendor": "Hooli", "amount_minor": 2_000_000}
SMALL = {"vendor": "Hooli", "amount_minor": 900}


@dataclass
class Demo:
    """Seeded tenant. `api(name)` is a client of a principal with all its permissions."""

    tenant: Tenant
    secrets: DemoSecrets
    _clients: dict[str, Api] = field(default_factory=dict)

    @property
    def client(self) -> Api:
        """Return the client of the demo service, whose token a new user gets."""
        return Api(self.secrets.token)

    def api(self, name: str) -> Api:
        if name not in self._clients:
            self._clients[name] = Api(make_token(self.tenant, User.objects.get(username=name)))
        return self._clients[name]

    def join(self, name: str, kind: str = "human", roles: tuple[str, ...] = ("client",)) -> Api:
        """Create a principal. Return its client."""
        make_principal(self.tenant, name, kind=kind, roles=roles)
        return self.api(name)

    def hand_in(
        self, payload: dict[str, Any], *, workflow: str = "payment_run", by: Api | None = None, **more: Any
    ) -> str:
        """Create a work item that is not decided yet. Return its id."""
        body = {"workflow_id": workflow, "channel_id": "web_main", "payload": payload, **more}
        answer = (by or self.client).post("/work-items", body)
        assert answer.status_code == 201, answer.content
        return answer.json()["work_item_id"]

    def execute(
        self, item: str, *, action: str = "pay", integration: str = "int_bank", by: Api | None = None, **more: Any
    ) -> Any:
        body = {"work_item_id": item, "action_id": action, "integration_id": integration, **more}
        return (by or self.client).post("/actions/execute", body)

    def step_of(self, item: str) -> dict[str, Any]:
        """Return the pending step of an item."""
        (step,) = self.client.get("/decision-steps", {"work_item_id": item, "status": "pending"}).json()["data"]
        return step

    def step_of_id(self, step_id: str) -> dict[str, Any]:
        return self.client.get(f"/decision-steps/{step_id}").json()

    def vote(self, name: str, step: dict[str, Any], decision: str = "approve", **more: Any) -> Any:
        body = {"decision": decision, "envelope_sha256": step["envelope_sha256"], **more}
        return self.api(name).post(f"/decision-steps/{step['decision_step_id']}/votes", body)

    def item(self, item: str) -> dict[str, Any]:
        return self.client.get(f"/work-items/{item}").json()

    def execution(self, execution: str) -> dict[str, Any]:
        return self.client.get(f"/executions/{execution}").json()

    def story(self, item: str) -> list[dict[str, Any]]:
        """Return the receipts of an item, oldest first."""
        events = self.client.get(f"/work-items/{item}/timeline", {"limit": 200}).json()["data"]
        return list(reversed(events))

    def kinds(self, item: str) -> list[str]:
        return [event["kind"] for event in self.story(item)]

    def put_bank(self, url: str, **changes: Any) -> None:
        """Set the URL of int_bank, like the instance's operator."""
        from integrations.models import Integration

        with unit_of_work(self.tenant.id):
            current = Integration.objects.select_related("current_version").get(slug="int_bank").current_version
        base = current.spec if current.spec["connector"] == "http" else BANK
        put_real_bank(self.tenant, **{**base, "base_url": url, **changes})

    def put_rules(self, *first: dict[str, Any], policy: str = "payments", only: bool = False) -> None:
        """Publish a version of a policy with `first` before its rules (or instead of them)."""
        with unit_of_work(self.tenant.id):
            rules = Policy.objects.select_related("in_force").get(slug=policy).in_force.document["rules"]
            upsert_policy(policy, {"rules": [*first, *([] if only else rules)]}, ctx=acting_system(self.tenant))

    def check_receipts(self) -> int:
        """Check every receipt against its digest and its columns. Return their number."""
        with unit_of_work(self.tenant.id):
            receipts = list(Receipt.objects.all())
        for receipt in receipts:
            raw = bytes(receipt.body)
            body = orjson.loads(raw)
            assert sha256_hex(raw) == receipt.body_sha256
            assert (body["kind"], body["id"]) == (receipt.kind, receipt.public_id)
            assert body["subject"].get("status", "") == receipt.status
            assert body["subject"].get("workflow_id", "") == receipt.workflow
        return len(receipts)

    def wait(self) -> list[str]:
        """Give the worker time."""
        return run_jobs()


def envelope_bytes(step: dict[str, Any]) -> bytes:
    """Return the exact bytes of a step's envelope."""
    return base64.b64decode(step["envelope_base64"])


__all__ = ["BANK_TOKEN", "DEMO_CLIENT", "LARGE", "SMALL", "Demo", "envelope_bytes"]


def seeded_demo() -> Demo:
    """Seed the tenant `demo` as `manage.py up` does, with a real bank, and run its jobs."""
    secrets = seed_demo()
    tenant = Tenant.objects.get(slug="demo")
    put_real_bank(tenant)
    run_jobs()
    return Demo(tenant, secrets)


def put_real_bank(tenant: Tenant, **changes: Any) -> None:
    """Replace the simulated bank of the pack by a real one, like the instance's operator."""
    with unit_of_work(tenant.id):
        upsert_integration("int_bank", {**BANK, **changes}, ctx=acting_system(tenant, EntryPoint.COMMAND))
