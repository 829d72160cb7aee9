"""Spans and W3C `traceparent`. Pure: a tracer that exports spans may be installed.

Without a tracer, a received `traceparent` is passed on unchanged, and a span costs one comparison.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final, Literal, Protocol

type Kind = Literal["server", "client", "consumer", "internal"]
type Value = str | int | float | bool

_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
LONGEST: Final = 55
# A context variable, because `span` opens at every depth; `traceparent` reads it for jobs and outbound calls.
_current: ContextVar[str] = ContextVar("traceparent", default="")


class Span(Protocol):
    """One step of a trace. Attributes contain ids and words, never payloads or secrets."""

    traceparent: str

    def note(self, **attributes: Value) -> None: ...

    def rename(self, name: str) -> None: ...

    def fail(self, reason: str) -> None: ...


class Tracer(Protocol):
    """Factory and exporter of spans."""

    def span(
        self, name: str, kind: Kind, *, parent: str, started_ns: int | None, attributes: Mapping[str, Value]
    ) -> AbstractContextManager[Span]: ...


class _Nothing:
    """Span without a tracer."""

    traceparent = ""

    def note(self, **attributes: Value) -> None:
        return None

    def rename(self, name: str) -> None:
        return None

    def fail(self, reason: str) -> None:
        return None


_NOTHING: Final = _Nothing()
_make: Callable[[], Tracer] | None = None
_tracer: Tracer | None = None


def install(make: Callable[[], Tracer] | None) -> None:
    """Install a factory of tracers; it is called at the first span of a process."""
    global _make, _tracer
    _make, _tracer = make, None


def traceparent() -> str | None:
    """Return the `traceparent` to send: the open span's, or the received one."""
    return _current.get() or None


def well_formed(sent: str | None) -> str:
    """Return a W3C `traceparent` without additions of later versions; "" if it is invalid."""
    return sent[:LONGEST] if sent and len(sent) <= 512 and _TRACEPARENT.fullmatch(sent) else ""


@contextmanager
def following(sent: str | None) -> Iterator[None]:
    """Continue a trace that was started elsewhere."""
    token = _current.set(well_formed(sent))
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def span(name: str, kind: Kind = "internal", *, started_ns: int | None = None, **attributes: Value) -> Iterator[Span]:
    """Open a span. `started_ns`: start since the epoch, if it began before its parent was known."""
    if _make is None:
        yield _NOTHING
        return
    with _made().span(
        name, kind, parent=_current.get(), started_ns=started_ns, attributes=_present(attributes)
    ) as open_span:
        token = _current.set(open_span.traceparent)
        try:
            yield open_span
        finally:
            _current.reset(token)


def traced[**Args, Result](name: str) -> Callable[[Callable[Args, Result]], Callable[Args, Result]]:
    """Wrap a function so that each call is a span."""

    def decorate(function: Callable[Args, Result]) -> Callable[Args, Result]:
        @wraps(function)
        def wrapper(*args: Args.args, **kwargs: Args.kwargs) -> Result:
            with span(name):
                return function(*args, **kwargs)

        return wrapper

    return decorate


def now_ns() -> int:
    """Return the current time for `started_ns`."""
    return time.time_ns()


def _made() -> Tracer:
    global _tracer  # noqa: PLW0603  (one a process)
    if _tracer is None:
        assert _make is not None  # noqa: S101
        _tracer = _make()
    return _tracer


def _present(attributes: Mapping[str, Any]) -> dict[str, Value]:
    return {name.replace("__", "."): value for name, value in attributes.items() if value not in (None, "")}
