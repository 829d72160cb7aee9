"""Demo tenant with cases, and the ids and values for requests that find something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.client import Api
from tests.contract.world import made, upload
from tests.factories import make_principal, make_token
from tests.jobs import run_jobs
from tests.journeys.demo import LARGE, SMALL, Demo


@dataclass(frozen=True)
class Populated:
    """Tenant with cases.

    `values`: path variable, parameter or body member → possible values; `envelopes`: decision step → hash for votes.
    """

    token: str
    values: dict[str, list[Any]]
    envelopes: dict[str, str]


def populate(demo: Demo) -> Populated:
    """Create cases in several states, a draft, an export, and a principal with all scopes."""
    token = make_token(demo.tenant, make_principal(demo.tenant, "fuzzer", roles=("tenant_admin", "finance")))
    admin = Api(token)
    cancelled = demo.hand_in(SMALL)
    made(admin.post(f"/work-items/{cancelled}/cancel", {}))
    demo.hand_in(SMALL, confidence=0.1)
    demo.execute(demo.hand_in(LARGE))
    demo.execute(demo.hand_in(SMALL))
    demo.execute(demo.secrets.work_item_id, action="request_approval", integration="int_workflow")
    run_jobs()
    demo.hand_in(LARGE)
    rule = {"id": "never", "when": "false", "effect": "deny", "reason": "NEVER"}
    draft = made(admin.post("/policies/payments/versions", {"document": {"rules": [rule]}}))
    made(admin.post("/telemetry/exports", {}))
    commented = f"/work-items/{demo.secrets.work_item_id}/comments"
    made(admin.post(commented, {"text": "Fine."}))
    steps = _listed(admin, "/decision-steps")
    executions = _listed(admin, "/executions")
    versions = [version for version in _listed(admin, "/policies/payments/versions") if version != draft]
    return Populated(
        token,
        {
            "work_item_id": _column(_listed(admin, "/work-items"), "work_item_id"),
            "attachment_id": [upload(admin)["attachment_id"]],
            "comment_id": _column(_listed(admin, commented), "comment_id"),
            "text": ["Is it *signed*? @admin", "x"],
            "audience": ["everyone", "deciders"],
            "decision_step_id": _column(steps, "decision_step_id"),
            "execution_id": _column(executions, "execution_id"),
            "policy_decision_id": [name for name in _column(executions, "policy_decision_id") if name],
            "policy_version_id": _column(versions, "policy_version_id"),
            "version": ["1", "2", "3", draft["policy_version_id"]],
            "overlay_id": _column(_listed(admin, "/overlays"), "overlay_id"),
            "receipt_id": _column(_listed(admin, "/telemetry/events"), "receipt_id"),
            "export_id": [made(admin.post("/telemetry/exports", {}))["export_id"]],
            "workflow_id": _column(_listed(admin, "/workflows"), "workflow_id"),
            "list_id": ["sanctioned_vendors"],
            "channel_id": _column(_listed(admin, "/channels"), "channel_id"),
            "policy_id": ["payments", "policy_review_rules"],
            "integration_id": ["int_workflow", "int_bank"],
            "action_id": ["request_approval", "assign", "close", "pay"],
            "requester": ["demo-client", "admin"],
            "payload": [LARGE, SMALL, {"question": "?"}],
            "evidence": [["a"], {"fallback_reason": "none"}],
            "kind": ["work_item.created", "review", "approval"],
            "Threada-Tenant": ["demo"],
            "Threada-Role": ["tenant_admin"],
            "If-Match": ["*"],
        },
        {step["decision_step_id"]: step["envelope_sha256"] for step in steps},
    )


def _listed(admin: Api, path: str) -> list[dict[str, Any]]:
    return made(admin.get(path, {"limit": 200}))["data"]


def _column(rows: list[dict[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows]
