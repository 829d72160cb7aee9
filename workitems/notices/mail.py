"""Sending of one mail by the server of THREADA_SMTP_URL. Blocks on the network: never call it in a transaction."""

from __future__ import annotations

import contextlib
import smtplib
from collections.abc import Callable
from typing import Any

from django.core.mail import EmailMultiAlternatives, mailers

from workitems.notices.rules import SendFailure


def mail_is_set_up() -> bool:
    return "default" in mailers


def send_mail(message: EmailMultiAlternatives, *, before: Callable[[], None]) -> None:
    """Send `message`. Call `before` once the server is ready to accept it; its exceptions abort the attempt.

    Raise `SendFailure`. A negative reply of the server is definite: 5xx is final, 4xx is retried. Only a connection
    that ends without a reply after the content was started is ambiguous.
    """
    server: Any = mailers["default"]
    try:
        _open(server)
        before()
        try:
            server.send_messages([message])
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise _failure(error, may_have_sent=server.may_have_sent) from error
    finally:
        with contextlib.suppress(OSError, smtplib.SMTPException):
            server.close()


def _open(server: Any) -> None:
    try:
        server.open()
    except smtplib.SMTPAuthenticationError as error:
        detail = f"The mail server refuses the login with {error.smtp_code}."
        raise SendFailure("credential_unavailable", detail) from error
    except (OSError, smtplib.SMTPException) as error:
        if isinstance(error, smtplib.SMTPResponseException):
            said = f"The mail server answers {error.smtp_code} when the connection was opened."
        else:
            said = f"The mail server cannot be reached ({type(error).__name__})."
        raise SendFailure("timeout" if isinstance(error, TimeoutError) else "connection_refused", said) from error


def _failure(error: Exception, *, may_have_sent: bool) -> SendFailure:
    if isinstance(error, ValueError):
        return SendFailure("rejected_by_receiver", "The mail address is invalid.", is_final=True)
    code: int | None = None
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code = next((code for code, _ in error.recipients.values()), 550)
    elif isinstance(error, smtplib.SMTPResponseException):
        code = error.smtp_code
    if code is not None and 400 <= code < 600:
        detail = f"The mail server answers {code}."
        return SendFailure("rejected_by_receiver", detail, is_final=code >= 500)
    if may_have_sent:
        detail = "The connection to the mail server ended before the server confirmed the message."
        return SendFailure("message_unconfirmed", detail, is_ambiguous=True)
    return SendFailure("connection_refused", "The connection to the mail server ended.")
