"""Where statements go: to the primary, unless this thread is inside a block that reads from a replica.

Inside one, models and `read_connection()` ask the replica, and nothing may be written, not even on the primary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, NoReturn

from django.db import DEFAULT_DB_ALIAS, connections

_alias: ContextVar[str] = ContextVar("threada_reading", default=DEFAULT_DB_ALIAS)


class WriteWhileReadingError(RuntimeError):
    """Something was written inside a block that reads from a replica. That is a defect, never a user's error."""


def read_alias() -> str:
    """Django's name of the database that this thread reads from now."""
    return _alias.get()


def is_reading() -> bool:
    """Whether this thread is inside a block that reads from a replica."""
    return _alias.get() != DEFAULT_DB_ALIAS


def read_connection() -> Any:
    """The connection for SQL that reads: the primary's, or the replica's inside a block that reads from one."""
    return connections[_alias.get()]


def refuse_while_reading(what: str) -> None:
    """Raise `WriteWhileReadingError` inside a block that reads from a replica."""
    if is_reading():
        _refuse(what)


@contextmanager
def reading_from(alias: str) -> Iterator[None]:
    """Have everything in the block read from `alias`, and nothing written anywhere."""
    token = _alias.set(alias)
    try:
        with connections[DEFAULT_DB_ALIAS].execute_wrapper(_reads_only):
            yield
    finally:
        _alias.reset(token)


class ReadingRouter:
    """Django's database router. It always names a database: by itself, Django would go on with the one a row came from,
    also after the block."""

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
    """Around statements that reach the primary all the same: one that forgot `read_connection()` may read there."""
    if not (isinstance(sql, str) and sql.lstrip().startswith(_READS)):
        _refuse(str(sql).strip()[:60])
    return execute(sql, params, many, context)


def _refuse(what: str) -> NoReturn:
    raise WriteWhileReadingError(f"{what}: nothing is written inside a block that reads from a replica")
