"""A small rulebook for tests: the payment run of the README."""

from __future__ import annotations

from typing import Any

import orjson

from policies.configuration.channels import upsert_channel
from policies.configuration.lists import upsert_list
from policies.configuration.overlays import upsert_overlay
from policies.configuration.workflows import upsert_workflow
from policies.documents.list import parse_list
from policies.documents.overlay import OverlayScope
from policies.documents.workflow import parse_workflow
from policies.language.facts import Point
from policies.language.request import DecisionRequest
from policies.models import PolicyVersion
from policies.publication.publish import upsert_policy
from telemetry.models import Receipt
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext

PAYMENT_RUN = OverlayScope("workflow", "payment_run")
WEB_MAIN = OverlayScope("channel", "web_main")
TENANT = OverlayScope("tenant")

PAYMENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["vendor", "amount_minor"],
    "properties": {"vendor": {"type": "string"}, "amount_minor": {"type": "integer"}},
}


def rule(name: str, effect: str, when: str = "true", **more: Any) -> dict[str, Any]:
    """Return a rule whose reason is its id in capitals."""
    if effect == "require_approval":
        more = {"approvals": {"role": "finance"}, **more}
    return {"id": name, "when": when, "effect": effect, "reason": name.upper().replace("-", "_"), **more}


def spec(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"rules": list(rules), **more}


PAYMENTS = spec(
    rule("sanctioned", "deny", "item.payload.vendor in lists.sanctioned_vendors"),
    rule("large", "require_approval", "ctx.action == 'pay' && item.payload.amount_minor > 1000"),
    rule("unsure", "review", "item.confidence < 0.8"),
    rule("within-limits", "allow"),
)


def put_payment_run(ctx: ActingContext) -> None:
    """Create the workflow, channel and list that `PAYMENTS` uses."""
    upsert_workflow("payment_run", parse_workflow({"payload_schema": PAYMENT_SCHEMA, "actions": ["pay"]}), ctx=ctx)
    upsert_channel("web_main", ctx=ctx)
    upsert_list("sanctioned_vendors", parse_list({"items": ["Initech"]}), ctx=ctx)


def put_in_force(
    document: dict[str, Any], scope: OverlayScope = PAYMENT_RUN, *, ctx: ActingContext, policy: str = "payments"
) -> PolicyVersion:
    """Publish `document` as `policy` and bind it."""
    version = upsert_policy(policy, document, ctx=ctx).row
    upsert_overlay(policy, scope, ctx=ctx)
    return version


def asking(**changes: Any) -> DecisionRequest:
    """Return a request for a small payment at intake, updated with `changes`."""
    return DecisionRequest(
        **{
            "point": Point.EXECUTE if "action" in changes else Point.INTAKE,
            "work_item_id": ids.new_uuid(),
            "workflow": "payment_run",
            "channel": "web_main",
            "payload": {"vendor": "Hooli", "amount_minor": 5},
            "requester": "pr_someone",
            "data_class": "internal",
            "actor": "pr_someone",
            "actor_kind": "human",
            **changes,
        }
    )


def receipts(kind: str) -> list[dict[str, Any]]:
    """Return the receipt bodies of one kind, oldest first. Needs a unit of work."""
    return [orjson.loads(bytes(row.body)) for row in Receipt.objects.filter(kind=kind).order_by("id")]


def receipt_kinds() -> list[str]:
    return list(Receipt.objects.order_by("id").values_list("kind", flat=True))
