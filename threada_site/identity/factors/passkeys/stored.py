"""Passkeys of a person, as they are stored. Needs no unit of work: they belong to no tenant."""

from __future__ import annotations

import secrets
import uuid
from typing import Final

from threada_site.identity.factors.passkeys.verification import StoredPasskey
from threada_site.tenancy.factor_models import Passkey

_HANDLE_BYTES: Final = 32


def passkeys_of(person_id: uuid.UUID, *, rp_id: str | None = None) -> list[Passkey]:
    """Return the passkeys of a person, oldest first, or only those that are bound to the host `rp_id`."""
    rows = Passkey.objects.filter(factor__user_id=person_id).select_related("factor").order_by("factor_id")
    return list(rows if rp_id is None else rows.filter(rp_id=rp_id))


def as_stored(row: Passkey) -> StoredPasskey:
    """Return what verifies the answers of a passkey."""
    return StoredPasskey(bytes(row.data), row.sign_count, bytes(row.user_handle), tuple(row.transports))


def user_handle_of(person_id: uuid.UUID) -> bytes:
    """Return the user handle of the person's passkeys; new random bytes for the first one."""
    stored = Passkey.objects.filter(factor__user_id=person_id).values_list("user_handle", flat=True).first()
    return secrets.token_bytes(_HANDLE_BYTES) if stored is None else bytes(stored)
