"""All publishers of the sealer. The pool passes signed checkpoints to them and saves the state of each target."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import astuple
from typing import Final

from telemetry.log.signed_tree_heads import SignedCheckpoint
from telemetry.log.store import LogStore
from telemetry.sealing.log_lines import Log
from telemetry.sealing.publisher import Publisher, Target, TargetState
from telemetry.tlog.checkpoint import INSTANCE
from threada_site.kernel import ids

_SAVE_INTERVAL_S: Final = 10.0


class PublisherPool:
    """Publishers of `targets`.

    Their threads never use the database; the sealer's thread saves their states between rounds.
    """

    def __init__(
        self, targets: Sequence[Target], *, store: LogStore, log: Log, with_instance_log: bool = False
    ) -> None:
        published_at_by_target = store.targets_published_at() if targets else {}
        self._publishers = [
            Publisher(target, log=log, published_at=published_at_by_target.get(target.name)) for target in targets
        ]
        self._kept: dict[str, TargetState] = {}
        self._kept_at = float("-inf")
        store.delete_targets(but=[target.name for target in targets])
        for tenant_id, size, note, at in store.newest_notes() if targets else ():
            self.offer(SignedCheckpoint(ids.public_id(ids.TENANT, tenant_id), size, note, at))
        if targets and with_instance_log:
            self._offer_instance_checkpoint(store)
        for publisher in self._publishers:
            publisher.start()

    def _offer_instance_checkpoint(self, store: LogStore) -> None:
        from telemetry.instance_log.store import InstanceStore

        if newest := InstanceStore(store).newest_note():
            self.offer(SignedCheckpoint(INSTANCE, *newest))

    def offer(self, published: SignedCheckpoint) -> None:
        """Pass a signed checkpoint to every publisher. Returns immediately."""
        for publisher in self._publishers:
            publisher.offer(published)

    def save_states(self, store: LogStore) -> None:
        """Save the states of the targets: failures immediately, successes every few seconds."""
        is_time = time.monotonic() - self._kept_at >= _SAVE_INTERVAL_S
        for publisher in self._publishers:
            state = publisher.state
            before = self._kept.get(state.name)
            has_turned = before is None or before.attempts != state.attempts
            if state != before and (is_time or has_turned):
                store.save_target(*astuple(state))
                self._kept[state.name] = state
        if is_time:
            self._kept_at = time.monotonic()

    def stop(self) -> None:
        for publisher in self._publishers:
            publisher.stop()
