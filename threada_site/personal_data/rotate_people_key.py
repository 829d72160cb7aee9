"""Rotation of the instance's `people_key`: every data subject's key is rewrapped with the first key.

The contents of cases stay unchanged, because they are encrypted with the keys of the data subjects. A locked row is
skipped and left to the next pass.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.db import IntegrityError, transaction

from threada_site.database.roles import platform_role
from threada_site.personal_data import subject_keys as keyring
from threada_site.personal_data.encrypted_blob import BlobUnreadableError
from threada_site.tenancy.models import DataSubject


@dataclass(frozen=True, slots=True)
class Pass:
    """One batch of data subjects of all tenants.

    `last`: the last one in the batch, None after the last batch. `in_use`: skipped. `broken`: no key opens them, or the
    same person exists under the first key too.
    """

    last: uuid.UUID | None
    wrapped: int
    in_use: int
    broken: int


def rewrap_keys(*, after: uuid.UUID | None, most: int) -> Pass:
    """Rewrap the keys of the next `most` data subjects, in one transaction. May be killed and repeated."""
    with platform_role():
        people = DataSubject.objects.filter(erased_at=None).order_by("id")
        people = people if after is None else people.filter(id__gt=after)
        seen = list(people[:most])
        stale = [person.id for person in seen if not _is_current(person)]
        locked = DataSubject.objects.filter(id__in=stale, erased_at=None).select_for_update(skip_locked=True)
        done = [_wrap(person) for person in locked.order_by("id")]
    return Pass(seen[-1].id if len(seen) == most else None, sum(done), len(stale) - len(done), done.count(False))


def _is_current(person: DataSubject) -> bool:
    try:
        key = keyring.unwrapped(bytes(person.wrapped_key or b""), by_first=True)
        reference = keyring.opened_reference(bytes(person.reference or b""), key)
    except BlobUnreadableError:
        return False
    return bytes(person.lookup or b"") == keyring.lookup_under(0, reference, tenant_id=person.tenant_id)


def _wrap(person: DataSubject) -> bool:
    try:
        key = keyring.unwrapped(bytes(person.wrapped_key or b""))
        reference = keyring.opened_reference(bytes(person.reference or b""), key)
    except BlobUnreadableError:
        return False
    person.wrapped_key = keyring.wrapped(key, subject=person.id)
    person.lookup = keyring.lookup_under(0, reference, tenant_id=person.tenant_id)
    try:
        with transaction.atomic():
            person.save(update_fields=["wrapped_key", "lookup"])
    except IntegrityError:
        return False
    return True
