"""Agreement on the sealing key: all sealers of an instance sign with one key, made by the first to start. No Django."""

from __future__ import annotations

import time
from typing import Any, Final

import psycopg

from telemetry.log.key_file import KeyFile
from threada_site.database.role_names import PLATFORM
from threada_site.tenancy.instance_record import Fact, recorded, settle, skew

SEALING_KEY: Final = "THREADA_SEALING_KEY_FILE"


class OtherSealingKey(Exception):
    """Error for a key that differs from the sealing key of the instance."""


def settle_sealing_key(connection: psycopg.Connection[Any], key_file: KeyFile, *, accepted: bool = False) -> None:
    """Compare this machine's key with the recorded one, and record it if none is recorded.

    `accepted`: record it in any case. Public keys are no secrets and are stored as they are. Raise `OtherSealingKey`,
    and `KeyFileProblem` if there is no usable key.
    """
    keys = key_file.keys()
    names = tuple(str(key.verifier_key(key.name)) for key in keys)
    fact = Fact(SEALING_KEY, names[-1:] if accepted else names, is_key=False)
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {PLATFORM}")
        differing = settle(cursor, [fact], accepted=[SEALING_KEY] if accepted else ())
    if differing:
        raise OtherSealingKey(
            f"The sealing key {key_file.path} is not the one that this instance is sealed with. Bring the key file of "
            "the machine that seals here; if it was changed on purpose, say so once: "
            f"manage.py instance accept {SEALING_KEY}"
        )


def make_first_key(connection: psycopg.Connection[Any], key_file: KeyFile, *, name: str) -> bool:
    """Create a key for an instance that has none. Return True if it was created. Of two machines that start at the same
    time, one creates it."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {PLATFORM}")
        if recorded(cursor, SEALING_KEY) is not None:
            return False
        key_file.create(name)
        settle(cursor, [Fact(SEALING_KEY, (str(key_file.keys()[0].verifier_key(name)),), is_key=False)])
    return True


def clock_skew(connection: psycopg.Connection[Any]) -> float:
    """Return the seconds by which this machine's clock is ahead of the database's."""
    before = time.time()
    row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    return skew(before, float(row[0]), time.time()) if row else 0.0
