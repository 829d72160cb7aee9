"""Encryption of secrets: decrypted for calls only, re-encrypted after a key rotation."""

from __future__ import annotations

import uuid
from typing import Final

import orjson
from django.utils.crypto import salted_hmac

from integrations.attempts.failures import FailureClass, TransportFailure, origin_refused
from integrations.models import ProposedSecret, StoredSecret
from integrations.secrets.origins import parse_origin, shown_address
from integrations.secrets.references import Secret
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.keyring import EncryptedSecret, Undecryptable
from threada_site.personal_data.instance_keyring import keyring

_ENCRYPTED: Final[tuple[type[StoredSecret | ProposedSecret], ...]] = (StoredSecret, ProposedSecret)
"""Tables with `token` and `key_id`."""


def fingerprint_of(slug: str, value: str, *, tenant_id: uuid.UUID) -> str:
    """Return the fingerprint (32 hex digits) of a value, keyed with the `SECRET_KEY` of the instance.

    Equal values of a secret have equal fingerprints. Nobody finds a value by its fingerprint without the key.
    """
    text = orjson.dumps([str(tenant_id), slug, value]).decode()
    return salted_hmac("threada.secret_fingerprint", text, algorithm="sha256").hexdigest()[:32]


def encrypt_secret(slug: str, value: str, *, tenant_id: uuid.UUID) -> EncryptedSecret:
    """Return the encrypted value together with tenant and slug, so that a token copied to another row is useless."""
    return keyring().encrypt(orjson.dumps({"tenant": str(tenant_id), "slug": slug, "value": value}))


def reveal(name: str, *, tenant_id: uuid.UUID, sent_to: str | None) -> Secret:
    """Return the secret's value for a call to the address `sent_to`; None if it leaves this process for no address.

    Opens its own unit of work.

    Raises `TransportFailure` (`credential_unavailable`, `secret_origin_refused`).
    """
    with unit_of_work(tenant_id):
        row = StoredSecret.objects.filter(tenant_id=tenant_id, slug=name).first()
    if row is None:
        raise _unavailable(name, "does not exist")
    if sent_to is not None and not any(parse_origin(origin).covers(sent_to) for origin in row.origins):
        raise origin_refused(f"The secret stored:{name} is not for {shown_address(sent_to)}.")
    return decrypt_secret(bytes(row.token), name, tenant_id=tenant_id)


def decrypt_secret(token: bytes, name: str, *, tenant_id: uuid.UUID) -> Secret:
    """Return the value of the secret `name`. Raises `TransportFailure` (`credential_unavailable`)."""
    try:
        kept = orjson.loads(keyring().decrypt(token))
    except Undecryptable:
        raise _unavailable(name, "cannot be decrypted with the instance's keys") from None
    if (kept["tenant"], kept["slug"]) != (str(tenant_id), name):
        raise _unavailable(name, "was written for another place")
    return Secret(kept["value"])


def reencrypt_secrets(*, most: int) -> tuple[int, int]:
    """Encrypt up to `most` secrets of all tenants with the first key. Return the numbers of re-encrypted and
    undecryptable ones.

    Skips locked rows: a secret that is being changed gets the first key anyway.
    """
    current = keyring().key_ids[0]
    done = broken = 0
    with platform_role():
        for model in _ENCRYPTED:
            rows = model.objects.exclude(key_id=current).order_by("key_id", "id")
            for row in rows.select_for_update(skip_locked=True)[: most - done - broken]:
                try:
                    encrypted = keyring().encrypt(keyring().decrypt(bytes(row.token)))
                except Undecryptable:
                    broken += 1
                    continue
                row.token, row.key_id = encrypted.token, encrypted.key_id
                row.save(update_fields=["token", "key_id"])
                done += 1
    return done, broken


def encrypted_with_older_keys() -> int:
    """Return the number of secrets, across all tenants, that are not encrypted with the first key."""
    current = keyring().key_ids[0]
    with platform_role():
        return sum(model.objects.exclude(key_id=current).count() for model in _ENCRYPTED)


def encrypted_with_unknown_keys() -> int:
    """Return the number of secrets, across all tenants, that no key of this machine decrypts."""
    with platform_role():
        return sum(model.objects.exclude(key_id__in=keyring().key_ids).count() for model in _ENCRYPTED)


def _unavailable(name: str, why: str) -> TransportFailure:
    return TransportFailure(FailureClass.CREDENTIAL_UNAVAILABLE, f"The secret stored:{name} {why}.")
