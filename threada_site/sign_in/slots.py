"""Limits of calls to identity providers in one process, so that a slow provider delays no other tenant's sign-in."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from threada_site.kernel import errors

MOST_AT_ONCE: Final = 2
"""Sign-ins of one process that call a provider at the same time: half of its threads."""
LONGEST_S: Final = 8.0
"""Seconds for all calls of one sign-in."""
SLOW_S: Final = 2.0
FIRST_PAUSE_S: Final = 15.0
LONGEST_PAUSE_S: Final = 240.0
_MOST_KEPT: Final = 10_000


class ProviderSilent(errors.IdentityProviderUnavailable):
    """An identity provider that did not answer in time. Pauses further calls of its tenant."""


@dataclass(slots=True)
class _Pause:
    """Pause of a tenant's calls. After silence, it doubles with each failure in a row."""

    length_s: float
    until: float
    is_silent: bool


_lock = threading.Lock()
_calling: set[uuid.UUID] = set()
_pauses: dict[uuid.UUID, _Pause] = {}
_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


@contextmanager
def provider_slot(tenant_id: uuid.UUID) -> Iterator[None]:
    """Hold the only slot of a tenant for the calls of one sign-in. Never waits. Nested calls share it.

    Raise `IdentityProviderBusy` while another sign-in of the tenant calls, while too many tenants do, and for twice the
    time that slow calls took. Raise `IdentityProviderUnavailable` for a while after `ProviderSilent`.
    """
    if _deadline.get() is not None:
        yield
        return
    started = _acquire(tenant_id)
    token = _deadline.set(started + LONGEST_S)
    is_silent = False
    try:
        yield
    except ProviderSilent:
        is_silent = True
        raise
    finally:
        _deadline.reset(token)
        _release(tenant_id, time.monotonic() - started, is_silent=is_silent)


def seconds_left() -> float:
    """Return the seconds that the calls of this sign-in may still take."""
    deadline = _deadline.get()
    return LONGEST_S if deadline is None else max(0.0, deadline - time.monotonic())


def reset() -> None:
    """Forget pauses. For tests."""
    with _lock:
        _pauses.clear()


def _acquire(tenant_id: uuid.UUID) -> float:
    with _lock:
        now = time.monotonic()
        pause = _pauses.get(tenant_id)
        if pause is not None and pause.until > now:
            headers = {"Retry-After": str(int(pause.until - now) + 1)}
            raise (errors.IdentityProviderUnavailable if pause.is_silent else errors.IdentityProviderBusy)(
                headers=headers
            )
        if tenant_id in _calling or len(_calling) >= MOST_AT_ONCE:
            raise errors.IdentityProviderBusy(headers={"Retry-After": "1"})
        _calling.add(tenant_id)
        return now


def _release(tenant_id: uuid.UUID, took_s: float, *, is_silent: bool) -> None:
    with _lock:
        _calling.discard(tenant_id)
        before = _pauses.pop(tenant_id, None)
        if not is_silent and took_s < SLOW_S:
            return
        length_s = took_s * 2
        if is_silent:
            is_again = before is not None and before.is_silent
            length_s = min(before.length_s * 2, LONGEST_PAUSE_S) if before is not None and is_again else FIRST_PAUSE_S
        if len(_pauses) >= _MOST_KEPT:
            _pauses.pop(next(iter(_pauses)))
        _pauses[tenant_id] = _Pause(length_s, time.monotonic() + length_s, is_silent)
