"""Encrypted secrets: written by tenants, decrypted for calls only, re-encrypted after a key rotation."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import orjson
from django.conf import settings

from integrations.configuration.parsed_documents import document_of
from integrations.executions.attempt_failures import FailureClass, TransportFailure
from integrations.models import Integration, StoredSecret
from integrations.secrets.keyring import Keyring, Undecryptable, file_source, keys_in
from integrations.secrets.references import MAX_SECRET_BYTES, Secret, SecretReference
from integrations.transport.urls import UnusableUrl, read_url
from telemetry.models import Delivery
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import require_unit_of_work, unit_of_work
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError, InUse, InvalidRequest
from threada_site.tenancy.upsert import Change, UpsertResult

MOST_HOSTS: Final = 10
_PLAIN: Final = re.compile(r"[^\x00-\x1f\x7f]+")


def keyring() -> Keyring:
    """Return the keyring of the instance."""
    return _keyring(settings.THREADA_SECRETS_KEY, settings.THREADA_SECRETS_KEY_FILE)


@lru_cache(maxsize=4)
def _keyring(given: str, file: str) -> Keyring:
    if given:
        keys = keys_in(given)
        return Keyring(lambda: ("environment", keys))
    return Keyring(file_source(Path(file)))


def upsert_secret(slug: str, value: str, *, hosts: Sequence[str], ctx: ActingContext) -> UpsertResult[StoredSecret]:
    """Create or change the secret `slug` with this value and these hosts. Receipts contain only its name and hosts.

    Raises `InvalidRequest`, whose errors contain no value.
    """
    require_unit_of_work(ctx.tenant_id)
    hosts = _checked(value, hosts)
    encrypted = keyring().encrypt(_bound(ctx.tenant_id, slug, value))
    made = StoredSecret(
        tenant_id=ctx.tenant_id,
        slug=slug,
        hosts=hosts,
        token=encrypted.token,
        key_id=encrypted.key_id,
        created_by=None if ctx.is_system else ctx.principal_id,
    )
    StoredSecret.objects.bulk_create([made], ignore_conflicts=True)
    row = StoredSecret.objects.select_for_update(no_key=True).get(tenant_id=ctx.tenant_id, slug=slug)
    if row.id == made.id:
        _record("secret.stored", row, ctx=ctx)
        return UpsertResult(row, Change.CREATED)
    row.number += 1
    row.hosts, row.token, row.key_id, row.changed_at = hosts, encrypted.token, encrypted.key_id, clock.now()
    row.save(update_fields=["hosts", "token", "key_id", "number", "changed_at"])
    _record("secret.changed", row, ctx=ctx)
    return UpsertResult(row, Change.CHANGED)


def remove_secret(row: StoredSecret, *, ctx: ActingContext) -> None:
    """Delete a locked secret. Raises `InUse` while an integration or a delivery references it."""
    require_unit_of_work(ctx.tenant_id)
    users = used_by(row.slug, ctx=ctx)
    if users:
        errors = [FieldError("", f"{name} names it", "in_use") for name in users]
        raise InUse(f"The secret {row.slug} is named by {', '.join(users)}. Change that first.", errors=errors)
    _record("secret.removed", row, ctx=ctx)
    row.delete()


def used_by(slug: str, *, ctx: ActingContext) -> list[str]:
    """Return the integrations and deliveries that reference the secret."""
    reference = SecretReference("stored", slug)
    current = Integration.objects.filter(tenant_id=ctx.tenant_id, current_version__isnull=False)
    named = [
        integration.slug
        for integration in current.select_related("current_version").order_by("slug")
        if integration.current_version and reference in document_of(integration.current_version).secret_references
    ]
    deliveries = Delivery.objects.filter(tenant_id=ctx.tenant_id, secret=reference.as_json())
    return named + [f"delivery {name}" for name in deliveries.exclude(status="removed").values_list("slug", flat=True)]


def reveal(name: str, *, tenant_id: uuid.UUID, host: str) -> Secret:
    """Return the secret's value for a call to `host`. Opens its own unit of work.

    Raises `TransportFailure` (`credential_unavailable`).
    """
    with unit_of_work(tenant_id):
        row = StoredSecret.objects.filter(tenant_id=tenant_id, slug=name).first()
    if row is None:
        raise _unavailable(name, "does not exist")
    if host not in row.hosts:
        raise _unavailable(name, f"is not for the host {host}")
    try:
        kept = orjson.loads(keyring().decrypt(bytes(row.token)))
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
        rows = StoredSecret.objects.exclude(key_id=current).order_by("key_id", "id")
        for row in rows.select_for_update(skip_locked=True)[:most]:
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
        return StoredSecret.objects.exclude(key_id=current).count()


def encrypted_with_unknown_keys() -> int:
    """Return the number of secrets, across all tenants, that no key of this machine decrypts."""
    with platform_role():
        return StoredSecret.objects.exclude(key_id__in=keyring().key_ids).count()


def _checked(value: str, hosts: Sequence[str]) -> list[str]:
    errors = []
    if not _PLAIN.fullmatch(value) or len(value.encode()) > MAX_SECRET_BYTES:
        errors.append(FieldError("/value", f"must be one line of text, at most {MAX_SECRET_BYTES} bytes", "invalid"))
    found: list[str] = []
    for position, host in enumerate(hosts):
        try:
            found.append(read_url(f"https://{f'[{host}]' if ':' in host else host}").host)
        except UnusableUrl:
            errors.append(FieldError(f"/hosts/{position}", "must be a host name or an address, no port", "invalid"))
    if not 1 <= len(hosts) <= MOST_HOSTS:
        errors.append(FieldError("/hosts", f"must name 1 to {MOST_HOSTS} hosts", "invalid"))
    if errors:
        raise InvalidRequest(errors=errors)
    return sorted(set(found))


def _bound(tenant_id: uuid.UUID, slug: str, value: str) -> bytes:
    """Return the plaintext: the value together with tenant and slug, so that a token copied to another row is
    useless."""
    return orjson.dumps({"tenant": str(tenant_id), "slug": slug, "value": value})


def _record(kind: str, row: StoredSecret, *, ctx: ActingContext) -> None:
    inputs: dict[str, Any] = {"secret_id": row.slug, "hosts": row.hosts}
    record(Entry(kind=kind, inputs=inputs, outcome={"number": row.number}), ctx=ctx)


def _unavailable(name: str, why: str) -> TransportFailure:
    return TransportFailure(FailureClass.CREDENTIAL_UNAVAILABLE, f"The secret stored:{name} {why}.")
