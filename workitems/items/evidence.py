"""Evidence of a work item: citations, a retrieval trace, or the reason why there is neither. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

NO_EVIDENCE: Final = "no_evidence_supplied"


@dataclass(frozen=True, slots=True)
class EvidencePart:
    """One part of the evidence. `kind` is citation, retrieval_trace or fallback; `content` is a JSON value."""

    kind: str
    content: Any

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "content": self.content}


def normalize_evidence(sent: Any) -> tuple[EvidencePart, ...]:
    """Return the parts of submitted evidence: a list of citations or `{citations, retrieval_trace, fallback_reason}`.

    Without any evidence the only part is the fallback `no_evidence_supplied`.
    """
    if isinstance(sent, list):
        sent = {"citations": sent}
    sent = sent or {}
    parts = [EvidencePart("citation", citation) for citation in sent.get("citations") or []]
    if sent.get("retrieval_trace"):
        parts.append(EvidencePart("retrieval_trace", sent["retrieval_trace"]))
    if not parts:
        parts.append(EvidencePart("fallback", {"reason": sent.get("fallback_reason") or NO_EVIDENCE}))
    return tuple(parts)
