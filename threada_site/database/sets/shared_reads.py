"""Reads that the rows of one batch share: each is made once in a transaction, or for all rows in one statement."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

_open: Final[ContextVar[dict[Hashable, Any] | None]] = ContextVar("shared_reads", default=None)


@contextmanager
def shared_reads() -> Iterator[None]:
    """Remember the results of shared reads until the block ends. Open it inside a short transaction.

    A block inside another one joins it.
    """
    if _open.get() is not None:
        yield
        return
    token = _open.set({})
    try:
        yield
    finally:
        _open.reset(token)


def shared[T](key: Hashable, read: Callable[[], T]) -> T:
    """Return the result of `read`, made once for each key inside `shared_reads`, and every time outside of it."""
    results = _open.get()
    if results is None:
        return read()
    if key not in results:
        results[key] = read()
    return results[key]  # type: ignore[no-any-return]


def remember(key: Hashable, result: Any) -> None:
    """Store the result of a read that was made for several keys together. Only inside `shared_reads`."""
    results = _open.get()
    if results is not None:
        results[key] = result
