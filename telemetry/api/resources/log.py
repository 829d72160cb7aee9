"""Resources of receipts, checkpoints and proofs."""

from __future__ import annotations

import base64
from typing import Any, Final

import orjson

from threada_site.api.resources.field_types import (
    INSTANT,
    INTEGER,
    MAYBE_TEXT,
    OBJECT,
    TEXT,
    TEXTS,
    array,
    inline,
    maybe_public_id,
    public_id,
)
from threada_site.api.resources.resource import Field, FieldType, Representation, Resource, field, given
from threada_site.kernel import ids

_BASE64: Final = FieldType(TEXT.schema, lambda value: base64.b64encode(bytes(value)).decode())


def _actor(receipt: Any) -> str:
    return ids.public_id(ids.PRINCIPAL, receipt.actor_id) if receipt.actor_id else "system"


EVENT: Final = Resource(
    "Event",
    field("receipt_id", public_id(ids.RECEIPT), "id"),
    field("kind", TEXT, description="noun.past_participle, such as work_item.created"),
    field("occurred_at", INSTANT),
    field("actor", TEXT, _actor, description="pr_… or system"),
    field("work_item_id", maybe_public_id(ids.WORK_ITEM)),
    field("execution_id", maybe_public_id(ids.EXECUTION)),
    field("workflow_id", MAYBE_TEXT, "workflow"),
    field("channel_id", MAYBE_TEXT, "channel"),
    field("integration_id", MAYBE_TEXT, "integration"),
    field("status", MAYBE_TEXT),
    field("policy_version_id", maybe_public_id(ids.POLICY_VERSION)),
    field("reason_codes", TEXTS),
    field("correlation_id", TEXT),
    field("body_sha256", TEXT, description="SHA-256 of the receipt's canonical bytes."),
    field(
        "body",
        OBJECT,
        lambda receipt: orjson.loads(bytes(receipt.body)),
        description="The receipt: actor, inputs, evidence, policy, outcome.",
    ),
)
CHECKPOINT: Final = Resource(
    "Checkpoint",
    field("checkpoint_id", public_id(ids.CHECKPOINT), "id"),
    field("origin", TEXT, description="The log's name; it ends in the tenant's id."),
    field("tree_size", INTEGER, "size", description="Number of receipts in the log."),
    field("root_hash", _BASE64, "root", description="RFC 6962 tree hash, base64."),
    field("signed_at", INSTANT),
    field("checkpoint", TEXT, "note", description="The signed note, verbatim (c2sp.org/tlog-checkpoint)."),
    field(
        "verifier_keys",
        TEXTS,
        description="The public keys that signed (vkeys, c2sp.org/signed-note). Compare them with the keys that the "
        "operator gave you by other means.",
    ),
)
INSTANCE_PROOF: Final = Resource(
    "InstanceProof",
    field("origin", TEXT, "checkpoint.origin", description="The name of the instance's log."),
    field(
        "tree_size",
        INTEGER,
        "checkpoint.size",
        description="Number of checkpoints in the log, across all tenants.",
    ),
    field("root_hash", _BASE64, "checkpoint.root", description="RFC 6962 tree hash, base64."),
    field("signed_at", INSTANT, "checkpoint.signed_at"),
    field(
        "checkpoint",
        TEXT,
        "checkpoint.note",
        description="The signed checkpoint, verbatim (c2sp.org/tlog-checkpoint).",
    ),
    field("verifier_keys", TEXTS, "checkpoint.verifier_keys", description="The public keys that signed."),
    field(
        "entry",
        inline(
            field("checkpoint_id", public_id(ids.CHECKPOINT), "entry.checkpoint_id"),
            field("checkpoint", TEXT, "entry.note", description="Your signed note: its exact bytes are the leaf."),
            field("index", INTEGER, "entry.index", description="Leaf index in the instance log, from 0."),
            field("proof", TEXT, lambda found: str(found.proof), description="Inclusion proof (c2sp.org/tlog-proof)."),
        ),
        lambda found: found,
    ),
    given(
        "consistency",
        MAYBE_TEXT,
        description="With `since`: proof that the log of so many leaves is a prefix of this log, as the body of "
        "add-checkpoint in c2sp.org/tlog-witness. Input for `threada_verify.py --consistency`.",
    ),
)
RECEIPT_PROMISE: Final[Field] = given(
    "receipt_promise",
    FieldType(
        {
            "type": ["object", "null"],
            "required": ["promise", "promise_key", "due_at", "receipt_ids"],
            "properties": {
                "promise": {
                    "type": "string",
                    "description": "A signed note (c2sp.org/signed-note): the receipts that this call wrote, each with "
                    "the hash of its leaf, will be in the tenant's log by the stated time. Save it: "
                    "`threada_verify.py promise` checks it against the log.",
                },
                "promise_key": {
                    "type": "string",
                    "description": "A signed note of the sealer that endorses the key of the promise.",
                },
                "due_at": INSTANT.schema,
                "receipt_ids": array(public_id(ids.RECEIPT)).schema,
            },
            "description": "Null until the sealer has endorsed the key, some seconds after the first start.",
        }
    ),
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
