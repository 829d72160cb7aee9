"""The cases: work items with their evidence, the steps at which people decide, and their votes."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from integrations.models import Envelope, Execution
from policies.models import WorkflowVersion
from threada_site.kernel import clock, ids
from threada_site.tenancy.constraints import AppendOnly, tenant_constraints
from threada_site.tenancy.models import TenantRow, User


class WorkItem(TenantRow):
    """The canonical record of one request. Only the services of this app move its status."""

    workflow_version = models.ForeignKey(
        WorkflowVersion, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    workflow = models.CharField(max_length=63)
    channel = models.CharField(max_length=63, blank=True)
    status = models.CharField(max_length=20)
    payload = models.JSONField()
    payload_sha256 = models.CharField(max_length=64)
    payload_salt = models.BinaryField(max_length=16, help_text="Salt of the commitment that receipts carry.")
    confidence = models.FloatField(default=1.0)
    risk_flags = ArrayField(models.CharField(max_length=64), default=list)
    data_class = models.CharField(max_length=63, blank=True)
    external_ref = models.CharField(max_length=255, blank=True)
    requester = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    submitted_by = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    assignee = models.ForeignKey(User, on_delete=models.PROTECT, null=True, db_index=False, related_name="+")
    edited_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, db_index=False, related_name="+")
    policy_version_id = models.UUIDField(null=True, help_text="The version that decided last.")
    version = models.PositiveIntegerField(default=1)
    ended_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, db_index=False, related_name="+")
    ended_reason = models.TextField(blank=True, help_text="What who cancelled or resolved it gave as reason.")
    correlation_id = models.CharField(max_length=128)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    updated_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = tenant_constraints("workitem", references=("workflow_version",))
        indexes = [
            models.Index(fields=["tenant", "workflow", "id"], name="workitem_workflow_idx"),
            models.Index(fields=["tenant", "channel", "id"], name="workitem_channel_idx"),
            models.Index(fields=["tenant", "status", "id"], name="workitem_status_idx"),
            models.Index(
                fields=["tenant", "policy_version_id", "id"],
                name="workitem_policy_idx",
                condition=models.Q(policy_version_id__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.WORK_ITEM, self.id)


class Evidence(TenantRow):
    """What a work item rests on: a citation, a retrieval trace, or the recorded reason why there is neither."""

    work_item = models.ForeignKey(
        WorkItem, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="evidence"
    )
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=20)
    content = models.JSONField()

    class Meta:
        verbose_name_plural = "evidence"
        constraints = [
            *tenant_constraints("evidence", references=("work_item",)),
            models.UniqueConstraint(fields=["tenant", "work_item", "position"], name="evidence_position_once"),
            models.CheckConstraint(
                name="evidence_kind_known", condition=models.Q(kind__in=["citation", "retrieval_trace", "fallback"])
            ),
            AppendOnly(name="evidence_append_only"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.position}"


class DecisionStep(TenantRow):
    """A point where something must be decided. Its envelope seals what the votes are about; a claim is no state."""

    work_item = models.ForeignKey(
        WorkItem, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="steps"
    )
    execution = models.ForeignKey(
        Execution, on_delete=models.PROTECT, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    envelope = models.ForeignKey(
        Envelope, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    envelope_sha256 = models.CharField(max_length=64)
    payload_sha256 = models.CharField(max_length=64, help_text="The payload it was opened for.")
    kind = models.CharField(max_length=8)
    status = models.CharField(max_length=16, default="pending")
    workflow = models.CharField(max_length=63)
    question = models.TextField(blank=True)
    rule = models.JSONField()
    reason_codes = models.JSONField(default=list)
    policy_decision_id = models.UUIDField(null=True)
    policy_version_ids = ArrayField(models.UUIDField(), default=list)
    excluded_ids = ArrayField(models.UUIDField(), default=list)
    respond_by = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    escalated_at = models.DateTimeField(null=True)
    claimed_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, db_index=False, related_name="+")
    claimed_until = models.DateTimeField(null=True)
    opened_at = models.DateTimeField(default=clock.now, editable=False)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            *tenant_constraints("decisionstep", references=("work_item", "execution", "envelope")),
            models.UniqueConstraint(
                fields=["tenant", "work_item"],
                condition=models.Q(status="pending"),
                name="decisionstep_one_pending_per_item",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "work_item", "id"], name="decisionstep_item_idx"),
            models.Index(fields=["tenant", "status", "id"], name="decisionstep_status_idx"),
            models.Index(
                fields=["expires_at"],
                condition=models.Q(status="pending", expires_at__isnull=False),
                name="decisionstep_due_idx",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.DECISION_STEP, self.id)


class Vote(TenantRow):
    """One principal's decision on a step, bound to the envelope it was given for. `counted` is false for agents."""

    step = models.ForeignKey(
        DecisionStep, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="votes"
    )
    voter = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    voter_kind = models.CharField(max_length=8)
    decision = models.CharField(max_length=8)
    reason_code = models.CharField(max_length=64, blank=True)
    comment = models.TextField(blank=True)
    envelope_sha256 = models.CharField(max_length=64)
    counted = models.BooleanField()
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            *tenant_constraints("vote", references=("step",)),
            models.UniqueConstraint(fields=["tenant", "step", "voter"], name="vote_once"),
            models.CheckConstraint(name="vote_decision_known", condition=models.Q(decision__in=["approve", "reject"])),
            AppendOnly(name="vote_append_only"),
        ]

    def __str__(self) -> str:
        return f"{self.decision} by {self.voter}"

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.VOTE, self.id)
