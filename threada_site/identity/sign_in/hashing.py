"""Password hashes: Argon2id, and at most two computed at the same time in one process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.contrib.auth.hashers import Argon2PasswordHasher, PBKDF2PasswordHasher

from threada_site.kernel import errors
from threada_site.kernel.request_threads import is_request_thread

MOST_AT_ONCE: Final = 2
LONGEST_WAIT_S: Final = 0.2

_slots = threading.BoundedSemaphore(MOST_AT_ONCE)


class PasswordHasher(Argon2PasswordHasher):
    """Argon2id with 19 MiB, two passes and one lane.

    https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html#argon2id
    """

    memory_cost = 19 * 1024
    time_cost = 2
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        with hashing_slot():
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        with hashing_slot():
            return bool(super().verify(password, encoded))


class EarlierPasswordHasher(PBKDF2PasswordHasher):
    """PBKDF2, for hashes from before Argon2. They are replaced at the next sign-in."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        with hashing_slot():
            return super().encode(password, salt, iterations)

    def harden_runtime(self, password: str, encoded: str) -> Any:
        """Do nothing: the preferred hasher is another one."""


@contextmanager
def hashing_slot() -> Iterator[None]:
    """Enter one of the slots of this process. Raise `SignInBusy` if none becomes free within 200 ms.

    The web server routes requests that hash passwords to threads of their own (`runtime/web/password_requests.py`).
    Raise `RuntimeError` on its other threads: a request was routed there that should not.
    """
    if is_request_thread():
        raise RuntimeError("Passwords are hashed on the password threads. Name this view in password_requests.py.")
    if not _slots.acquire(timeout=LONGEST_WAIT_S):
        raise errors.SignInBusy(headers={"Retry-After": "1"})
    try:
        yield
    finally:
        _slots.release()
