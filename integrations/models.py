"""Configured external systems, envelopes, and the executions of their actions."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Coalesce

from integrations.freezes.models import Freeze, FreezeBlock
from integrations.limits.models import IntegrationGauge
from integrations.probes.models import IntegrationTest
from integrations.secrets.models import AccessToken, ProposedSecret, StoredSecret
from integrations.tools.models import Tool, ToolList
from threada_site.database.constraints import AppendOnly, CaseVisibility, tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.kernel.context import Scope
from threada_site.personal_data.erasable_fields import ContentBytes, ContentJSON, ContentText
from threada_site.tenancy.models import SlugColumn, TenantRow
from threada_site.tenancy.versioned_documents import (
    DocumentKey,
    DocumentVersion,
    VersionedDocument,
    document_constraints,
    version_constraints,
)

__all__ = [
    "OPEN_EXECUTION_STATUSES",
    "AccessToken",
    "Action",
    "Attempt",
    "Envelope",
    "Execution",
    "Freeze",
    "FreezeBlock",
    "Integration",
    "IntegrationGauge",
    "IntegrationTest",
    "IntegrationVersion",
    "ProposedSecret",
    "StoredSecret",
    "Tool",
    "ToolList",
]

OPEN_EXECUTION_STATUSES = ["awaiting_approval", "started", "running", "outcome_unknown"]


class Integration(VersionedDocument):
    """A configured external system. Its configuration is in its versions."""

    name = models.CharField(max_length=200, blank=True)
    connector = models.CharField(max_length=32)
    current_version = DocumentKey("IntegrationVersion", null=True, related_name="+")

    class Meta:
        constraints = document_constraints("integration")
        permissions = [(scope.codename, scope.value) for scope in (Scope.ACTIONS_EXECUTE, Scope.INTEGRATIONS_MANAGE)]


class IntegrationVersion(DocumentVersion):
    """One configuration of an integration: address, authentication by reference, actions. Never changes."""

    ID_PREFIX = ids.INTEGRATION_VERSION

    integration = DocumentKey(Integration, related_name="versions")

    class Meta:
        constraints = version_constraints("integrationversion", "integration")


class Action(TenantRow):
    """A named operation of one integration version."""

    integration_version = models.ForeignKey(
        IntegrationVersion, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="actions"
    )
    slug = SlugColumn()
    spec = models.JSONField()

    class Meta:
        constraints = [
            *tenant_constraints("action", references=("integration_version",)),
            models.UniqueConstraint(fields=["tenant", "integration_version", "slug"], name="action_slug_once"),
            AppendOnly(name="action_append_only"),
        ]

    def __str__(self) -> str:
        return self.slug


class Envelope(TenantRow):
    """The canonical bytes (RFC 8785) of exactly what will be executed, and their SHA-256."""

    work_item_id = models.UUIDField()
    body = ContentBytes()
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [*tenant_constraints("envelope"), AppendOnly(name="envelope_append_only", emptied=("body",))]

    def __str__(self) -> str:
        return self.sha256

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.ENVELOPE, self.id)


class Execution(TenantRow):
    """One governed run of an action. The row is authoritative; jobs in the queue only tell workers to look at it.

    Unique indexes allow one open execution per work item, one open or succeeded undo of an execution, and one execution
    per principal and idempotency key.
    """

    work_item_id = models.UUIDField()
    workflow = models.CharField(max_length=63)
    channel = models.CharField(max_length=63, blank=True)
    integration = models.CharField(max_length=63)
    action = models.CharField(max_length=63)
    integration_version = models.ForeignKey(
        IntegrationVersion, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    envelope = models.ForeignKey(
        Envelope, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    is_simulated = models.BooleanField(
        default=False, db_default=False, help_text="Whether the pinned version simulates its calls: nothing is sent."
    )
    status = models.CharField(max_length=20)
    requested_by = models.UUIDField()
    undoes_id = models.UUIDField(null=True, help_text="The execution that this one undoes.")
    is_timed_undo = models.BooleanField(
        default=False, db_default=False, help_text="Whether Threada requested it, because the time for the undo came."
    )
    undo_due_at = models.DateTimeField(null=True, help_text="Time for its undo, until it is undone.")
    undo_next_try_at = models.DateTimeField(null=True, help_text="Time at which the sweep looks at its due undo next.")
    undo_problem = models.CharField(
        max_length=64, blank=True, default="", db_default="", help_text="Reason why the undo that is due has not ended."
    )
    idempotency_key = models.CharField(max_length=255)
    input_commitment = models.CharField(
        max_length=64, blank=True, help_text="Salted digest of the requested input, to compare repeated requests."
    )
    input = ContentJSON(default=dict)
    input_edited_by = models.UUIDField(null=True, help_text="Who last changed the requested input.")
    policy_decision_id = models.UUIDField(null=True)
    policy_version_id = models.UUIDField(null=True)
    permit_id = models.UUIDField(null=True, help_text="Permit that took the place of an approval.")
    attempts_made = models.PositiveIntegerField(default=0)
    attempts_before = models.PositiveIntegerField(default=0, help_text="Attempts before the last retry by a person.")
    tries_began_at = models.DateTimeField(
        null=True, help_text="Time of the first attempt since it was started or retried."
    )
    next_try_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    waiting_until = models.DateTimeField(null=True, help_text="Deadline of the receiver's callback.")
    callback_message = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="SHA-256 of the id of the callback it took.",
    )
    callback_status = models.CharField(max_length=9, blank=True, default="", db_default="")
    callbacks_refused = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="Receipts about callbacks that contradicted the recorded outcome."
    )
    fencing_token = models.PositiveBigIntegerField(default=0)
    blocked_by_freeze = models.ForeignKey(
        Freeze, on_delete=models.PROTECT, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    dispatched_at = models.DateTimeField(null=True, help_text="Time when it was enqueued.")
    ready_at = models.GeneratedField(
        expression=Coalesce("next_try_at", "created_at"), output_field=models.DateTimeField(), db_persist=True
    )
    waits_for = models.CharField(max_length=16, blank=True, help_text="Limit of its integration that it waits for.")
    is_repeatable = models.BooleanField(
        default=True,
        db_default=True,
        help_text="Whether it may be retried. Not after an ambiguous outcome at a receiver that does not deduplicate.",
    )
    blocked_at = models.DateTimeField(null=True, help_text="Time since which a freeze has blocked it.")
    worker_deaths = models.PositiveIntegerField(default=0)
    failure = models.CharField(max_length=32, blank=True)
    failure_detail = ContentText(blank=True)
    result = ContentJSON(null=True)
    correlation_id = models.CharField(max_length=128, blank=True)
    traceparent = models.CharField(max_length=55, blank=True, help_text="Trace of the request that created it.")
    created_at = models.DateTimeField(default=clock.now, editable=False)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            *tenant_constraints("execution", references=("integration_version", "envelope", "blocked_by_freeze")),
            CaseVisibility(name="execution_visibility", parties=("requested_by",)),
            models.UniqueConstraint(
                fields=["tenant", "work_item_id"],
                condition=models.Q(status__in=OPEN_EXECUTION_STATUSES),
                name="execution_one_open_per_item",
            ),
            models.UniqueConstraint(
                fields=["tenant", "undoes_id"],
                condition=models.Q(undoes_id__isnull=False, status__in=[*OPEN_EXECUTION_STATUSES, "succeeded"]),
                name="execution_undone_once",
            ),
            models.UniqueConstraint(
                fields=["tenant", "requested_by", "idempotency_key"], name="execution_idempotency_key_once"
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "work_item_id", "id"], name="execution_item_idx"),
            models.Index(fields=["tenant", "status", "id"], name="execution_status_idx"),
            models.Index(fields=["tenant", "workflow", "id"], name="execution_workflow_idx"),
            models.Index(fields=["tenant", "channel", "id"], name="execution_channel_idx"),
            models.Index(fields=["tenant", "policy_version_id", "id"], name="execution_policy_idx"),
            models.Index(
                fields=["tenant", "integration", "ready_at", "id"],
                condition=models.Q(status="started", dispatched_at__isnull=True, blocked_by_freeze__isnull=True),
                name="execution_waiting_idx",
            ),
            models.Index(
                fields=["tenant", "integration", "ready_at"],
                condition=models.Q(status__in=["started", "running"], dispatched_at__isnull=False),
                name="execution_dispatched_idx",
            ),
            models.Index(
                fields=["tenant", "blocked_by_freeze", "id"],
                condition=models.Q(status="started", blocked_by_freeze__isnull=False),
                name="execution_blocked_idx",
            ),
            models.Index(
                fields=["tenant", "integration", "id"],
                condition=models.Q(status="running"),
                name="execution_running_idx",
            ),
            models.Index(
                fields=["tenant", "undo_due_at", "id"],
                condition=models.Q(undo_due_at__isnull=False),
                name="execution_undo_due_idx",
            ),
            models.Index(
                fields=["undo_next_try_at"],
                condition=models.Q(undo_next_try_at__isnull=False),
                name="execution_undo_try_idx",
            ),
            models.Index(
                fields=["status", "next_try_at", "lease_until"],
                condition=models.Q(status__in=["started", "running"]),
                name="execution_due_idx",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.EXECUTION, self.id)


class Attempt(TenantRow):
    """One attempt of an execution with its result, never its secrets."""

    content_parent = "execution"

    execution = models.ForeignKey(
        Execution, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="attempts"
    )
    number = models.PositiveIntegerField()
    fencing_token = models.PositiveBigIntegerField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=20, blank=True)
    failure = models.CharField(max_length=32, blank=True)
    ambiguous = models.BooleanField(default=False)
    response = ContentJSON(null=True)

    class Meta:
        constraints = [
            *tenant_constraints("attempt", references=("execution",)),
            models.UniqueConstraint(fields=["tenant", "execution", "number"], name="attempt_number_once"),
        ]

    def __str__(self) -> str:
        return f"{self.execution} #{self.number}"

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.ATTEMPT, self.id)
