"""Models of replays and their findings."""

from __future__ import annotations

from datetime import datetime

from django.db import models

from policies.lifecycle import ReplayStatus
from threada_site.database.constraints import AppendOnly, tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import TenantRow


class PolicyReplay(TenantRow):
    """A comparison of one document (and optional scopes) with the decisions of a time window.

    The document and its baseline are fixed on creation. `cursor` is the last compared decision: counts, findings and
    cursor of a batch are committed together, so resuming counts nothing twice. `attempt` is the fencing token: a worker
    with an older value can change nothing.
    """

    policy = models.ForeignKey(
        "policies.Policy", on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    policy_version = models.ForeignKey(
        "policies.PolicyVersion",
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        null=True,
        related_name="+",
        help_text="The replayed version; null for a document from a file.",
    )
    document = models.JSONField()
    document_sha256 = models.CharField(max_length=64)
    scopes = models.JSONField(
        null=True, help_text="Scopes of the replayed document; null: the recorded scopes of the policy."
    )
    against = models.CharField(max_length=16, default="in_force")
    baseline = models.ForeignKey(
        "policies.PolicyVersion",
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        null=True,
        related_name="+",
        help_text="The baseline version; null: the recorded decisions.",
    )
    baseline_scopes = models.JSONField(null=True, help_text="Scopes of the baseline when the replay was requested.")
    from_id = models.UUIDField(help_text="The first decision id of the time window.")
    before_id = models.UUIDField(help_text="The first decision id after the time window.")
    requested_by = models.UUIDField(null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    status = models.CharField(
        max_length=16,
        choices=[(entry.value, entry.value) for entry in ReplayStatus],
        default=ReplayStatus.REQUESTED,
    )
    attempt = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, help_text="End of the lease of the worker that runs it.")
    lost = models.PositiveIntegerField(default=0, help_text="Worker crashes since the last completed batch.")
    cursor = models.UUIDField(null=True)
    replayed = models.BigIntegerField(default=0)
    flipped = models.BigIntegerField(default=0)
    not_replayable = models.BigIntegerField(default=0)
    summary = models.JSONField(default=dict)
    failure = models.CharField(max_length=64, blank=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "policy replay"
        constraints = [
            *tenant_constraints("policyreplay", references=("policy", "policy_version", "baseline")),
            models.CheckConstraint(
                name="policyreplay_finished_is_dated",
                condition=~models.Q(status=ReplayStatus.FINISHED) | models.Q(finished_at__isnull=False),
            ),
        ]
        indexes = [
            models.Index(
                fields=["status", "lease_until"],
                name="policyreplay_open_idx",
                condition=models.Q(status__in=[ReplayStatus.REQUESTED, ReplayStatus.RUNNING]),
            ),
            models.Index(fields=["tenant", "document_sha256"], name="policyreplay_document_idx"),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.POLICY_REPLAY, self.id)

    @property
    def created_after(self) -> datetime:
        """Return the start of the time window."""
        return ids.instant_of(self.from_id)

    @property
    def created_before(self) -> datetime:
        """Return the end of the time window (exclusive)."""
        return ids.instant_of(self.before_id)

    @property
    def percent(self) -> int:
        """Return the progress through the time window in percent."""
        if self.status == ReplayStatus.FINISHED:
            return 100
        if self.cursor is None:
            return 0
        whole = (self.created_before - self.created_after).total_seconds()
        done = (ids.instant_of(self.cursor) - self.created_after).total_seconds()
        return min(99, max(0, int(100 * done / whole))) if whole > 0 else 0


class ReplayFinding(TenantRow):
    """One decision that would differ, would require other approvers, or cannot be replayed. Contains no contents."""

    replay = models.ForeignKey(
        PolicyReplay, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="findings"
    )
    decision_id = models.UUIDField()
    kind = models.CharField(max_length=16)
    case = models.JSONField(help_text="Names and ids of work item, execution, workflow, channel and point.")
    found = models.JSONField()

    class Meta:
        constraints = [
            *tenant_constraints("replayfinding", references=("replay",)),
            models.UniqueConstraint(fields=["tenant", "replay", "decision_id"], name="replayfinding_once"),
            models.CheckConstraint(
                name="replayfinding_kind_known",
                condition=models.Q(kind__in=["flip", "asking", "not_replayable"]),
            ),
            AppendOnly(name="replayfinding_append_only"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {ids.public_id(ids.POLICY_DECISION, self.decision_id)}"
