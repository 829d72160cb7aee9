"""Signatures of queued receipts, and the index of a log from which on every receipt has to carry one.

Imports no Django.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Final

from telemetry.log.store import LogStore, QueuedReceipt
from telemetry.receipts.signature import OriginState, ReceiptKeys, SignedBody, origins_of
from telemetry.sealing.log_lines import Log
from threada_site.kernel import ids
from threada_site.kernel.keyring import ReceiptKeyProblem

OTHERS_GONE_S: Final = 600.0
"""Time without processes of other versions, after which every receipt has to be signed."""
_LOOK_INTERVAL_S: Final = 10.0


class Signatures:
    """Checks the signatures of queued receipts. Without `read_keys`, no signature is checked and none required."""

    def __init__(self, store: LogStore, *, read_keys: Callable[[], ReceiptKeys] | None, log: Log) -> None:
        self._store = store
        self._read_keys = read_keys
        self._log = log
        self._others_seen_at = time.monotonic()
        self._others_looked_at = float("-inf")
        self._signed_logs: set[uuid.UUID] = set()

    def origins(self, tenant_id: uuid.UUID, queued: Sequence[QueuedReceipt]) -> dict[uuid.UUID, OriginState] | None:
        """Return the state of each signature; None if the public keys cannot be read."""
        if self._read_keys is None:
            return {}
        try:
            keys = self._read_keys()
        except ReceiptKeyProblem as error:
            self._log("error", "receipt_keys_unusable", detail=str(error))
            return None
        bodies = [SignedBody(bytes(one.body or b""), one.signature) for one in queued]
        found = origins_of(bodies, tenant=ids.public_id(ids.TENANT, tenant_id), keys=keys)
        return {one.id: origin.state for one, origin in zip(queued, found, strict=True)}

    def note(self, tenant_id: uuid.UUID, origins: dict[uuid.UUID, OriginState] | None, *, is_new_log: bool) -> None:
        """Remember logs whose first receipts are all signed, and the last time at which an unsigned receipt came."""
        if origins is None or OriginState.UNSIGNED in origins.values():
            self._others_seen_at = time.monotonic()
            self._signed_logs.discard(tenant_id)
        elif is_new_log:
            self._signed_logs.add(tenant_id)

    def required_from(self, tenant_id: uuid.UUID, *, size: int, is_drained: bool) -> int | None:
        """Return the index from which on receipts have to be signed; None as long as other versions may write.

        That is 0 for a log whose first receipts were all signed. For others it is `size` once the queue is empty and no
        process of another version was seen for ten minutes.
        """
        if self._read_keys is None:
            return None
        if tenant_id in self._signed_logs:
            return 0
        now = time.monotonic()
        if now - self._others_looked_at >= _LOOK_INTERVAL_S:
            self._others_looked_at = now
            if self._store.are_others_connected():
                self._others_seen_at = now
        return size if is_drained and now - self._others_seen_at >= OTHERS_GONE_S else None
