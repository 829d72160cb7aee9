"""Time-based one-time codes (RFC 6238): six digits, thirty seconds, SHA-1, as authenticator apps expect.

A code of the step before and after is accepted too, for clocks that differ. Each step is accepted once.
"""

from __future__ import annotations

import hmac
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson
import pyotp
import segno
import structlog
from django.db import transaction
from django.db.models import Q, QuerySet

from threada_site.kernel import clock, ids
from threada_site.kernel.factors import Factor
from threada_site.kernel.keyring import Undecryptable
from threada_site.personal_data.instance_keyring import keyring
from threada_site.tenancy.factor_models import EnrolledFactor

STEP_S: Final = 30
_SKEW: Final = (0, -1, 1)
"""Steps that are tried, relative to the current one."""
log = structlog.get_logger("threada.identity")


@dataclass(frozen=True, slots=True)
class EncryptedTotp:
    """Secret of an authenticator app, encrypted with both ids, so that it is useless in another row."""

    factor_id: uuid.UUID
    person_id: uuid.UUID
    token: bytes
    key_id: str

    def secret(self) -> str:
        """Return the secret in base 32. Raise `Undecryptable`, also for a secret of another row."""
        kept = orjson.loads(keyring().decrypt(self.token))
        if (kept.get("factor"), kept.get("principal")) != (str(self.factor_id), str(self.person_id)):
            raise Undecryptable
        return str(kept["totp"])


def new_totp(person_id: uuid.UUID) -> EncryptedTotp:
    """Return a new secret of 160 bits for a person."""
    factor_id = ids.new_uuid()
    said = {"factor": str(factor_id), "principal": str(person_id), "totp": pyotp.random_base32()}
    encrypted = keyring().encrypt(orjson.dumps(said))
    return EncryptedTotp(factor_id, person_id, encrypted.token, encrypted.key_id)


def provisioning_uri(secret: str, account: str, issuer: str) -> str:
    """Return the address that an authenticator app reads from the QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=issuer)


def qr_code(uri: str) -> str:
    """Return the QR code of an address as a data URI with dark modules on white, in every theme."""
    return str(segno.make(uri, error="m").svg_data_uri(scale=4, border=4, dark="#000", light="#fff"))


def accepted_step(secret: str, code: str, now: datetime) -> int | None:
    """Return the time step whose code is `code`, or None. All steps are compared, in constant time."""
    otp, current = pyotp.TOTP(secret, interval=STEP_S), int(now.timestamp()) // STEP_S
    found = None
    for step in (current + skew for skew in _SKEW):
        if hmac.compare_digest(otp.generate_otp(step).encode(), code.encode()) and found is None:
            found = step
    return found


def use_totp(person_id: uuid.UUID, code: str) -> EnrolledFactor | None:
    """Use a code of one of the person's authenticator apps. Return the app, or None if the code is not valid.

    A code serves once, also for concurrent requests. Call it outside of a transaction that may be rolled back.
    """
    now = clock.now()
    for factor in EnrolledFactor.objects.filter(user_id=person_id, kind=Factor.TOTP.value):
        try:
            secret = EncryptedTotp(factor.id, person_id, bytes(factor.secret or b""), factor.key_id).secret()
        except Undecryptable:
            log.warning("totp_secret_unreadable", factor=factor.public_id)
            continue
        step = accepted_step(secret, code, now)
        if step is not None and _take_step(factor, step, now):
            return factor
    return None


def _take_step(factor: EnrolledFactor, step: int, now: datetime) -> bool:
    """Store the step as the last accepted one. Return False if it, or a later one, was accepted already."""
    unused = EnrolledFactor.objects.filter(Q(last_step__isnull=True) | Q(last_step__lt=step), id=factor.id)
    return bool(unused.update(last_step=step, last_used_at=now))


def reencrypt_totp(*, most: int) -> tuple[int, int]:
    """Encrypt up to `most` secrets with the first key. Return the numbers of re-encrypted and undecryptable ones."""
    done = broken = 0
    with transaction.atomic():
        for row in with_older_keys().order_by("key_id", "id").select_for_update(skip_locked=True)[:most]:
            try:
                encrypted = keyring().encrypt(keyring().decrypt(bytes(row.secret or b"")))
            except Undecryptable:
                broken += 1
                continue
            row.secret, row.key_id = encrypted.token, encrypted.key_id
            row.save(update_fields=["secret", "key_id"])
            done += 1
    return done, broken


def with_older_keys() -> QuerySet[EnrolledFactor]:
    """Return the authenticator apps whose secrets are not encrypted with the first key."""
    return EnrolledFactor.objects.filter(kind=Factor.TOTP.value).exclude(key_id=keyring().key_ids[0])


def with_unknown_keys() -> QuerySet[EnrolledFactor]:
    """Return the authenticator apps whose secrets no key of this machine decrypts."""
    return EnrolledFactor.objects.filter(kind=Factor.TOTP.value).exclude(key_id__in=keyring().key_ids)
