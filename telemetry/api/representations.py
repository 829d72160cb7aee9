"""JSON representations of receipts, checkpoints, exports and summaries."""

from __future__ import annotations

import base64
from typing import Any

import orjson

from telemetry.models import Checkpoint, Receipt, TelemetryExport
from telemetry.selectors import InstanceProof
from telemetry.summary.measures import Measure
from telemetry.summary.metrics import EFFECTS, EXECUTION_ENDS, STEP_ENDS, SummaryMetrics
from telemetry.summary.summarize import Summary
from threada_site.kernel import ids
from threada_site.kernel.clock import rfc3339


def represent_event(receipt: Receipt) -> dict[str, Any]:
    """Return a receipt as an event: its projections, its digest, and its decoded body."""
    return {
        "receipt_id": receipt.public_id,
        "kind": receipt.kind,
        "occurred_at": rfc3339(receipt.occurred_at),
        "actor": ids.public_id(ids.PRINCIPAL, receipt.actor_id) if receipt.actor_id else "system",
        "work_item_id": receipt.work_item_id and ids.public_id(ids.WORK_ITEM, receipt.work_item_id),
        "execution_id": receipt.execution_id and ids.public_id(ids.EXECUTION, receipt.execution_id),
        "workflow_id": receipt.workflow or None,
        "channel_id": receipt.channel or None,
        "integration_id": receipt.integration or None,
        "status": receipt.status or None,
        "policy_version_id": receipt.policy_version_id and ids.public_id(ids.POLICY_VERSION, receipt.policy_version_id),
        "reason_codes": list(receipt.reason_codes),
        "correlation_id": receipt.correlation_id,
        "body_sha256": receipt.body_sha256,
        "body": orjson.loads(bytes(receipt.body)),
    }


def represent_checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return a checkpoint: the signed note verbatim, and its values."""
    return {
        "checkpoint_id": checkpoint.public_id,
        "origin": checkpoint.origin,
        "tree_size": checkpoint.size,
        "root_hash": base64.b64encode(bytes(checkpoint.root)).decode(),
        "signed_at": rfc3339(checkpoint.signed_at),
        "checkpoint": checkpoint.note,
        "verifier_keys": checkpoint.verifier_keys,
    }


def represent_instance_proof(found: InstanceProof, *, consistency: str | None) -> dict[str, Any]:
    """Return a checkpoint of the instance log and the position of the tenant's own checkpoint in it."""
    checkpoint, entry = found.checkpoint, found.entry
    return {
        "origin": checkpoint.origin,
        "tree_size": checkpoint.size,
        "root_hash": base64.b64encode(bytes(checkpoint.root)).decode(),
        "signed_at": rfc3339(checkpoint.signed_at),
        "checkpoint": checkpoint.note,
        "verifier_keys": checkpoint.verifier_keys,
        "entry": {
            "checkpoint_id": ids.public_id(ids.CHECKPOINT, entry.checkpoint_id),
            "checkpoint": entry.note,
            "index": entry.index,
            "proof": str(found.proof),
        },
        "consistency": consistency,
    }


def represent_export(export: TelemetryExport) -> dict[str, Any]:
    """Return an export with its progress and its download URL."""
    return {
        "export_id": export.public_id,
        "status": export.status,
        "format": export.format,
        "compression": export.compression,
        "filters": export.filters,
        "created_after": rfc3339(export.created_after),
        "created_before": rfc3339(export.created_before),
        "requested_by": ids.public_id(ids.PRINCIPAL, export.requested_by),
        "created_at": rfc3339(export.created_at),
        "rows": export.rows,
        "rows_expected": export.rows_expected,
        "size": export.size,
        "sha256": export.sha256 or None,
        "failure": {"reason_code": export.failure, "detail": export.failure_detail} if export.failure else None,
        "started_at": export.started_at and rfc3339(export.started_at),
        "ready_at": export.ready_at and rfc3339(export.ready_at),
        "expires_at": export.expires_at and rfc3339(export.expires_at),
        "download_url": f"/telemetry/exports/{export.public_id}/download",
    }


def represent_summary(summary: Summary, *, group_by: str | None) -> dict[str, Any]:
    """Return the summary over whole days (UTC), in total and by group."""
    return {
        "created_after": rfc3339(summary.after),
        "created_before": rfc3339(summary.before),
        "as_of": rfc3339(summary.as_of) if summary.as_of else None,
        "uncounted_receipts": summary.uncounted,
        "group_by": group_by,
        "total": _represent_metrics(summary.total),
        "groups": [{"key": key, "figures": _represent_metrics(group)} for key, group in summary.groups.items()],
        "groups_left_out": summary.left_out,
    }


def _represent_metrics(metrics: SummaryMetrics) -> dict[str, Any]:
    def counted(measure: Measure, labels: tuple[str, ...]) -> dict[str, int]:
        return {label: metrics.counts[measure][label] for label in labels}

    def reasons(measure: Measure) -> list[dict[str, Any]]:
        return [{"reason_code": code, "count": count} for code, count in metrics.ranked(measure)]

    def seconds(q: float) -> float | None:
        found = metrics.decision_time(q)
        return None if found is None else round(found, 3)

    rate = metrics.automation_rate
    return {
        "work_items_received": metrics.received,
        "policy_decisions": counted(Measure.DECIDED, EFFECTS),
        "refusals": reasons(Measure.REFUSED),
        "requests_refused": reasons(Measure.REQUEST_REFUSED),
        "decision_steps": counted(Measure.STEP, STEP_ENDS),
        "decision_seconds": {"count": metrics.decided_by_people, "p50": seconds(0.5), "p95": seconds(0.95)},
        "automation_rate": None if rate is None else round(rate, 4),
        "executions": counted(Measure.EXECUTION, EXECUTION_ENDS),
        "execution_failures": reasons(Measure.FAILURE),
    }
