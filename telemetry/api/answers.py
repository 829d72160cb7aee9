"""Response schemas of telemetry for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from telemetry.exports.formats import COMPRESSIONS, FORMATS
from telemetry.lifecycle import ExportStatus
from threada_site.api.operations import Representation, representation
from threada_site.api.shapes import id_schema
from threada_site.kernel import ids

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_MAYBE_TEXT: Final[dict[str, Any]] = {"type": ["string", "null"]}
_INSTANT: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}

EVENT: Final = representation(
    "Event",
    {
        "receipt_id": id_schema(ids.RECEIPT),
        "kind": {"type": "string", "description": "noun.past_participle, such as work_item.created"},
        "occurred_at": _INSTANT,
        "actor": {"type": "string", "description": "pr_… or system"},
        "work_item_id": _MAYBE_TEXT,
        "execution_id": _MAYBE_TEXT,
        "workflow_id": _MAYBE_TEXT,
        "channel_id": _MAYBE_TEXT,
        "integration_id": _MAYBE_TEXT,
        "status": _MAYBE_TEXT,
        "policy_version_id": _MAYBE_TEXT,
        "reason_codes": {"type": "array", "items": _TEXT},
        "correlation_id": _TEXT,
        "body_sha256": {"type": "string", "description": "SHA-256 of the receipt's canonical bytes."},
        "body": {"type": "object", "description": "The receipt: actor, inputs, evidence, policy, outcome."},
    },
)
CHECKPOINT: Final = representation(
    "Checkpoint",
    {
        "checkpoint_id": id_schema(ids.CHECKPOINT),
        "origin": {"type": "string", "description": "The log's name; it ends in the tenant's id."},
        "tree_size": {"type": "integer", "description": "Number of receipts in the log."},
        "root_hash": {"type": "string", "description": "RFC 6962 tree hash, base64."},
        "signed_at": _INSTANT,
        "checkpoint": {"type": "string", "description": "The signed note, verbatim (c2sp.org/tlog-checkpoint)."},
        "verifier_keys": {
            "type": "array",
            "items": _TEXT,
            "description": "The public keys that signed (vkeys, c2sp.org/signed-note). Compare them with the keys "
            "that the operator gave you by other means.",
        },
    },
)
RECEIPT_PROMISE: Final[dict[str, Any]] = {
    "type": ["object", "null"],
    "required": ["promise", "promise_key", "due_at", "receipt_ids"],
    "properties": {
        "promise": {
            "type": "string",
            "description": "A signed note (c2sp.org/signed-note): the receipts that this call wrote, each with the "
            "hash of its leaf, will be in the tenant's log by the stated time. Save it: `threada_verify.py promise` "
            "checks it against the log.",
        },
        "promise_key": {
            "type": "string",
            "description": "A signed note of the sealer that endorses the key of the promise.",
        },
        "due_at": _INSTANT,
        "receipt_ids": {"type": "array", "items": id_schema(ids.RECEIPT)},
    },
    "description": "Null until the sealer has endorsed the key, some seconds after the first start.",
}
INSTANCE_PROOF: Final = representation(
    "InstanceProof",
    {
        "origin": {"type": "string", "description": "The name of the instance's log."},
        "tree_size": {"type": "integer", "description": "Number of checkpoints in the log, across all tenants."},
        "root_hash": {"type": "string", "description": "RFC 6962 tree hash, base64."},
        "signed_at": _INSTANT,
        "checkpoint": {"type": "string", "description": "The signed checkpoint, verbatim (c2sp.org/tlog-checkpoint)."},
        "verifier_keys": {"type": "array", "items": _TEXT, "description": "The public keys that signed."},
        "entry": {
            "type": "object",
            "required": ["checkpoint_id", "checkpoint", "index", "proof"],
            "properties": {
                "checkpoint_id": id_schema(ids.CHECKPOINT),
                "checkpoint": {"type": "string", "description": "Your signed note: its exact bytes are the leaf."},
                "index": {"type": "integer", "description": "Leaf index in the instance log, from 0."},
                "proof": {"type": "string", "description": "Inclusion proof (c2sp.org/tlog-proof)."},
            },
        },
        "consistency": {
            **_MAYBE_TEXT,
            "description": "With `since`: proof that the log of so many leaves is a prefix of this log, as the body of "
            "add-checkpoint in c2sp.org/tlog-witness. Input for `threada_verify.py --consistency`.",
        },
    },
)
PROOF: Final = Representation(
    "InclusionProof",
    {
        "type": "string",
        "description": "A proof in the format c2sp.org/tlog-proof: index, path, and the checkpoint, verbatim. The "
        "leaf is the receipt's canonical bytes.",
    },
    media_type="text/plain",
)
_MAYBE_INSTANT: Final[dict[str, Any]] = {"type": ["string", "null"], "format": "date-time"}
_COUNT: Final[dict[str, Any]] = {"type": "integer", "minimum": 0}
EXPORT: Final = representation(
    "TelemetryExport",
    {
        "export_id": id_schema(ids.EXPORT),
        "status": {
            "enum": [status.value for status in ExportStatus],
            "description": "Poll until it is `ready`. Small exports are ready in the first response.",
        },
        "format": {"enum": list(FORMATS)},
        "compression": {"enum": list(COMPRESSIONS)},
        "filters": {"type": "object"},
        "created_after": _INSTANT,
        "created_before": _INSTANT,
        "requested_by": id_schema(ids.PRINCIPAL),
        "created_at": _INSTANT,
        "rows": {**_COUNT, "description": "Receipts written, so far or in all."},
        "rows_expected": {"type": ["integer", "null"], "description": "An estimate, to show progress."},
        "size": {**_COUNT, "description": "Bytes of the file, so far or in all."},
        "sha256": {**_MAYBE_TEXT, "description": "SHA-256 of the file; its ETag too."},
        "failure": {
            "type": ["object", "null"],
            "properties": {"reason_code": _TEXT, "detail": _TEXT},
            "description": "Reason of the failure. `POST …/retry` writes the export again.",
        },
        "started_at": _MAYBE_INSTANT,
        "ready_at": _MAYBE_INSTANT,
        "expires_at": {**_MAYBE_INSTANT, "description": "Time when the file is deleted."},
        "download_url": _TEXT,
    },
)
DOWNLOAD: Final = Representation(
    "Receipts",
    {
        "type": "string",
        "description": "The file, in the format of the export. NDJSON: one receipt's canonical bytes a line, oldest "
        "first. Other formats are served as text/csv, application/vnd.apache.parquet, "
        "application/cloudevents-batch+json, and gzip as application/gzip.",
    },
    media_type="application/x-ndjson",
)
EVIDENCE: Final = Representation(
    "Evidence",
    {
        "type": "string",
        "description": "A zip of README.txt, receipts.ndjson, positions.txt, checkpoint.txt, tile/… "
        "(c2sp.org/tlog-tiles), and instance.tlog-proof if the checkpoint is in the instance log.",
    },
    media_type="application/zip",
)
VERIFIER: Final = Representation(
    "Verifier", {"type": "string", "description": "The source of threada_verify.py."}, media_type="text/x-python"
)
