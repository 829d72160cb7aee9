"""Publication of checkpoints by mail. A separate module, so that smtplib is loaded only if it is used."""

from __future__ import annotations

import smtplib
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Final
from urllib.parse import unquote, urlsplit

from telemetry.log.signed_tree_heads import SignedCheckpoint
from telemetry.sealing.publisher import PublishFailure

MAIL_REFUSED: Final = "mail_refused"
MAIL_UNREACHABLE: Final = "mail_unreachable"
_MAIL_SECONDS: Final = 20.0


class MailPublisher:
    """Sends one message with the newest checkpoint of every log through the mail server of `THREADA_SMTP_URL`."""

    def __init__(self, address: str, *, server: str, sender: str) -> None:
        self._address = address
        self._server = urlsplit(server)
        self._sender = sender

    def __call__(self, batch: Sequence[SignedCheckpoint]) -> None:
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = self._address
        message["Subject"] = f"Checkpoints of {len(batch)} logs, {batch[-1].at:%Y-%m-%d %H:%M} UTC"
        message.set_content(
            "The signed checkpoints of the logs are attached. Save them: a log changed later does not match.\n"
        )
        for published in batch:
            name = f"{published.tenant}-{published.size}.checkpoint"
            message.add_attachment(published.note, filename=name)
        try:
            with self._connected() as server:
                server.send_message(message)
        except smtplib.SMTPResponseException as error:
            raise PublishFailure(MAIL_REFUSED, f"The mail server answers {error.smtp_code}.") from error
        except smtplib.SMTPRecipientsRefused as error:
            raise PublishFailure(MAIL_REFUSED, "The mail server refuses the recipient.") from error
        except (OSError, smtplib.SMTPException) as error:
            raise PublishFailure(MAIL_UNREACHABLE, f"No mail server answers: {error}") from error

    def _connected(self) -> smtplib.SMTP:
        where = self._server
        if not where.hostname:
            raise PublishFailure(MAIL_UNREACHABLE, "THREADA_SMTP_URL names no mail server.")
        kind = smtplib.SMTP_SSL if where.scheme == "smtps" else smtplib.SMTP
        server = kind(where.hostname, where.port or (465 if where.scheme == "smtps" else 25), timeout=_MAIL_SECONDS)
        if where.scheme == "smtp+starttls":
            server.starttls()
        if where.username:
            server.login(unquote(where.username), unquote(where.password or ""))
        return server
