"""Tables of the API: idempotency records."""

from __future__ import annotations

from django.db import models

from threada_site.database.constraints import tenant_constraints
from threada_site.tenancy.models import TenantRow


class IdempotencyRecord(TenantRow):
    """First answer under an idempotency key, written in the transaction that did the work."""

    principal_id = models.UUIDField()
    path = models.CharField(max_length=255)
    key = models.CharField(max_length=255)
    body_sha256 = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    headers = models.JSONField(default=dict)
    response = models.BinaryField()
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [
            *tenant_constraints("idempotencyrecord"),
            models.UniqueConstraint(fields=["tenant", "principal_id", "path", "key"], name="idempotency_key_once"),
        ]
        indexes = [models.Index(fields=["expires_at"], name="idempotency_expiry_idx")]

    def __str__(self) -> str:
        return self.key
