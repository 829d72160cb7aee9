"""Mail server for messages to users. Without THREADA_SMTP_URL no mail is sent."""

from typing import Any

from threada_site.settings.environment import mail_server, number, text

DEFAULT_FROM_EMAIL = text("THREADA_MAIL_FROM") or "Threada <threada@localhost>"
_server = mail_server("THREADA_SMTP_URL")
MAILERS: dict[str, Any] = (
    {"default": {"BACKEND": "workitems.notices.smtp.PhasedBackend", "OPTIONS": _server}} if _server else {}
)
# Attempts for a message to a user before it is given up.
THREADA_NOTICE_TRIES = number("THREADA_NOTICE_TRIES", 12)
