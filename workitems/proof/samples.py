"""Sample cases for a proof: the payloads of policy tests, with the actions that the workflow allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from integrations import selectors as integration_selectors
from policies import selectors as policy_selectors
from policies.models import Workflow
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import canonical_bytes
from workitems.items.intake import checked_payload

_MOST_PAYLOADS: Final = 8
_INTERNAL: Final = "workflow"
"""Connector that acts on the work item itself."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One case: a payload, and the action to ask for."""

    workflow: str
    channel: str | None
    payload: Any
    confidence: float
    integration: str
    action: str
    input: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the case for people."""
        return f"{self.action} of {self.workflow} at {self.integration}, {canonical_bytes(self.payload).decode()[:120]}"


def samples(ctx: ActingContext) -> Iterator[Sample]:
    """Yield the sample cases of every workflow with an action at an outside system."""
    channel = policy_selectors.channels(ctx).order_by("slug").values_list("slug", flat=True).first()
    offered = [
        (integration.slug, action.slug)
        for integration in integration_selectors.integrations(ctx).exclude(connector=_INTERNAL).order_by("slug")
        if integration.current_version_id
        for action in integration_selectors.current_actions(integration)
    ]
    for workflow in policy_selectors.all_workflows(ctx).order_by("slug"):
        assert workflow.current_version_id is not None  # noqa: S101  (the selector filters)
        document = policy_selectors.workflow_document(workflow.current_version_id, ctx=ctx)
        declared = document.request
        chosen = (declared.channel if declared else None) or (channel if document.channel_required else None)
        for payload, confidence in _payloads(workflow, document, ctx=ctx):
            for integration, action in offered:
                if action in document.actions:
                    given = dict(declared.input) if declared and declared.action == action else {}
                    yield Sample(workflow.slug, chosen, payload, confidence, integration, action, given)


def _payloads(
    workflow: Workflow, document: policy_selectors.WorkflowDocument, *, ctx: ActingContext
) -> Iterator[tuple[Any, float]]:
    """Yield the valid payloads in tests of the policies that apply to the workflow, each once, with the confidence."""
    seen: set[bytes] = set()
    for overlay in policy_selectors.applying(policy_selectors.overlays(ctx), workflow=workflow.slug):
        version = overlay.policy.in_force
        for test in version.document.get("tests", ()) if version else ():
            item = (test.get("given") or {}).get("item") or {}
            payload = item.get("payload")
            if (
                payload is None
                or item.get("workflow", workflow.slug) != workflow.slug
                or not isinstance(payload, Mapping)
            ):
                continue
            try:
                written = checked_payload(payload, document)
            except errors.ThreadaError:
                continue
            if written not in seen and len(seen) < _MOST_PAYLOADS:
                seen.add(written)
                yield payload, float(item.get("confidence", 1.0))
