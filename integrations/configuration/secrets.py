"""Secrets of a tenant: written, changed and removed. `integrations.secrets.vault` encrypts and reveals them.

Under `policy_four_eyes`, a value is stored as a change set. It waits encrypted, for at most seven days.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import orjson

from integrations.attempts.failures import TransportFailure
from integrations.configuration.parsed_documents import document_of
from integrations.models import Integration, ProposedSecret, StoredSecret
from integrations.secrets.access import checked_origin
from integrations.secrets.origins import UnusableOrigin
from integrations.secrets.pem import is_pem
from integrations.secrets.references import MAX_SECRET_BYTES, SecretReference
from integrations.secrets.vault import decrypt_secret, encrypt_secret, fingerprint_of
from telemetry.models import Delivery, Receipt
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError, InUse, InvalidRequest, NotFound
from threada_site.kernel.keyring import EncryptedSecret
from threada_site.tenancy.authority_models import ChangeSet
from threada_site.tenancy.change_sets import operation, require_policy_confirmation
from threada_site.tenancy.upsert import Change, UpsertResult

MOST_ORIGINS: Final = 10
LONGEST_WAIT: Final = timedelta(days=7)
"""Time after which a proposed value is deleted, and its change set can no longer be published."""
_PLAIN: Final = re.compile(r"[^\x00-\x1f\x7f]+")


def upsert_secret(slug: str, value: str, *, origins: Sequence[str], ctx: ActingContext) -> UpsertResult[StoredSecret]:
    """Create or change the secret `slug` with this value and these origins. Receipts contain only its name and origins.

    Raises `InvalidRequest`, whose errors contain no value, and `ConfirmationRequired` under `policy_four_eyes`.
    """
    require_unit_of_work(ctx.tenant_id)
    origins = _checked(value, origins)
    encrypted = encrypt_secret(slug, value, tenant_id=ctx.tenant_id)
    _confirm(slug, value, origins, encrypted, ctx=ctx)
    made = StoredSecret(
        tenant_id=ctx.tenant_id,
        slug=slug,
        origins=origins,
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
    row.origins, row.token, row.key_id, row.changed_at = origins, encrypted.token, encrypted.key_id, clock.now()
    row.save(update_fields=["origins", "token", "key_id", "number", "changed_at"])
    _record("secret.changed", row, ctx=ctx)
    return UpsertResult(row, Change.CHANGED)


def _forget_value(change_set: ChangeSet) -> None:
    """Delete the value that waits for the publication of a change set."""
    ProposedSecret.objects.filter(tenant_id=change_set.tenant_id, change_set_id=change_set.id).delete()


@operation("secret.put", scope=Scope.INTEGRATIONS_MANAGE, on_close=_forget_value)
def _publish_secret(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    slug = arguments["secret"]
    waiting = ProposedSecret.objects.filter(
        tenant_id=ctx.tenant_id,
        slug=slug,
        fingerprint=arguments["fingerprint"],
        created_at__gt=clock.now() - LONGEST_WAIT,
    )
    row = waiting.order_by("-created_at").first()
    if row is None:
        raise NotFound("The value is deleted: it waits for at most seven days.")
    try:
        value = decrypt_secret(bytes(row.token), slug, tenant_id=ctx.tenant_id)
    except TransportFailure as failure:
        raise NotFound(failure.detail) from None
    upsert_secret(slug, value.reveal(), origins=arguments["origins"], ctx=ctx)


def _confirm(slug: str, value: str, origins: list[str], encrypted: EncryptedSecret, *, ctx: ActingContext) -> None:
    current = StoredSecret.objects.filter(tenant_id=ctx.tenant_id, slug=slug).first()
    fingerprint = fingerprint_of(slug, value, tenant_id=ctx.tenant_id)
    said = {"secret": slug, "origins": origins, "fingerprint": fingerprint}

    def also_store(change_set: ChangeSet) -> None:
        ProposedSecret.objects.bulk_create(
            [
                ProposedSecret(
                    tenant_id=change_set.tenant_id,
                    change_set_id=change_set.id,
                    slug=slug,
                    fingerprint=fingerprint,
                    token=encrypted.token,
                    key_id=encrypted.key_id,
                    created_at=change_set.proposed_at,
                )
            ],
            ignore_conflicts=True,
        )

    require_policy_confirmation(
        "secret.put",
        f"Change the value of the secret {slug}" if current else f"Store the secret {slug}",
        arguments=said,
        before={"secret": slug, "origins": current.origins, "number": current.number} if current else None,
        after={**said, "number": current.number + 1 if current else 1},
        ctx=ctx,
        also_store=also_store,
    )


def remove_secret(row: StoredSecret, *, ctx: ActingContext) -> None:
    """Delete a locked secret. Raises `InUse` while an integration or a delivery references it."""
    require_unit_of_work(ctx.tenant_id)
    users = used_by(row.slug, ctx=ctx)
    if users:
        errors = [FieldError("", f"{name} names it", "in_use") for name in users]
        raise InUse(f"The secret {row.slug} is named by {', '.join(users)}. Change that first.", errors=errors)
    _record("secret.removed", row, ctx=ctx)
    row.delete()


def secrets_by_receipts(tenant_id: uuid.UUID) -> dict[str, Mapping[str, Any]]:
    """Return the body of the newest receipt of each secret that is stored according to its receipts, by name."""
    kinds = ("secret.stored", "secret.changed", "secret.removed")
    rows = Receipt.objects.filter(tenant_id=tenant_id, kind__in=kinds).order_by("id").values_list("body", flat=True)
    newest = {body["inputs"]["secret_id"]: body for body in (orjson.loads(bytes(row)) for row in rows)}
    return {slug: body for slug, body in sorted(newest.items()) if body["kind"] != "secret.removed"}


def record_secrets_left_behind(*, ctx: ActingContext) -> int:
    """Record that an imported tenant has lost its secrets: no export contains one. Return their number.

    Receipt `secret.removed` for each.
    """
    found = secrets_by_receipts(ctx.tenant_id)
    for body in found.values():
        record(Entry(kind="secret.removed", inputs=body["inputs"], outcome=body["outcome"]), ctx=ctx)
    return len(found)


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


def _checked(value: str, origins: Sequence[str]) -> list[str]:
    errors = []
    if not (_PLAIN.fullmatch(value) or is_pem(value)) or len(value.encode()) > MAX_SECRET_BYTES:
        said = f"must be one line of text, or a certificate or key in PEM, at most {MAX_SECRET_BYTES} bytes"
        errors.append(FieldError("/value", said, "invalid"))
    found: list[str] = []
    for position, text in enumerate(origins):
        try:
            found.append(checked_origin(text))
        except UnusableOrigin as error:
            errors.append(FieldError(f"/origins/{position}", str(error), "invalid"))
    if len(origins) > MOST_ORIGINS:
        errors.append(FieldError("/origins", f"must name at most {MOST_ORIGINS} origins", "invalid"))
    if errors:
        raise InvalidRequest(errors=errors)
    return sorted(set(found))


def _record(kind: str, row: StoredSecret, *, ctx: ActingContext) -> None:
    inputs: dict[str, Any] = {"secret_id": row.slug, "origins": row.origins}
    record(Entry(kind=kind, inputs=inputs, outcome={"number": row.number}), ctx=ctx)
