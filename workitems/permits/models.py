"""Tables of permits: what approvers proposed, who approved it, and which executions used it.

The rows contain everything that a use has to check. A requester who sees own cases only can so use a permit that was
approved in a case of somebody else.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from threada_site.database.constraints import AppendOnly, tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.personal_data.erasable_fields import ContentBytes, ContentJSON
from threada_site.tenancy.models import TenantRow, User


class Permit(TenantRow):
    """Bounded series of executions of one action. `body` never changes; `limits` and `bounds` only become narrower.

    `used_count` and `used_sum` change under the lock of the row. `rule` is the approval rule of the step when the
    permit was proposed; its other values are those of the step.
    """

    workflow = models.CharField(max_length=63)
    workflow_id = models.UUIDField()
    integration = models.CharField(max_length=63)
    action = models.CharField(max_length=63)
    step_id = models.UUIDField(help_text="Decision step on which it was proposed.")
    work_item_id = models.UUIDField(help_text="Work item of that step.")
    status = models.CharField(max_length=16, default="proposed")
    body = ContentBytes(help_text="Canonical bytes that approvers approve.")
    sha256 = models.CharField(max_length=64)
    limits = models.JSONField(help_text="Terms in force: those of the body, or narrower ones. Without bounds.")
    bounds = ContentJSON(default=list, help_text="Bounds in force. They may name people.")
    ends_at = models.DateTimeField()
    rule = models.JSONField()
    grants_as_of = models.DateTimeField()
    escalated_to = models.JSONField(default=list)
    used_count = models.PositiveIntegerField(default=0)
    used_sum = models.DecimalField(max_digits=24, decimal_places=6, default=0)
    proposed_by = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    proposed_at = models.DateTimeField(default=clock.now, editable=False)
    in_effect_at = models.DateTimeField(null=True)
    narrowed_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    revoked_by = models.UUIDField(null=True)

    class Meta:
        constraints = [
            *tenant_constraints("permit"),
            models.UniqueConstraint(fields=["tenant", "step_id", "sha256"], name="permit_once"),
            models.CheckConstraint(
                name="permit_status_known", condition=models.Q(status__in=["proposed", "in_effect", "revoked"])
            ),
            models.CheckConstraint(name="permit_sum_not_negative", condition=models.Q(used_sum__gte=0)),
        ]
        indexes = [
            models.Index(
                fields=["tenant", "workflow", "integration", "action", "ends_at"],
                condition=models.Q(status="in_effect"),
                name="permit_in_effect_idx",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.PERMIT, self.id)


class PermitApproval(TenantRow):
    """Approval of a permit's exact bytes by a voter of its step. It counts as the vote does that it belongs to."""

    permit = models.ForeignKey(
        Permit, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="approvals"
    )
    sha256 = models.CharField(max_length=64)
    voter = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    vote_id = models.UUIDField()
    stands_for = ArrayField(models.UUIDField(), default=list, help_text="Delegators at the time of the approval.")
    authentication = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            *tenant_constraints("permitapproval", references=("permit",)),
            models.UniqueConstraint(fields=["tenant", "permit", "voter"], name="permitapproval_once"),
            AppendOnly(name="permitapproval_append_only"),
        ]

    def __str__(self) -> str:
        return f"by {self.voter_id}"


class PermitUse(TenantRow):
    """Unit of a permit that an execution reserved. It counts until `returned_at`."""

    permit = models.ForeignKey(
        Permit, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="uses"
    )
    execution_id = models.UUIDField()
    work_item_id = models.UUIDField()
    policy_decision_id = models.UUIDField(help_text="Decision whose facts the bounds were evaluated for.")
    amount = models.DecimalField(max_digits=24, decimal_places=6, default=0)
    reserved_at = models.DateTimeField(default=clock.now, editable=False)
    returned_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            *tenant_constraints("permituse", references=("permit",)),
            models.UniqueConstraint(
                fields=["tenant", "execution_id"],
                condition=models.Q(returned_at__isnull=True),
                name="permituse_once",
            ),
            models.CheckConstraint(name="permituse_not_negative", condition=models.Q(amount__gte=0)),
        ]
        indexes = [models.Index(fields=["tenant", "permit", "id"], name="permituse_permit_idx")]

    def __str__(self) -> str:
        return f"by {self.execution_id}"
