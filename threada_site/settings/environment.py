"""Readers of environment variables, defined outside this package for processes that run without Django."""

from threada_site.environment import (
    BASE_DIR,
    DATA_DIR,
    TEMPLATE_DIR,
    database_url,
    flag,
    is_web,
    key,
    key_file,
    keys,
    mail_server,
    number,
    numbers,
    text,
    words,
)

__all__ = [
    "BASE_DIR",
    "DATA_DIR",
    "TEMPLATE_DIR",
    "database_url",
    "flag",
    "is_web",
    "key",
    "key_file",
    "keys",
    "mail_server",
    "number",
    "numbers",
    "text",
    "words",
]
