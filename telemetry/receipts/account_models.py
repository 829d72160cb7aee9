"""Receipts by the account that they are about, with the personal data of sign-ins, and counters of failed sign-ins."""

from __future__ import annotations

from django.db import models

from threada_site.database.constraints import tenant_constraints
from threada_site.kernel import clock
from threada_site.tenancy.models import TenantRow


class AccountEvent(TenantRow):
    """Receipt about the account of a principal.

    `address` and `user_agent` are personal data of sign-ins and uses of credentials. The receipt contains commitments
    with `salt`; an erasure empties all three, and the receipt stays valid.
    """

    principal_id = models.UUIDField()
    receipt_id = models.UUIDField()
    address = models.CharField(max_length=45, blank=True)
    user_agent = models.CharField(max_length=300, blank=True)
    salt = models.BinaryField(max_length=16, default=b"")

    class Meta:
        constraints = tenant_constraints("accountevent")
        indexes = [
            models.Index(fields=["tenant", "principal_id", "receipt_id"], name="accountevent_of_principal"),
            models.Index(fields=["tenant", "receipt_id"], name="accountevent_of_receipt"),
        ]

    def __str__(self) -> str:
        return str(self.receipt_id)


class SignInFailures(TenantRow):
    """Failed sign-ins of one account since `since`. `unrecorded` of them have no receipt yet."""

    principal_id = models.UUIDField()
    since = models.DateTimeField(default=clock.now)
    recorded = models.IntegerField(default=0)
    unrecorded = models.IntegerField(default=0)

    class Meta:
        constraints = [
            *tenant_constraints("signinfailures"),
            models.UniqueConstraint(fields=["tenant", "principal_id"], name="signinfailures_once"),
        ]

    def __str__(self) -> str:
        return str(self.principal_id)
