"""Facts that all machines must agree on, as the first one recorded them. Pure except for the given cursor.

Keys are recorded as slow salted fingerprints, settings as plain text.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

SKEW_TOLERATED_S: Final = 2.0
"""With a larger skew, times in ids and leases would be inconsistent between machines."""

_KEY: Final = "scrypt:"
_SETTING: Final = "is:"
_READ: Final = "SELECT salt, facts::text FROM tenancy_instance WHERE id = 1"
_BEGIN: Final = (
    "INSERT INTO tenancy_instance (id, salt, facts, made_at) VALUES (1, %s, '{}', now()) ON CONFLICT (id) DO NOTHING"
)


class Fact(NamedTuple):
    """One fact to agree on, under the name of its variable.

    `values`: all values that this machine can use; it uses the first. During a key rotation there are several.
    """

    name: str
    values: tuple[str, ...]
    is_key: bool = True


def settle(cursor: Any, facts: Sequence[Fact], *, accepted: Collection[str] = ()) -> list[str]:
    """Record missing facts and return the names of facts that differ on this machine.

    Call it inside a transaction. If several machines start at the same time, one records and the others compare.
    Facts named in `accepted` are recorded as this machine has them. A login that may not write the table, such as the
    web's, only compares.
    """
    if not accepted and not _may_record(cursor):
        return compare(cursor, facts)[0]
    row = _read(cursor)
    if row is None:
        cursor.execute(_BEGIN, [secrets.token_bytes(32)])
        row = _read(cursor)
    written, differing = _compared(row, facts, accepted)
    if written:
        cursor.execute(_READ + " FOR UPDATE")
        row = _parsed(cursor.fetchone())
        written, differing = _compared(row, facts, accepted)
        cursor.execute(
            "UPDATE tenancy_instance SET facts = facts || %s::jsonb WHERE id = 1 AND %s <> '{}'",
            [json.dumps(written), json.dumps(written)],
        )
    return differing


def compare(cursor: Any, facts: Sequence[Fact]) -> tuple[list[str], bool]:
    """Return the names of facts that differ on this machine, and True if all facts are recorded."""
    row = _read(cursor)
    if row is None:
        return [], False
    written, differing = _compared(row, facts, ())
    return differing, not written


def recorded(cursor: Any, name: str) -> str | None:
    """Return the recorded setting of this name, or None. The row stays locked until the transaction ends."""
    cursor.execute(_BEGIN, [secrets.token_bytes(32)])
    cursor.execute(_READ + " FOR UPDATE")
    known = _parsed(cursor.fetchone())[1].get(name)
    return None if known is None else known.removeprefix(_SETTING)


def skew(before: float, theirs: float, after: float) -> float:
    """Return the seconds by which the local clock is ahead of a clock that showed `theirs` between two local times.

    Zero if the difference can be explained by the round-trip time.
    """
    if theirs < before:
        return before - theirs
    return min(after - theirs, 0.0)


def fingerprint(value: str, *, name: str, salt: bytes) -> str:
    """Return a slow salted hash of a key."""
    digest = hashlib.scrypt(value.encode(), salt=salt + name.encode(), n=2**13, r=8, p=1, dklen=16)
    return _KEY + digest.hex()


def _compared(
    row: tuple[bytes, Mapping[str, str]], facts: Sequence[Fact], accepted: Collection[str]
) -> tuple[dict[str, str], list[str]]:
    """Return the facts to record and the names of facts that differ."""
    salt, recorded = row
    written: dict[str, str] = {}
    differing = []
    for fact in facts:
        known = recorded.get(fact.name)
        if not fact.values:
            differing.append(fact.name)
            continue
        if known is None or known == _SETTING or fact.name in accepted:
            new = _written(fact, fact.values[0], salt)
            if new != known:
                written[fact.name] = new
        elif not any(_written(fact, value, salt) == known for value in fact.values):
            differing.append(fact.name)
    return written, differing


def _written(fact: Fact, value: str, salt: bytes) -> str:
    return fingerprint(value, name=fact.name, salt=salt) if fact.is_key else _SETTING + value


def _may_record(cursor: Any) -> bool:
    cursor.execute("SELECT has_table_privilege('tenancy_instance', 'UPDATE')")
    return bool(cursor.fetchone()[0])


def _read(cursor: Any) -> Any:
    cursor.execute(_READ)
    row = cursor.fetchone()
    return None if row is None else _parsed(row)


def _parsed(row: Any) -> tuple[bytes, dict[str, str]]:
    return bytes(row[0]), json.loads(row[1])
