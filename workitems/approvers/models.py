"""Tables of approvers: the last checked members, and delegations."""

from __future__ import annotations

from django.db import models

from threada_site.database.constraints import tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import TenantRow, User


class MembershipSnapshot(TenantRow):
    """Fingerprint of the members for whom the pending steps of the tenant were checked last."""

    fingerprint = models.CharField(max_length=64)
    checked_at = models.DateTimeField()

    class Meta:
        constraints = [
            *tenant_constraints("membershipsnapshot"),
            models.UniqueConstraint(fields=["tenant"], name="membershipsnapshot_once"),
        ]

    def __str__(self) -> str:
        return self.fingerprint


class Delegation(TenantRow):
    """Out-of-office delegation: one person decides in place of another. Kept after its end.

    A delegation that somebody else than the delegator created is not in force until `consented_at`: the delegator
    consents, or a second person confirms it (`consented_by`).
    """

    delegator = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    delegate = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(help_text="Planned or actual end.")
    reason = models.CharField(max_length=500, blank=True)
    created_by = models.UUIDField(null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    consented_by = models.UUIDField(null=True, editable=False, help_text="The delegator, or a second person.")
    consented_at = models.DateTimeField(null=True, editable=False, help_text="Empty: not in force yet.")
    ended_at = models.DateTimeField(null=True, help_text="Time at which it was ended early.")

    class Meta:
        constraints = [
            *tenant_constraints("delegation"),
            models.CheckConstraint(
                name="delegation_not_to_oneself", condition=~models.Q(delegator=models.F("delegate"))
            ),
            models.CheckConstraint(
                name="delegation_ends_after_start", condition=models.Q(ends_at__gte=models.F("starts_at"))
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "ends_at"], name="delegation_ends_idx"),
            models.Index(fields=["tenant", "delegator", "id"], name="delegation_delegator_idx"),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.DELEGATION, self.id)
