"""The keys of the people that cases are about, as one unit of work needs them.

A key is read once a unit of work, and forgotten at its end: a key erased anywhere is gone everywhere with the next
request. Keys lie in their rows wrapped under the instance's `people_key`. While that is changed there are several: the
first wraps, all open (`rewrapping`).
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
    """Keys by subject (None: erased), and subjects by case (None: it is about nobody)."""

    keys: dict[uuid.UUID, bytes | None] = field(default_factory=dict)
    cases: dict[uuid.UUID, uuid.UUID | None] = field(default_factory=dict)


type CaseLookup = Callable[[uuid.UUID], uuid.UUID | None]

_lookups: list[CaseLookup] = []


def register_case_lookup(lookup: CaseLookup) -> None:
    """Who a case is about is known further up; that app says here how to find out."""
    _lookups[:] = [lookup]


def subject_for(reference: str) -> uuid.UUID:
    """Who `reference` is (a customer number, a mail address) in this unit of work's tenant; made when new.

    The row stays locked against erasure until the transaction ends.
    """
    tenant_id = _tenant()
    lookups = lookups_of(reference)
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [tenant_id, lookups])
        row = cursor.fetchone()
        if row is None and len(lookups) > 1:
            # Machines may put the keys in another order: then no unique key tells that two of them make one person.
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
            cursor.execute(_FIND, [tenant_id, lookups])  # somebody else has just made it
            row = cursor.fetchone()
    subject, wrapped_key = row
    _ring().keys[subject] = unwrapped(bytes(wrapped_key))
    return subject


def lookups_of(reference: str) -> list[bytes]:
    """What `DataSubject.lookup` may hold for `reference` in this unit of work's tenant; what is written comes first."""
    return [lookup_under(number, reference, tenant_id=_tenant()) for number in range(people_keys())]


def lookup_under(number: int, reference: str, *, tenant_id: uuid.UUID) -> bytes:
    """The same under one of the instance's keys."""
    return keyed_digest(f"{tenant_id} {reference}", _keys(settings.THREADA_PEOPLE_KEY)[number].lookup)


def people_keys() -> int:
    """How many keys the instance knows."""
    return len(_keys(settings.THREADA_PEOPLE_KEY))


def wrapped(key: bytes, *, subject: uuid.UUID) -> bytes:
    """A person's key as its row holds it, under the instance's first."""
    return close_blob(key, _keys(settings.THREADA_PEOPLE_KEY)[0].wrapping, subject=subject, place=_KEY)


def unwrapped(wrapped_key: bytes, *, by_first: bool = False) -> bytes:
    """A person's key, opened with whichever of the instance's keys opens it, or with the first alone. Raises
    `BlobUnreadableError`."""
    keys = _keys(settings.THREADA_PEOPLE_KEY)[: 1 if by_first else None]
    for key in keys[:-1]:
        with suppress(BlobUnreadableError):
            return open_blob(wrapped_key, key.wrapping, place=_KEY)
    return open_blob(wrapped_key, keys[-1].wrapping, place=_KEY)


def opened_reference(sealed: bytes, key: bytes) -> str:
    """The reference that a person was made for, by that person's own key."""
    return open_blob(sealed, key, place=_REFERENCE).decode()


def key_of(subject: uuid.UUID) -> bytes | None:
    """The key of a person, or None when it was erased."""
    ring = _ring()
    if subject not in ring.keys:
        with read_connection().cursor() as cursor:
            cursor.execute(_READ, [subject])
            row = cursor.fetchone()
        if row is None:
            raise RuntimeError(f"There is no data subject {subject} here.")
        ring.keys[subject] = None if row[0] is None else unwrapped(bytes(row[0]))
    return ring.keys[subject]


def close_for(subject: uuid.UUID, value: bytes, *, place: str) -> bytes:
    """`value` as a blob of this person. Raises `ContentsRemoved` when the person was erased."""
    key = key_of(subject)
    if key is None:
        raise errors.ContentsRemoved("The person this case is about was erased; nothing more is written about them.")
    return close_blob(value, key, subject=subject, place=place)


def reference_of(subject: uuid.UUID, sealed: bytes) -> str:
    """The reference that a live subject was made for."""
    key = key_of(subject)
    return "" if key is None else opened_reference(sealed, key)


def note_case(case: uuid.UUID, subject: uuid.UUID | None) -> None:
    """Remember whom a case that was just read is about, which saves asking."""
    if current_tenant_id() is not None:
        _ring().cases[case] = subject


def subject_of_case(case: uuid.UUID) -> uuid.UUID | None:
    """Whom a case is about: None where its workflow says nobody."""
    cases = _ring().cases
    if case not in cases:
        cases[case] = _lookups[0](case) if _lookups else None
    return cases[case]


def forget(subject: uuid.UUID) -> None:
    """The key was erased in this transaction."""
    _ring().keys[subject] = None


def opens_a_key() -> bool:
    """Whether the instance's `people_key` opens the newest person's key, of all tenants; also when there is nobody."""
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
        raise RuntimeError("Keys are used inside a unit of work alone.")
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
