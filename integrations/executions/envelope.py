"""Envelopes: the canonical bytes (RFC 8785) of exactly what will be executed, and their SHA-256.

A `threada-envelope/3` is a JSON object with all of these members:

    format                 "threada-envelope/3"
    salt                   derived from the salt of the case: without it the hash reveals nothing about the content
    work_item              {id, version, payload_sha256}
    integration            {id, version_id, connector}, or null
    action                 {id, spec_sha256, idempotent, resolves}, or null; with undo_after {action, after} if Threada
                           starts the undo by itself
    request                the exact outbound request as built by the connector, secrets by reference; or null
    idempotency_key        the Idempotency-Key of every attempt of this execution; or null
    input_sha256           digest of the caller's input, or null
    policy_version_ids     the deciding policy versions, sorted, each once
    evidence               the evidence of the item, as listed by the caller
    question               the question for an approver, or null

An approval at intake, and one requested by `request_approval`, contains payload digest, evidence and question.
`action`, integration, request and key are null: the approval accepts the item, never an outbound request.

`threada-envelope/1` lacks `salt` and `idempotency_key`, `threada-envelope/2` lacks `salt`; both can still be opened.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from integrations.attempts.failures import envelope_mismatch
from threada_site.kernel.errors import JsonNotInteroperable, MalformedJson
from threada_site.kernel.json.canonical import canonical_bytes, sha256_hex
from threada_site.kernel.json.strict import parse_json

FORMAT: Final = "threada-envelope/3"
_LACKING: Final[Mapping[str, tuple[str, ...]]] = {
    "threada-envelope/1": ("idempotency_key", "salt"),
    "threada-envelope/2": ("salt",),
    FORMAT: (),
}
READABLE: Final = frozenset(_LACKING)


@dataclass(frozen=True, slots=True)
class BuiltEnvelope:
    """Bytes of an envelope, which people approve and the executor loads, and their SHA-256 (hexadecimal)."""

    body: bytes = field(repr=False)
    sha256: str


def build_envelope(
    *,
    salt: str,
    work_item_id: str,
    item_version: int,
    payload_sha256: str,
    policy_version_ids: Iterable[str],
    evidence: Sequence[Any],
    integration: str | None = None,
    integration_version_id: str | None = None,
    connector: str | None = None,
    action: str | None = None,
    action_sha256: str | None = None,
    request: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
    input_sha256: str | None = None,
    idempotent: bool = False,
    resolves: bool = False,
    undo_after: Mapping[str, str] | None = None,
    question: str | None = None,
) -> BuiltEnvelope:
    """Build the envelope of one action on one version of an item, or (without `action`) of the item itself.

    Equal arguments give equal bytes. Raises `ValueError` if an action lacks its integration, version, connector,
    digest, request or key, or if one of those is given without an action.
    """
    outbound = (action, integration, integration_version_id, connector, action_sha256, request, idempotency_key)
    if len({part is None for part in outbound}) != 1:
        raise ValueError("Give integration, version, connector, digest, request and key together, or none of them.")
    body = canonical_bytes(
        {
            "format": FORMAT,
            "salt": salt,
            "work_item": {"id": work_item_id, "version": item_version, "payload_sha256": payload_sha256},
            "integration": None
            if integration is None
            else {"id": integration, "version_id": integration_version_id, "connector": connector},
            "action": None
            if action is None
            else {
                "id": action,
                "spec_sha256": action_sha256,
                "idempotent": idempotent,
                "resolves": resolves,
                **({} if undo_after is None else {"undo_after": dict(undo_after)}),
            },
            "request": None if request is None else dict(request),
            "idempotency_key": idempotency_key,
            "input_sha256": input_sha256,
            "policy_version_ids": sorted(set(policy_version_ids)),
            "evidence": list(evidence),
            "question": question,
        }
    )
    return BuiltEnvelope(body, sha256_hex(body))


def open_envelope(body: bytes, sha256: str) -> dict[str, Any]:
    """Return the parsed envelope.

    Raises `TransportFailure` (`envelope_mismatch`) unless `body` matches `sha256`, has a known format and is canonical.
    """
    if sha256_hex(body) != sha256:
        raise envelope_mismatch("The envelope's bytes are not those its hash names.")
    try:
        content = parse_json(body)
    except (MalformedJson, JsonNotInteroperable):
        raise envelope_mismatch("The envelope cannot be read.") from None
    if not isinstance(content, dict) or content.get("format") not in READABLE:
        raise envelope_mismatch(f"The envelope is not of the format {FORMAT}.")
    if canonical_bytes(content) != body:
        raise envelope_mismatch("The envelope's bytes are not canonical.")
    return content


def check_agrees(content: Mapping[str, Any], now: BuiltEnvelope) -> None:
    """Raise `TransportFailure` (`envelope_mismatch`) unless the envelope equals one built now.

    `now` contains the same request and the current state of the rows. The error names the differing parts.
    """
    expected = {**parse_json(now.body), "format": content["format"]}
    for name in _LACKING[content["format"]]:
        del expected[name]
    differing = sorted(
        name
        for name in content.keys() | expected.keys()
        if name not in content or name not in expected or content[name] != expected[name]
    )
    if differing:
        raise envelope_mismatch(f"What would run is not what the envelope contains: {', '.join(differing)}.")
