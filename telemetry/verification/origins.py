"""Signatures of the receipts of a log, under the keys that the sealer endorsed and those of imports."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from telemetry.receipts.key_endorsement import endorsed_keys
from telemetry.receipts.signature import OriginState, ReceiptKeys, SignedBody, Verified, origin_of
from telemetry.tlog.note import UntrustedNote
from telemetry.tlog.texts import MalformedText
from telemetry.verification.findings import VerificationStats
from telemetry.verification.snapshot import stream
from threada_site.kernel import ids
from threada_site.tenancy.models import Tenant

UNSIGNED: Final = "unsigned"
UNKNOWN_KEY: Final = "unknown key"
_KEY_NOTES: Final = "SELECT note FROM telemetry_receiptkeynote ORDER BY id DESC"
_IMPORTS: Final = """
SELECT l."index", r.body, r.signature
  FROM telemetry_receipt r LEFT JOIN telemetry_logleaf l ON l.tenant_id = r.tenant_id AND l.id = r.id
 WHERE r.tenant_id = %s AND r.kind = 'tenant.imported' ORDER BY l."index" DESC NULLS FIRST
"""


@dataclass(slots=True)
class KeysOfLog:
    """Public keys of receipts of a log. `own`: keys of this instance.

    `imported`: the keys of each instance that the tenant was imported from, with the size of the imported log. They
    count for the receipts before that index only.
    """

    own: ReceiptKeys
    imported: list[tuple[int, ReceiptKeys]] = field(default_factory=list)

    def at(self, index: int | None) -> ReceiptKeys:
        """Return the keys that count for the receipt at `index`; None for a receipt that is not sealed."""
        for size, keys in reversed(self.imported):
            if index is not None and index < size:
                return keys
        return self.own


def keys_of_log(tenant: Tenant, *, trusted: Sequence[bytes]) -> KeysOfLog:
    """Return the keys of receipts that the sealer endorsed, and those that receipts of imports name.

    `trusted`: public keys of sealers. The receipt of an import counts if a command of the instance that stored the
    tenant signed it: the newest import of this one, an earlier one of the instance before.
    """
    found = KeysOfLog(ReceiptKeys(()))
    for (note,) in stream(_KEY_NOTES, []):
        with suppress(MalformedText, UntrustedNote):
            found.own = endorsed_keys(note, trusted)
            break
    name = ids.public_id(ids.TENANT, tenant.id)
    verified: Verified = {}
    for index, body, signature in list(stream(_IMPORTS, [tenant.id])):
        if origin_of(SignedBody(bytes(body), signature), name, found.at(index), verified).role != "command":
            continue
        said = json.loads(bytes(body))
        with suppress(MalformedText):
            keys = ReceiptKeys.parse(" ".join(said["inputs"].get("receipt_keys", ())))
            found.imported.append((said["outcome"].get("receipts", 0), ReceiptKeys([*found.own, *keys])))
    return found


class Origins:
    """Origins of the receipts of a tenant. `signed_from`: the index from which on the log requires signatures."""

    def __init__(
        self,
        tenant: Tenant,
        keys: KeysOfLog,
        stats: VerificationStats,
        *,
        signed_from: int | None,
        accepted: Collection[str],
    ) -> None:
        self._tenant = ids.public_id(ids.TENANT, tenant.id)
        self._keys = keys
        self._stats = stats
        self._accepted = accepted
        self._signed_from = signed_from
        self._verified: Verified = {}

    def problem(self, receipt: str, body: bytes, signature: str, *, sequence: int | None) -> str:
        """Count a receipt. Return what is wrong with its signature, or "".

        A receipt before the index from which on the log requires signatures may have none, or one of a key that is not
        known. An operator may have accepted others.
        """
        if receipt in self._accepted:
            return ""
        found = origin_of(SignedBody(body, signature), self._tenant, self._keys.at(sequence), self._verified)
        if found.state is OriginState.INVALID and found.is_key_known:
            return found.problem
        if found.role is None and self._signed_from is not None and (sequence is None or sequence >= self._signed_from):
            return f"no process of the product signed it, and the log requires it from sequence {self._signed_from} on"
        self._stats.written_by[found.role or (UNSIGNED if found.is_key_known else UNKNOWN_KEY)] += 1
        return ""
