"""Deletions of tenants: requested and confirmed in the tenant, and the record that remains of them in the instance."""

from __future__ import annotations

from django.db import models

from threada_site.database.constraints import InstanceRows, tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import TenantRow


class TenantDeletion(TenantRow):
    """Deletion of the tenant that one steward requested and an independent one confirmed.

    The operator carries it out at `due_at` at the earliest. Until it begins, every steward can withdraw it.
    """

    change_set_id = models.UUIDField(editable=False)
    requested_by = models.UUIDField(editable=False)
    confirmed_by = models.UUIDField(editable=False)
    confirmed_at = models.DateTimeField(default=clock.now, editable=False)
    due_at = models.DateTimeField(editable=False)
    withdrawn_by = models.UUIDField(null=True, editable=False, help_text="Principal; empty: the operator.")
    withdrawn_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            *tenant_constraints("tenantdeletion"),
            models.UniqueConstraint(
                fields=["tenant"], name="tenantdeletion_one_open", condition=models.Q(withdrawn_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"due at {self.due_at}"


class DeletedTenant(models.Model):
    """Record of a deletion, without personal data. `note`: the signed record; empty while the deletion is under way.

    `log_id` is the id of the tenant; not a foreign key, so that the record outlives the tenant.
    """

    id = models.UUIDField(primary_key=True, default=ids.new_uuid, editable=False)
    log_id = models.UUIDField(db_index=True, editable=False)
    facts = models.JSONField(editable=False)
    note = models.TextField(blank=True, editable=False, help_text="The signed note.")
    begun_at = models.DateTimeField(default=clock.now, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            InstanceRows(name="deletedtenant_rls"),
            models.UniqueConstraint(
                fields=["log_id"], name="deletedtenant_one_open", condition=models.Q(ended_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return ids.public_id(ids.TENANT, self.log_id)
