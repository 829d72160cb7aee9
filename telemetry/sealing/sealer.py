"""The sealer: about once a second, queued receipts are appended to their tenant's log, and grown logs get a checkpoint.

The order makes a crash between any two steps safe: commit the leaves; sign the checkpoint; append it to the anchor
outside the database; insert it. A checkpoint that is anchored but not inserted is signed again in the next round.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from telemetry.log.anchor import Anchor
from telemetry.log.key_file import KeyFile, KeyFileProblem
from telemetry.log.signed_tree_heads import (
    MATCHES_AGAIN,
    OnSigned,
    SignedCheckpoint,
    SignedLogMismatch,
    check_tree,
    sign_tree_head,
)
from telemetry.log.store import LogStore
from telemetry.receipts.key_endorsement import ReceiptKeyEndorser
from telemetry.receipts.quarantine_decisions import QuarantineDecision, quarantine_decisions
from telemetry.receipts.signature import OriginState
from telemetry.sealing.admission import Admission, complete_until
from telemetry.sealing.log_lines import Log
from telemetry.sealing.signatures import Signatures
from telemetry.tlog.checkpoint import log_origin
from telemetry.tlog.hashing import leaf_hash
from telemetry.tlog.tree import CompactRange
from threada_site.kernel import ids
from threada_site.kernel.keyring import ReceiptKeyProblem

if TYPE_CHECKING:
    from telemetry.inclusion_promises.key_endorsement import KeyEndorser
    from telemetry.instance_log.seal import InstanceSealer
    from telemetry.receipts.signature import ReceiptKeys

BATCH: Final = 2_000
HEARTBEAT: Final = timedelta(minutes=10)
_UNSIGNED_CHECK_S: Final = 10.0
_LOG_INTERVAL_S: Final = 60.0


class Sealer:
    """Seals the receipts of all tenants through one connection. Several sealers at once, on any machine, are safe.

    `with_instance_log`: also seal the log of all tenants' checkpoints. `promise_key`: endorse this key for inclusion
    promises. The code of both is loaded only if it is used. `receipt_keys`: returns the public keys of receipts to
    endorse.
    """

    def __init__(
        self,
        store: LogStore,
        *,
        key_file: KeyFile,
        anchor: Anchor,
        log: Log,
        on_signed: OnSigned = lambda _published: None,
        heartbeat: timedelta = HEARTBEAT,
        batch: int = BATCH,
        with_instance_log: bool = False,
        promise_key: bytes | None = None,
        receipt_keys: Callable[[], ReceiptKeys] | None = None,
    ) -> None:
        self._store = store
        self._key_file = key_file
        self._anchor = anchor
        self._log = log
        self._on_signed = on_signed
        self._heartbeat = heartbeat
        self._batch = batch
        self._checked_at = float("-inf")
        self._signatures = Signatures(store, read_keys=receipt_keys, log=self._log_at_intervals)
        self._said: dict[str, float] = {}
        self._tenants_without_alarm: set[uuid.UUID] = set()
        self.instance = self._instance_sealer() if with_instance_log else None
        self._receipt_keys = receipt_keys and ReceiptKeyEndorser(store, key_file=key_file, read=receipt_keys)
        self._key_endorser = None if promise_key is None else self._new_key_endorser(promise_key)

    def round(self, *, seconds: float = 1.0, waits: bool = False) -> int:
        """Seal queued receipts for at most `seconds`, and sign grown logs and logs whose heartbeat is due.

        Skips logs that another sealer is working on, unless `waits` is set. Returns the number of sealed receipts.
        Without a usable key nothing is sealed.
        """
        try:
            self._key_file.keys()
        except KeyFileProblem as error:
            self._log_at_intervals("error", "sealing_key_unusable", detail=str(error))
            return 0
        ends_at = time.monotonic() + seconds
        if self._key_endorser and self._key_endorser.endorse_if_needed():
            self._log("info", "promise_key_endorsed")
        self._endorse_receipt_keys()
        to_sign = set(self._unsigned())
        waiting = self._store.waiting_tenants()
        sealed = 0
        while waiting:
            full = []
            for tenant_id in waiting:
                number, is_full = self._seal(tenant_id, waits=waits)
                sealed += number
                if number:
                    to_sign.add(tenant_id)
                if is_full:
                    full.append(tenant_id)
            waiting = full if time.monotonic() < ends_at else []
        signed = [self.sign(tenant_id, waits=waits) for tenant_id in to_sign]
        if self.instance:
            self.instance.round(has_new=any(signed))
        return sealed

    def seal(self, tenant_id: uuid.UUID, *, waits: bool = False) -> int:
        """Append at most one batch of queued receipts to the tenant's log. Return their number."""
        return self._seal(tenant_id, waits=waits)[0]

    def _seal(self, tenant_id: uuid.UUID, *, waits: bool) -> tuple[int, bool]:
        """Append at most one batch of queued receipts to the tenant's log, and put those that are refused into
        quarantine.

        Return the number of appended ones, and True if the batch was full.
        """
        with self._store.locked(tenant_id, waits=waits) as is_mine:
            tree = self._check_tree(tenant_id) if is_mine else None
            queued = self._store.queued(tenant_id, limit=self._batch) if tree else []
            if tree is None or not queued:
                return 0, False
            origin = self._origin(tenant_id, ids.public_id(ids.TENANT, tenant_id))
            signed_from = self._signed_from(tenant_id, origin)
            origins = self._signatures.origins(tenant_id, queued)
            if origins is None and signed_from is not None:
                return 0, False  # without the public keys nothing can be told apart
            admission = Admission(
                tenant_id, datetime.now(UTC), self._complete_until(tenant_id, origin), signed_from=signed_from
            )
            reasons = admission.reasons(queued, origins or {}, size=tree.size)
            self._signatures.note(tenant_id, origins, is_new_log=tree.size == 0)
            leaves = [(one.id, leaf_hash(bytes(one.body))) for one in queued if one.body and not reasons[one.id]]
            self._store.dequeue(tenant_id, list(reasons))
            self._store.append(tenant_id, leaves, size=tree.size)
            self._store.store_nodes(tenant_id, [node for _, value in leaves for node in tree.append(value)])
            self._quarantine(tenant_id, {receipt: reason for receipt, reason in reasons.items() if reason})
            authentic = [one for one in queued if (origins or {}).get(one.id) is OriginState.AUTHENTIC]
            decisions = quarantine_decisions(one for one in authentic if not reasons[one.id])
            if decisions:
                leaves += self._carry_out(tenant_id, decisions, tree)
        return len(leaves), len(queued) == self._batch

    def _carry_out(
        self, tenant_id: uuid.UUID, decisions: Sequence[QuarantineDecision], tree: CompactRange
    ) -> list[tuple[uuid.UUID, bytes]]:
        """Append the receipts that an operator accepted, and forget those that were discarded. Return the leaves."""
        found = []
        for one in decisions:
            body = self._store.take_from_quarantine(tenant_id, one.receipt_id, sha256=one.sha256, puts_back=one.accepts)
            if body is not None:
                found.append((one.receipt_id, leaf_hash(body)))
        self._store.append(tenant_id, found, size=tree.size)
        self._store.store_nodes(tenant_id, [node for _, value in found for node in tree.append(value)])
        self._store.queue_counted(tenant_id)
        return found

    def _signed_from(self, tenant_id: uuid.UUID, origin: str) -> int | None:
        """Return the index from which on receipts of the log `origin` are signed, according to its checkpoints."""
        newest = (self._anchor.last(ids.public_id(ids.TENANT, tenant_id)), self._store.newest_checkpoint(tenant_id))
        return next(
            (one.signed_from for one in newest if one and one.origin == origin and one.signed_from is not None), None
        )

    def _quarantine(self, tenant_id: uuid.UUID, refused: dict[uuid.UUID, str]) -> None:
        if refused:
            self._store.quarantine(tenant_id, refused, at=datetime.now(UTC))
            self._log_at_intervals(
                "error",
                "receipts_refused",
                tenant=ids.public_id(ids.TENANT, tenant_id),
                number=len(refused),
                receipt=ids.public_id(ids.RECEIPT, min(refused)),
                reason=refused[min(refused)],
                detail="These receipts are not in the log. Look at each: manage.py quarantine list.",
            )

    def sign(self, tenant_id: uuid.UUID, *, always: bool = False, waits: bool = False) -> SignedCheckpoint | None:
        """Sign a checkpoint if the log grew, if the last checkpoint is older than the heartbeat, or if `always` is
        set."""
        tenant = ids.public_id(ids.TENANT, tenant_id)
        with self._store.locked(tenant_id, waits=always or waits) as is_mine:
            tree = self._check_tree(tenant_id) if is_mine else None
            if tree is None or tree.size == 0:
                return None
            at = datetime.now(UTC)
            keys = self._key_file.keys()
            origin = self._origin(tenant_id, tenant)
            newest = self._store.newest_checkpoint(tenant_id)
            is_current = newest is not None and (newest.size, newest.origin) == (tree.size, origin)
            if newest and is_current and not always and at - newest.signed_at < self._heartbeat:
                return None
            oldest = self._store.oldest_queued(tenant_id)
            until = complete_until(at=at, oldest_queued=oldest, before=self._complete_until(tenant_id, origin))
            signed_from = self._signed_from(tenant_id, origin)
            if signed_from is None:
                signed_from = self._signatures.required_from(tenant_id, size=tree.size, is_drained=oldest is None)
            tree_head = sign_tree_head(
                tree, origin=origin, keys=keys, at=at, complete_until=until, signed_from=signed_from
            )
            self._anchor.append_checkpoint(tenant, tree_head.note, at=at)
            checkpoint_id = self._store.add_checkpoint(tenant_id, tree_head)
            if self.instance:
                self.instance.queue(checkpoint_id, tenant_id=tenant_id, has_changed=always or not is_current)
        published = SignedCheckpoint(tenant, tree_head.size, tree_head.note, at)
        self._on_signed(published)
        return published

    def _endorse_receipt_keys(self) -> None:
        try:
            if self._receipt_keys and self._receipt_keys.endorse_if_needed():
                self._log("info", "receipt_keys_endorsed")
        except ReceiptKeyProblem as error:
            self._log_at_intervals("error", "receipt_keys_unusable", detail=str(error))

    def _instance_sealer(self) -> InstanceSealer:
        from telemetry.instance_log.seal import InstanceSealer
        from telemetry.instance_log.store import InstanceStore

        return InstanceSealer(
            InstanceStore(self._store),
            key_file=self._key_file,
            anchor=self._anchor,
            log=self._log_at_intervals,
            on_signed=self._on_signed,
            heartbeat=self._heartbeat,
        )

    def _new_key_endorser(self, promise_key: bytes) -> KeyEndorser:
        from telemetry.inclusion_promises.key_endorsement import KeyEndorser

        return KeyEndorser(self._store, key_file=self._key_file, promise_key=promise_key)

    def _unsigned(self) -> list[uuid.UUID]:
        if time.monotonic() - self._checked_at < _UNSIGNED_CHECK_S:
            return []
        self._checked_at = time.monotonic()
        return self._store.unsigned_tenants(before=datetime.now(UTC) - self._heartbeat)

    def _origin(self, tenant_id: uuid.UUID, tenant: str) -> str:
        """Return the origin of the log.

        It is constant after the first signature, except after an acknowledged break.
        """
        kept = self._anchor.last(tenant)
        if kept is not None:
            return kept.origin
        newest = self._store.newest_checkpoint(tenant_id)
        return newest.origin if newest else log_origin(self._key_file.keys()[-1].name, tenant)

    def _complete_until(self, tenant_id: uuid.UUID, origin: str) -> datetime | None:
        """Return the time in the newest checkpoint of the log `origin`, according to the anchor and the database."""
        newest = (self._anchor.last(ids.public_id(ids.TENANT, tenant_id)), self._store.newest_checkpoint(tenant_id))
        return max(
            (one.complete_until for one in newest if one and one.origin == origin and one.complete_until), default=None
        )

    def _check_tree(self, tenant_id: uuid.UUID) -> CompactRange | None:
        """Return the tree if it matches the signed log or extends it, else None."""
        kept = self._anchor.last(ids.public_id(ids.TENANT, tenant_id))
        try:
            tree = check_tree(kept, size=self._store.size(tenant_id), read=self._store.reader(tenant_id))
        except SignedLogMismatch as broken:
            self._refuse(tenant_id, broken)
            return None
        if tenant_id not in self._tenants_without_alarm:
            if self._store.close_alarm(tenant_id, reason=MATCHES_AGAIN, at=datetime.now(UTC)):
                self._log("warning", "log_matches_again", tenant=str(tenant_id))
            self._tenants_without_alarm.add(tenant_id)
        return tree

    def _refuse(self, tenant_id: uuid.UUID, broken: SignedLogMismatch) -> None:
        """Stop sealing for this tenant, and raise the alarm."""
        self._tenants_without_alarm.discard(tenant_id)
        signed = (broken.kept.size, broken.kept.root)
        self._store.raise_alarm(tenant_id, broken.kind, signed=signed, found=broken.found, at=datetime.now(UTC))
        self._log_at_intervals(
            "error",
            f"log_{broken.kind}",
            tenant=ids.public_id(ids.TENANT, tenant_id),
            **broken.as_fields(),
            detail=broken.detail
            or "Nothing of this tenant is sealed or signed until the signed log is restored, or until an "
            "operator accepts the current one: manage.py acknowledge_log.",
        )

    def _log_at_intervals(self, level: str, event: str, **fields: object) -> None:
        """Log an event at most once a minute while the condition lasts."""
        what = f"{event} {fields.get('tenant', '')}"
        now = time.monotonic()
        if now - self._said.get(what, float("-inf")) >= _LOG_INTERVAL_S:
            self._said[what] = now
            self._log(level, event, **fields)
