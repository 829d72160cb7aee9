"""Routing of statements: to the primary, unless this thread is inside a block that reads from a replica.

Inside such a block, models and `read_connection()` use the replica, and nothing may be written, even to the primary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, NoReturn

from django.db import DEFAULT_DB_ALIAS, connections

# A context variable, because Django passes no argument to `ReadingRouter`, its only reader besides this module.
_alias: ContextVar[str] = ContextVar("threada_reading", default=DEFAULT_DB_ALIAS)


class WriteWhileReadingError(RuntimeError):
    """A write inside a block that reads from a replica. This is a programming error, never a user's error."""


def read_alias() -> str:
    """Return Django's alias of the database that this thread reads from now."""
    return _alias.get()


def is_reading() -> bool:
    """Return True if this thread is inside a block that reads from a replica."""
    return _alias.get() != DEFAULT_DB_ALIAS


def read_connection() -> Any:
    """Return the connection for SQL that reads: the primary's, or the replica's inside a block that reads from one."""
    return connections[_alias.get()]


def refuse_while_reading(what: str) -> None:
    """Raise `WriteWhileReadingError` inside a block that reads from a replica."""
    if is_reading():
        _refuse(what)


@contextmanager
def reading_from(alias: str) -> Iterator[None]:
    """Read everything in the block from `alias`, and refuse writes."""
    token = _alias.set(alias)
    try:
        with connections[DEFAULT_DB_ALIAS].execute_wrapper(_reads_only):
            yield
    finally:
        _alias.reset(token)


class ReadingRouter:
    """Django's database router.

    It always names a database. Otherwise Django would keep using the one a row came from, even after the block.
    """

    def db_for_read(self, _model: Any, **_hints: Any) -> str:
        return _alias.get()

    def db_for_write(self, model: Any, **_hints: Any) -> str:
        refuse_while_reading(model._meta.label)
        return DEFAULT_DB_ALIAS

    def allow_relation(self, _one: Any, _other: Any, **_hints: Any) -> bool:
        return True

    def allow_migrate(self, db: str, _app_label: str, **_hints: Any) -> bool | None:
        return None if db == DEFAULT_DB_ALIAS else False


_READS: Final = "SELECT"


def _reads_only(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001
    """Allow only reads on the primary, for code inside the block that does not use `read_connection()`."""
    if not (isinstance(sql, str) and sql.lstrip().startswith(_READS)):
        _refuse(str(sql).strip()[:60])
    return execute(sql, params, many, context)


def _refuse(what: str) -> NoReturn:
    raise WriteWhileReadingError(f"{what}: nothing is written inside a block that reads from a replica")
