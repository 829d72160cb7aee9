"""Mail server on loopback that stores mails and can refuse or hang. Fixture: `mail_server`."""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
import threading
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from tests.ports import free_port
from threada_site.environment import mail_server as read_server


class MailServer:
    """Received mails and behaviour: `refusals` are used in turn at `refuse_at`, before a mail is accepted."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, EmailMessage]] = []
        self.offered = 0
        self.refusals: list[str] = []
        self.refuse_at = "DATA"
        self.during: Callable[[], None] = lambda: None
        self.hang_s = 0.0
        self.hang_up = False
        self.reached = threading.Event()
        self.port = free_port()
        self._controller: Any = None

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    def stop(self) -> None:
        self._controller.stop()

    def to(self, address: str) -> list[EmailMessage]:
        return [mail for recipient, mail in self.taken if recipient == address]

    def wait_for(self, count: int, *, timeout_s: float = 30) -> list[tuple[str, EmailMessage]]:
        ends = time.monotonic() + timeout_s
        while len(self.taken) < count:
            assert time.monotonic() < ends, f"{len(self.taken)} of {count} mails arrived"
            time.sleep(0.05)
        return self.taken

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        if self.refuse_at == "RCPT" and self.refusals:
            return self.refusals.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        self.offered += 1
        self.reached.set()
        self.during()
        await asyncio.sleep(self.hang_s)
        if self.refuse_at == "DATA" and self.refusals:
            return self.refusals.pop(0)
        parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        self.taken += [(address, parsed) for address in envelope.rcpt_tos]
        if self.hang_up:
            server.transport.close()
        return "250 Taken"


@pytest.fixture
def mail_server(settings: Any) -> Iterator[MailServer]:
    """Run a mail server and configure the instance to use it."""
    server = MailServer()
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_SMTP_URL", server.url)
        options = read_server("TEST_SMTP_URL")
    settings.MAILERS = {"default": {"BACKEND": "workitems.notices.smtp.PhasedBackend", "OPTIONS": options}}
    yield server
    server.stop()


def urls_in(text: str) -> list[str]:
    """Return all URLs in a message."""
    return re.findall(r"""https?://[^\s"'<>]+""", text)
