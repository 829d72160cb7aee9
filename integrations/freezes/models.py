"""Freezes as rows: scope, author and times."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from integrations.freezes.scope import FreezeScope
from threada_site.database.constraints import tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.kernel.json.canonical import new_salt
from threada_site.tenancy.models import SlugColumn, TenantRow


class Freeze(TenantRow):
    """A stop of all executions in its scope until it is lifted. Empty scope columns match everything."""

    workflow = SlugColumn(blank=True)
    integration = SlugColumn(blank=True)
    action = SlugColumn(blank=True)
    principal = SlugColumn(blank=True, help_text="Name of an agent or service.")
    principal_id = models.UUIDField(null=True, help_text="Id of the agent or service.")
    reason = models.CharField(max_length=1000)
    reason_salt = models.BinaryField(max_length=16, default=new_salt, help_text="Salt of the commitments in receipts.")
    set_by = models.UUIDField(null=True, help_text="Null if set by the instance's operator by command.")
    set_at = models.DateTimeField(default=clock.now, editable=False)
    lifted_by = models.UUIDField(null=True)
    lifted_at = models.DateTimeField(null=True)
    lifted_reason = models.CharField(max_length=1000, blank=True)

    class Meta:
        constraints = [
            *tenant_constraints("freeze"),
            models.CheckConstraint(name="freeze_scope_known", condition=Q(action="") | ~Q(integration="")),
            models.CheckConstraint(name="freeze_scope_single", condition=Q(workflow="") | Q(integration="")),
            models.CheckConstraint(
                name="freeze_scope_principal",
                condition=Q(principal="", principal_id__isnull=True)
                | (~Q(principal="") & Q(principal_id__isnull=False, workflow="", integration="")),
            ),
        ]
        indexes = [models.Index(fields=["tenant"], condition=Q(lifted_at__isnull=True), name="freeze_in_force_idx")]

    def __str__(self) -> str:
        return str(self.scope)

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.FREEZE, self.id)

    @property
    def scope(self) -> FreezeScope:
        return FreezeScope(self.workflow, self.integration, self.action, self.principal, self.principal_id)


class FreezeBlock(TenantRow):
    """An execution that a freeze kept from being sent. The row remains after the freeze is lifted."""

    freeze = models.ForeignKey(
        Freeze, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="blocks"
    )
    execution = models.ForeignKey(
        "integrations.Execution", on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    blocked_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            *tenant_constraints("freezeblock", references=("freeze", "execution")),
            models.UniqueConstraint(fields=["tenant", "freeze", "execution"], name="freezeblock_once"),
        ]
        indexes = [models.Index(fields=["tenant", "execution"], name="freezeblock_execution_idx")]

    def __str__(self) -> str:
        return f"{self.execution_id} by {self.freeze_id}"
