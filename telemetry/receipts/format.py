"""Format of a receipt: five blocks, canonical bytes, one digest. Pure."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from threada_site.kernel import ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import canonical_bytes

FORMAT: Final = "threada-receipt/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The objects that a receipt refers to: values of the documented filters. Missing values stay empty."""

    work_item_id: uuid.UUID | None = None
    execution_id: uuid.UUID | None = None
    workflow: str = ""
    channel: str = ""
    integration: str = ""
    status: str = ""
    policy_version_id: uuid.UUID | None = None

    def as_json(self) -> dict[str, Any]:
        """Return every value that is present, under its API name."""
        values = {
            "work_item_id": self.work_item_id and ids.public_id(ids.WORK_ITEM, self.work_item_id),
            "execution_id": self.execution_id and ids.public_id(ids.EXECUTION, self.execution_id),
            "workflow_id": self.workflow,
            "channel_id": self.channel,
            "integration_id": self.integration,
            "status": self.status,
            "policy_version_id": self.policy_version_id and ids.public_id(ids.POLICY_VERSION, self.policy_version_id),
        }
        return {name: value for name, value in values.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Content of a receipt without the actor block, which is derived from the acting context.

    Values are ids, digests and salted commitments, never a secret or personal data. `accounts` are principals whose
    security history shows it besides those that `inputs` name; the receipt does not contain them.
    """

    kind: str
    subject: Subject = field(default_factory=Subject)
    inputs: dict[str, Any] = field(default_factory=dict)
    evidence: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    outcome: dict[str, Any] = field(default_factory=dict)
    reason_codes: tuple[str, ...] = ()
    accounts: tuple[uuid.UUID, ...] = ()


def body_bytes(entry: Entry, context: ActingContext, *, receipt_id: uuid.UUID, occurred_at: datetime) -> bytes:
    """Return the canonical bytes of a receipt, which are stored, hashed and exported.

    Members: format, id, kind, tenant, occurred_at (RFC 3339), correlation_id, subject, actor, inputs, evidence, policy,
    outcome.
    """
    actor: dict[str, Any] = {
        "principal": context.actor,
        "kind": "system" if context.is_system else context.principal_kind.value,
        "entry_point": context.entry_point.value,
    }
    if context.roles:
        actor["roles"] = sorted(context.roles)
    if context.credential_id is not None:
        actor["credential"] = ids.public_id(ids.CREDENTIAL, context.credential_id)
    if context.authentication.workload is not None:
        actor["workload"] = context.authentication.workload.as_json()
    outcome = {**entry.outcome, **({"reason_codes": list(entry.reason_codes)} if entry.reason_codes else {})}
    return canonical_bytes(
        {
            "format": FORMAT,
            "id": ids.public_id(ids.RECEIPT, receipt_id),
            "kind": entry.kind,
            "tenant": ids.public_id(ids.TENANT, context.tenant_id),
            "occurred_at": rfc3339(occurred_at),
            "correlation_id": context.correlation_id,
            "subject": entry.subject.as_json(),
            "actor": actor,
            "inputs": entry.inputs,
            "evidence": entry.evidence,
            "policy": entry.policy,
            "outcome": outcome,
        }
    )
