"""Sealing of the instance log. Every new checkpoint of a tenant becomes a leaf, so that a dropped tenant is detected.

Part of the sealer's rounds, after the tenants' checkpoints and by the same rules: compare with the anchor, commit
leaves, sign the checkpoint, append it to the anchor, insert it. The transaction that inserts a tenant's checkpoint also
queues it, so that a crash neither loses nor duplicates one. Imports no Django.
"""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from telemetry.instance_log.store import InstanceStore
from telemetry.log.anchor import Anchor
from telemetry.log.key_file import KeyFile
from telemetry.log.signed_tree_heads import (
    MATCHES_AGAIN,
    OnSigned,
    SignedCheckpoint,
    SignedLogMismatch,
    check_tree,
    sign_tree_head,
)
from telemetry.tlog.checkpoint import INSTANCE, instance_origin
from telemetry.tlog.tree import CompactRange

BATCH: Final = 2_000
_CHECK_INTERVAL_S: Final = 10.0


class IntervalLog(Protocol):
    """Logs a lasting condition once a minute instead of every second."""

    def __call__(self, level: str, event: str, **fields: object) -> None: ...


class InstanceSealer:
    """Seals the instance log through the sealer's connection. Several sealers at once are safe."""

    def __init__(
        self,
        store: InstanceStore,
        *,
        key_file: KeyFile,
        anchor: Anchor,
        log: IntervalLog,
        on_signed: OnSigned,
        heartbeat: timedelta,
    ) -> None:
        self._store = store
        self._key_file = key_file
        self._anchor = anchor
        self._log = log
        self._on_signed = on_signed
        self._heartbeat = heartbeat
        self._checked_at = float("-inf")
        self._is_alarm_closed = False

    def queue(self, checkpoint_id: uuid.UUID, *, tenant_id: uuid.UUID, has_changed: bool) -> None:
        """Queue a tenant's checkpoint in the transaction that inserts it."""
        self._store.queue(checkpoint_id, tenant_id=tenant_id, has_changed=has_changed)

    def round(self, *, has_new: bool) -> None:
        """Append queued checkpoints and sign.

        Without new checkpoints from this sealer, only checks the queue every few seconds.
        """
        is_time = time.monotonic() - self._checked_at >= _CHECK_INTERVAL_S
        if not has_new and not is_time:
            return
        if is_time:
            self._checked_at = time.monotonic()
        while self.append() == BATCH:
            pass
        self.sign()

    def append(self) -> int:
        """Append at most one batch of queued checkpoints to the log. Return their number."""
        with self._store.locked() as is_mine:
            tree = self._check_tree() if is_mine else None
            if tree is None:
                return 0
            hashes = self._store.append_queued(size=tree.size, limit=BATCH)
            self._store.store_nodes([node for value in hashes for node in tree.append(value)])
        return len(hashes)

    def sign(self, *, always: bool = False) -> SignedCheckpoint | None:
        """Sign a checkpoint if the log grew, if the last checkpoint is older than the heartbeat, or if `always` is
        set."""
        with self._store.locked(waits=always) as is_mine:
            tree = self._check_tree() if is_mine else None
            if tree is None or tree.size == 0:
                return None
            at = _now()
            newest = self._store.newest_checkpoint()
            keys = self._key_file.keys()
            known = self._anchor.last(INSTANCE) or newest
            origin = known.origin if known else instance_origin(keys[-1].name)
            is_current = newest is not None and (newest.size, newest.origin) == (tree.size, origin)
            if newest and is_current and not always and at - newest.signed_at < self._heartbeat:
                return None
            tree_head = sign_tree_head(tree, origin=origin, keys=keys, at=at)
            self._anchor.append_checkpoint(INSTANCE, tree_head.note, at=at)
            self._store.add_checkpoint(tree_head)
        published = SignedCheckpoint(INSTANCE, tree_head.size, tree_head.note, at)
        self._on_signed(published)
        return published

    def _check_tree(self) -> CompactRange | None:
        """Return the tree if it matches the signed log. Otherwise raise the alarm and return None."""
        try:
            tree = check_tree(self._anchor.last(INSTANCE), size=self._store.size(), read=self._store.reader())
        except SignedLogMismatch as broken:
            self._is_alarm_closed = False
            signed = (broken.kept.size, broken.kept.root)
            self._store.raise_alarm(broken.kind, signed=signed, found=broken.found, at=_now())
            self._log(
                "error",
                f"instance_log_{broken.kind}",
                **broken.as_fields(),
                detail=broken.detail
                or "The tenants' logs are still sealed. The instance log is not, until the signed log is restored or "
                "an operator accepts the current one: manage.py acknowledge_log --instance.",
            )
            return None
        if not self._is_alarm_closed:
            if self._store.close_alarm(reason=MATCHES_AGAIN, at=_now()):
                self._log("warning", "instance_log_matches_again")
            self._is_alarm_closed = True
        return tree


def _now() -> datetime:
    return datetime.now(UTC)
