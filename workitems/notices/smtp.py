"""Django's SMTP backend, extended by a flag: a message may have been accepted when the connection ends."""

from __future__ import annotations

import smtplib
from typing import Any

from django.core.mail.backends.smtp import EmailBackend


class PhasedBackend(EmailBackend):
    """SMTP backend whose `may_have_sent` is True once the server was asked to accept a message's content."""

    @property
    def connection_class(self) -> Any:
        return _PhasedTLS if self.use_ssl else _Phased

    @property
    def may_have_sent(self) -> bool:
        return getattr(self.connection, "reached_content", False)


class _Phased(smtplib.SMTP):
    reached_content = False

    def data(self, msg: Any) -> tuple[int, bytes]:
        self.reached_content = True
        return super().data(msg)


class _PhasedTLS(_Phased, smtplib.SMTP_SSL):
    pass
