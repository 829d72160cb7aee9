"""Keys of data subjects within one unit of work.

Each unit of work reads a key at most once and drops it at its end, so that an erased key is unusable from the next
request on. Keys are stored wrapped with the instance's `people_key`. During a rotation there are several: the first
one wraps, all unwrap (`rotate_people_key`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from django.conf import settings
from django.db import connection

from threada_site.database.roles import platform_role
from threada_site.database.router import read_connection
from threada_site.database.unit_of_work import current_tenant_id, on_unit_of_work_end
from threada_site.kernel import errors, ids
from threada_site.personal_data.encrypted_blob import (
    BlobUnreadableError,
    close_blob,
    derived_key,
    keyed_digest,
    new_key,
    open_blob,
)

_KEY: Final = "tenancy_datasubject.wrapped_key"
_REFERENCE: Final = "tenancy_datasubject.reference"
_FIND: Final = "SELECT id, wrapped_key FROM tenancy_datasubject WHERE tenant_id = %s AND lookup = ANY(%s) FOR KEY SHARE"
_MAKE: Final = """
INSERT INTO tenancy_datasubject (id, tenant_id, lookup, reference, wrapped_key, created_at)
VALUES (%s, %s, %s, %s, %s, now()) ON CONFLICT (tenant_id, lookup) DO NOTHING RETURNING id
"""
_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
_READ: Final = "SELECT wrapped_key FROM tenancy_datasubject WHERE id = %s"

_NEWEST: Final = "SELECT wrapped_key FROM tenancy_datasubject WHERE wrapped_key IS NOT NULL ORDER BY id DESC LIMIT 1"


@dataclass(slots=True)
class _Ring:
    """Keys by subject (None: erased), and subjects by case (None: no subject)."""

    keys: dict[uuid.UUID, bytes | None] = field(default_factory=dict)
    cases: dict[uuid.UUID, uuid.UUID | None] = field(default_factory=dict)


type CaseLookup = Callable[[uuid.UUID], uuid.UUID | None]

_lookups: list[CaseLookup] = []


def register_case_lookup(lookup: CaseLookup) -> None:
    """Register the function that finds the subject of a case; the app `workitems` supplies it."""
    _lookups[:] = [lookup]


def subject_for(reference: str) -> uuid.UUID:
    """Return the data subject for `reference` (a customer number, a mail address); create it if new.

    The row is locked against erasure until the transaction ends.
    """
    tenant_id = _tenant()
    lookups = lookups_of(reference)
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [tenant_id, lookups])
        row = cursor.fetchone()
        if row is None and len(lookups) > 1:
            # Machines may list the keys in different orders, so a unique constraint cannot prevent two rows for one
            # person.
            cursor.execute(_ONE_AT_A_TIME, [f"subject:{min(lookups).hex()}"])
            cursor.execute(_FIND, [tenant_id, lookups])
            row = cursor.fetchone()
        if row is None:
            subject, key = ids.new_uuid(), new_key()
            sealed = close_blob(reference.encode(), key, subject=subject, place=_REFERENCE)
            cursor.execute(_MAKE, [subject, tenant_id, lookups[0], sealed, wrapped(key, subject=subject)])
            if cursor.fetchone():
                _ring().keys[subject] = key
                return subject
            cursor.execute(_FIND, [tenant_id, lookups])  # another transaction has created it
            row = cursor.fetchone()
    subject, wrapped_key = row
    _ring().keys[subject] = unwrapped(bytes(wrapped_key))
    return subject


def lookups_of(reference: str) -> list[bytes]:
    """Return the possible values of `DataSubject.lookup` for `reference`; the first one is stored in new rows."""
    return [lookup_under(number, reference, tenant_id=_tenant()) for number in range(people_keys())]


def lookup_under(number: int, reference: str, *, tenant_id: uuid.UUID) -> bytes:
    """Return the lookup value under one of the instance's keys."""
    return keyed_digest(f"{tenant_id} {reference}", _keys(settings.THREADA_PEOPLE_KEY)[number].lookup)


def people_keys() -> int:
    """Return the number of keys of the instance."""
    return len(_keys(settings.THREADA_PEOPLE_KEY))


def wrapped(key: bytes, *, subject: uuid.UUID) -> bytes:
    """Wrap a subject's key with the first key of the instance."""
    return close_blob(key, _keys(settings.THREADA_PEOPLE_KEY)[0].wrapping, subject=subject, place=_KEY)


def unwrapped(wrapped_key: bytes, *, by_first: bool = False) -> bytes:
    """Unwrap a subject's key with any key of the instance, or only the first. Raise `BlobUnreadableError`."""
    keys = _keys(settings.THREADA_PEOPLE_KEY)[: 1 if by_first else None]
    for key in keys[:-1]:
        with suppress(BlobUnreadableError):
            return open_blob(wrapped_key, key.wrapping, place=_KEY)
    return open_blob(wrapped_key, keys[-1].wrapping, place=_KEY)


def opened_reference(sealed: bytes, key: bytes) -> str:
    """Decrypt the reference of a data subject with its own key."""
    return open_blob(sealed, key, place=_REFERENCE).decode()


def key_of(subject: uuid.UUID) -> bytes | None:
    """Return the key of a data subject, or None if it was erased."""
    ring = _ring()
    if subject not in ring.keys:
        with read_connection().cursor() as cursor:
            cursor.execute(_READ, [subject])
            row = cursor.fetchone()
        if row is None:
            raise RuntimeError(f"There is no data subject {subject} in this tenant.")
        ring.keys[subject] = None if row[0] is None else unwrapped(bytes(row[0]))
    return ring.keys[subject]


def close_for(subject: uuid.UUID, value: bytes, *, place: str) -> bytes:
    """Encrypt `value` for a data subject. Raise `ContentsRemoved` if it was erased."""
    key = key_of(subject)
    if key is None:
        raise errors.ContentsRemoved("The data subject of this case was erased. No contents can be added.")
    return close_blob(value, key, subject=subject, place=place)


def reference_of(subject: uuid.UUID, sealed: bytes) -> str:
    """Return the reference of a data subject; empty if it was erased."""
    key = key_of(subject)
    return "" if key is None else opened_reference(sealed, key)


def note_case(case: uuid.UUID, subject: uuid.UUID | None) -> None:
    """Cache the subject of a case that was just read."""
    if current_tenant_id() is not None:
        _ring().cases[case] = subject


def subject_of_case(case: uuid.UUID) -> uuid.UUID | None:
    """Return the subject of a case; None if its workflow names none."""
    cases = _ring().cases
    if case not in cases:
        cases[case] = _lookups[0](case) if _lookups else None
    return cases[case]


def forget(subject: uuid.UUID) -> None:
    """Drop a key that was erased in this transaction."""
    _ring().keys[subject] = None


def opens_a_key() -> bool:
    """Return True if `people_key` unwraps the newest key of all tenants, or if there are no data subjects."""
    with platform_role(), connection.cursor() as cursor:
        cursor.execute(_NEWEST)
        row = cursor.fetchone()
    try:
        return row is None or bool(unwrapped(bytes(row[0])))
    except BlobUnreadableError:
        return False


def _tenant() -> uuid.UUID:
    tenant_id = current_tenant_id()
    if tenant_id is None:
        raise RuntimeError("Keys can only be used inside a unit of work.")
    return tenant_id


def _ring() -> _Ring:
    ring: _Ring | None = getattr(connection, "threada_keyring", None)
    if ring is None:
        ring = _Ring()
        if current_tenant_id() is not None:
            connection.threada_keyring = ring  # type: ignore[attr-defined]
    return ring


@on_unit_of_work_end
def _empty() -> None:
    connection.threada_keyring = None  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class _Keys:
    wrapping: bytes
    lookup: bytes


@lru_cache(maxsize=4)
def _keys(text: str) -> tuple[_Keys, ...]:
    return tuple(
        _Keys(
            derived_key(key, purpose="threada keys of data subjects"),
            derived_key(key, purpose="threada references of data subjects"),
        )
        for key in dict.fromkeys(text.split())
    )
