"""Structured logs: one JSON object per line on stderr, or readable lines on a terminal."""

import logging
import sys
from typing import Any

import structlog

from threada_site.settings.environment import text

LOG_LEVEL = text("THREADA_LOG_LEVEL", "INFO").upper()
_readable = text("THREADA_LOG_FORMAT", "text" if sys.stderr.isatty() else "json") == "text"
_shared: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def _is_news(record: logging.LogRecord) -> bool:
    """Filter out answers with status 503: a probe of an instance that is starting is not an error."""
    return getattr(record, "status_code", None) != 503


LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"news": {"()": "django.utils.log.CallbackFilter", "callback": _is_news}},
    "formatters": {
        "structured": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
                if _readable
                else structlog.processors.JSONRenderer(),
            ],
            "foreign_pre_chain": _shared,
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "threada": {"level": LOG_LEVEL},
        "django": {"level": "WARNING"},
        "django.request": {"level": "ERROR", "filters": ["news"]},
        "django.security.csrf": {"level": "ERROR"},  # its warnings contain paths, and those of links contain tokens
        "procrastinate": {"level": "WARNING"},
        "celery": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
        "mcp": {"level": "WARNING"},
        "amqp": {"level": "WARNING"},
        "apprise": {"level": "CRITICAL"},  # it would log addresses that contain tokens; results report failures
    },
}
structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        *_shared,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
