"""Publication of checkpoints to targets outside the control of the database operator. Never delays sealing.

Each target has its own thread and receives the newest checkpoint of every log. A newer checkpoint supersedes an older
one, so that a failed publication is not queued; the next attempt sends the newest, with growing pauses.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from telemetry.log.signed_tree_heads import SignedCheckpoint
from telemetry.sealing.log_lines import Log

LONGEST_PAUSE_S: Final = 600.0
_SECONDS_TO_END: Final = 2.0


class PublishFailure(Exception):
    """Publishing to a target failed. `failure` is a word of the registry of failures, `detail` a sentence."""

    def __init__(self, failure: str, detail: str) -> None:
        self.failure = failure
        self.detail = detail
        super().__init__(f"{failure}: {detail}")


type Send = Callable[[Sequence[SignedCheckpoint]], None]
"""Function that publishes these checkpoints, one per log. Raises only `PublishFailure`."""


@dataclass(frozen=True, slots=True)
class Target:
    """A target: `name` without any secret; `pause_s` is the minimum number of seconds between publications."""

    name: str
    send: Send
    pause_s: float


@dataclass(frozen=True, slots=True)
class TargetState:
    """Result of the last publications to a target."""

    name: str
    published_at: datetime | None = None
    failing_since: datetime | None = None
    attempts: int = 0
    failure: str = ""
    detail: str = ""


class Publisher:
    """Publishes to one target in a separate thread."""

    def __init__(self, target: Target, *, log: Log, published_at: datetime | None = None) -> None:
        self._target = target
        self._log = log
        self._waiting: dict[str, SignedCheckpoint] = {}
        self._changed = threading.Condition()
        self._stops = False
        self._thread: threading.Thread | None = None
        since = (datetime.now(UTC) - published_at).total_seconds() if published_at else target.pause_s
        self._not_before = time.monotonic() + max(target.pause_s - since, 0.0)
        self.state = TargetState(target.name, published_at=published_at)

    def offer(self, published: SignedCheckpoint) -> None:
        """Queue a checkpoint for the next publication. Returns immediately."""
        with self._changed:
            self._waiting[published.tenant] = published
            self._changed.notify()

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"publish {self._target.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop within seconds. A target that does not answer is abandoned."""
        with self._changed:
            self._stops = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(_SECONDS_TO_END)

    def _run(self) -> None:
        while batch := self._due():
            try:
                self._target.send(batch)
            except PublishFailure as failure:
                self._failed(failure)
            else:
                self._succeeded(batch)

    def _due(self) -> list[SignedCheckpoint]:
        """Wait until there are checkpoints and the pause has passed, and return them. An empty list means stop."""
        with self._changed:
            while not self._stops:
                left = self._not_before - time.monotonic()
                if self._waiting and left <= 0:
                    return list(self._waiting.values())
                self._changed.wait(left if self._waiting else None)
        return []

    def _succeeded(self, batch: Sequence[SignedCheckpoint]) -> None:
        with self._changed:
            for published in batch:
                if self._waiting.get(published.tenant) is published:
                    del self._waiting[published.tenant]
        if self.state.failing_since is not None:
            self._log("info", "checkpoint_target_recovered", target=self._target.name)
        self.state = TargetState(self._target.name, published_at=datetime.now(UTC))
        self._not_before = time.monotonic() + self._target.pause_s

    def _failed(self, failure: PublishFailure) -> None:
        before = self.state
        attempts = before.attempts + 1
        self.state = TargetState(
            before.name,
            before.published_at,
            before.failing_since or datetime.now(UTC),
            attempts,
            failure.failure,
            failure.detail[:500],
        )
        pause = min(2.0**attempts, LONGEST_PAUSE_S)
        self._not_before = time.monotonic() + pause
        self._log(
            "error" if attempts == 1 else "warning",
            "checkpoint_not_published",
            target=self._target.name,
            failure=failure.failure,
            detail=failure.detail,
            attempts=attempts,
            next_try_in_s=pause,
        )
