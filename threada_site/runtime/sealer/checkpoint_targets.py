"""Parsing of `THREADA_CHECKPOINT_TARGETS`: where the sealer publishes checkpoints. Imports no Django."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from telemetry.log.signed_tree_heads import SignedCheckpoint
from telemetry.sealing.local_publishers import AppendOnlyFile, GitDirectory, as_json
from telemetry.sealing.publisher import PublishFailure, Target
from threada_site.environment import number, text, words

MISCONFIGURED: Final = "misconfigured"
_WEBHOOK_SECONDS: Final = 10.0
_ANSWER_BYTES: Final = 65_536


class Webhook:
    """Publisher that POSTs `{"checkpoints": […]}` with the shared outbound transport. Any 2xx answer is a success.

    The transport is loaded on first use, so that an instance without webhooks does not load it.
    """

    def __init__(self, url: str, *, allow: Iterable[str]) -> None:
        self._url = url
        self._allow = tuple(allow)

    def __call__(self, batch: Sequence[SignedCheckpoint]) -> None:
        from integrations.transport import EgressPolicy, OutboundRequest, TransportFailure, send

        body = json.dumps({"checkpoints": [as_json(published) for published in batch]}).encode()
        request = OutboundRequest("POST", self._url, (("Content-Type", "application/json"),), body)
        try:
            answer = send(
                request,
                egress=EgressPolicy(self._allow),
                timeout_s=_WEBHOOK_SECONDS,
                max_body_bytes=_ANSWER_BYTES,
            )
        except TransportFailure as failure:
            raise PublishFailure(failure.failure.value, failure.detail) from failure
        if not 200 <= answer.status < 300:
            raise PublishFailure("rejected_by_receiver", f"The receiver answers {answer.status}.")


def checkpoint_targets() -> list[Target]:
    """Return the targets that the environment names.

    An invalid target fails like an unreachable one: sealing continues, and metrics and log report the failure.
    """
    return [_usable(word) for word in words("THREADA_CHECKPOINT_TARGETS")]


def _usable(word: str) -> Target:
    try:
        return read_target(word)
    except ValueError as error:
        said = str(error)

    def refuse(_batch: Sequence[SignedCheckpoint]) -> None:
        raise PublishFailure(MISCONFIGURED, said)

    return Target(word[:40], refuse, pause_s=0.0)


def read_target(word: str) -> Target:
    """Parse `file:/path`, `git:/path`, `mailto:somebody@example.org` or `https://…`. Raise `ValueError`.

    Files and webhooks are published to at once, repositories once a minute, mailboxes once a day unless
    `THREADA_CHECKPOINT_MAIL_HOURS` says otherwise.
    """
    parts = urlsplit(word)
    path = Path(unquote(parts.path))
    if parts.scheme in ("file", "git") and not parts.netloc and path.is_absolute():
        if parts.scheme == "file":
            return Target(f"file:{path}", AppendOnlyFile(path), pause_s=0.0)
        return Target(f"git:{path}", GitDirectory(path), pause_s=float(number("THREADA_CHECKPOINT_GIT_SECONDS", 60)))
    if parts.scheme == "mailto" and "@" in parts.path:
        from telemetry.sealing.mail_publisher import MailPublisher

        sender = text("THREADA_MAIL_FROM") or "Threada <threada@localhost>"
        mailbox = MailPublisher(unquote(parts.path), server=text("THREADA_SMTP_URL"), sender=sender)
        return Target(word, mailbox, pause_s=number("THREADA_CHECKPOINT_MAIL_HOURS", 24) * 3600.0)
    if parts.scheme in ("http", "https") and parts.hostname:
        port = f":{parts.port}" if parts.port else ""
        return Target(
            f"{parts.scheme}://{parts.hostname}{port}",
            Webhook(word, allow=words("THREADA_EGRESS_ALLOW")),
            pause_s=1.0,
        )
    scheme = parts.scheme or word[:20]
    raise ValueError(
        f"THREADA_CHECKPOINT_TARGETS: {scheme!r} is not a target. Write file:/path, git:/path, mailto:a@b or https://…"
    )
