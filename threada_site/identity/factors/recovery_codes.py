"""Recovery codes: ten codes of 80 bits, shown once, stored as digests, each usable once.

They are random, so no slow hash is needed.
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from typing import Final

from threada_site.tenancy.factor_models import RecoveryCode

COUNT: Final = 10
_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"
"""32 letters and digits that cannot be confused: no l, o, 0 and 1."""
_GROUPS, _GROUP_LENGTH = 4, 4


def make_recovery_codes(person_id: uuid.UUID) -> list[str]:
    """Replace the recovery codes of a person. Return the new ones, which cannot be read again."""
    codes = [_new_code() for _ in range(COUNT)]
    RecoveryCode.objects.filter(user_id=person_id).delete()
    RecoveryCode.objects.bulk_create(
        RecoveryCode(user_id=person_id, code_sha256=_digest(person_id, code)) for code in codes
    )
    return codes


def use_recovery_code(person_id: uuid.UUID, code: str) -> bool:
    """Use a recovery code, which ends it. Return False if the person has no such code."""
    return bool(RecoveryCode.objects.filter(user_id=person_id, code_sha256=_digest(person_id, code)).delete()[0])


def recovery_codes_left(person_id: uuid.UUID) -> int:
    """Return the number of codes that were not used."""
    return RecoveryCode.objects.filter(user_id=person_id).count()


def _new_code() -> str:
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP_LENGTH)) for _ in range(_GROUPS))
    return "-".join(groups)


def _digest(person_id: uuid.UUID, code: str) -> bytes:
    """Return the digest of a code, typed in any case and with or without separators."""
    plain = "".join(letter for letter in code.lower() if letter.isalnum())
    return hashlib.sha256(person_id.bytes + plain.encode()).digest()
