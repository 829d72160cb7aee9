"""Reasons that people give for changes, by the receipt of the change."""

from __future__ import annotations

from django.db import models

from threada_site.database.constraints import tenant_constraints
from threada_site.kernel.json.canonical import new_salt
from threada_site.tenancy.models import TenantRow


class ReceiptReason(TenantRow):
    """Text of a reason. The receipt contains a commitment with `salt`, and stays valid when this row is deleted."""

    receipt_id = models.UUIDField()
    reason = models.CharField(max_length=1000)
    salt = models.BinaryField(max_length=16, default=new_salt)

    class Meta:
        constraints = tenant_constraints("receiptreason")
        indexes = [models.Index(fields=["tenant", "receipt_id"], name="receiptreason_of_receipt")]

    def __str__(self) -> str:
        return str(self.receipt_id)
