"""Verification of an envelope right before its call, against the rows it was built from."""

from __future__ import annotations

from typing import Any

from integrations.attempts.failures import envelope_mismatch
from integrations.configuration.parsed_documents import check_intact, document_of
from integrations.executions.envelope import check_agrees, open_envelope
from integrations.models import Execution
from policies.models import PolicyDecision
from policies.selectors import policy_decision
from threada_site.kernel.json.canonical import canonical_sha256
from workitems import selectors
from workitems.executions.build_envelope import build_request_envelope
from workitems.lifecycle import StepStatus
from workitems.models import Vote, WorkItem
from workitems.steps.opening_and_closing import pinned_versions


def open_to_run(item: WorkItem, execution: Execution) -> dict[str, Any]:
    """Return the verified envelope of a locked execution.

    Raises `TransportFailure` (`envelope_mismatch`) if bytes and hash, item, payload, evidence, input, action,
    integration version, idempotency key, policy versions or the approval no longer match the envelope.
    """
    envelope = execution.envelope
    envelope_fields = open_envelope(bytes(envelope.body), envelope.sha256)
    check_intact(execution)
    if canonical_sha256(item.payload) != item.payload_sha256:
        raise envelope_mismatch("What would run is not what the envelope contains: the payload was changed.")
    if not isinstance(envelope_fields.get("request"), dict):
        raise envelope_mismatch("The envelope contains no request.")
    decided = execution.policy_decision_id
    decision = policy_decision(decided, tenant_id=item.tenant_id) if decided else None
    document = document_of(execution.integration_version)
    now = build_request_envelope(
        item,
        execution,
        pinned_versions(decision),
        envelope_fields["request"],
        action=document.action(execution.action),
        connector=document.connector,
    )
    check_agrees(envelope_fields, now)
    _check_approved(execution, decision)
    return envelope_fields


def _check_approved(execution: Execution, decision: PolicyDecision | None) -> None:
    """Raise `TransportFailure` unless a required approval was given by votes for exactly this envelope."""
    sha256 = execution.envelope.sha256
    asked = selectors.steps_about(execution)
    if not asked and (decision is None or decision.outcome != "require_approval"):
        return
    pins = pinned_versions(decision)
    steps = [
        step
        for step in asked
        if (step.envelope_sha256, step.status, step.policy_version_ids) == (sha256, StepStatus.APPROVED, pins)
    ]
    votes = Vote.objects.filter(tenant_id=execution.tenant_id, step__in=steps, counted=True, decision="approve")
    named = set(votes.values_list("envelope_sha256", flat=True))
    if named != {sha256}:
        raise envelope_mismatch("What would run is not what was approved.")
