"""Tables of retention: rules with their versions, legal holds, runs."""

from __future__ import annotations

from django.db import models

from threada_site.database.constraints import tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.kernel.json.canonical import new_salt
from threada_site.tenancy.models import TenantRow, User
from threada_site.tenancy.versioned_documents import (
    DocumentKey,
    DocumentVersion,
    VersionedDocument,
    document_constraints,
    version_constraints,
)


class RetentionRule(VersionedDocument):
    """A named retention rule. No two rules in force have the same `workflow` and `data_class`."""

    workflow = models.CharField(max_length=63, blank=True)
    data_class = models.CharField(max_length=63, blank=True)
    current_version = DocumentKey("RetentionRuleVersion", null=True, related_name="+")

    class Meta:
        constraints = [
            *document_constraints("retentionrule"),
            models.UniqueConstraint(
                fields=["tenant", "workflow", "data_class"],
                name="retentionrule_scope_once",
                condition=models.Q(current_version__isnull=False),
            ),
        ]


class RetentionRuleVersion(DocumentVersion):
    """Immutable version of a retention rule."""

    ID_PREFIX = ids.RETENTION_VERSION

    rule = DocumentKey(RetentionRule, related_name="versions")

    class Meta:
        constraints = version_constraints("retentionruleversion", "rule")


class LegalHold(TenantRow):
    """Order that excludes one case, or all cases that match all criteria, from removal and erasure."""

    work_item_id = models.UUIDField(null=True)
    workflow = models.CharField(max_length=63, blank=True)
    channel = models.CharField(max_length=63, blank=True)
    requester = models.ForeignKey(User, on_delete=models.PROTECT, null=True, db_index=False, related_name="+")
    created_after = models.DateTimeField(null=True)
    created_before = models.DateTimeField(null=True)
    reason = models.TextField()
    reason_salt = models.BinaryField(max_length=16, default=new_salt, help_text="Salt of the commitments in receipts.")
    set_by = models.UUIDField(null=True)
    set_at = models.DateTimeField(default=clock.now, editable=False)
    lifted_by = models.UUIDField(null=True)
    lifted_at = models.DateTimeField(null=True)
    lifted_reason = models.TextField(blank=True)

    class Meta:
        constraints = [
            *tenant_constraints("legalhold"),
            models.CheckConstraint(
                name="legalhold_holds_something",
                condition=models.Q(work_item_id__isnull=False)
                | ~models.Q(workflow="", channel="")
                | models.Q(requester__isnull=False)
                | models.Q(created_after__isnull=False)
                | models.Q(created_before__isnull=False),
            ),
        ]
        indexes = [
            models.Index(fields=["tenant"], name="legalhold_live_idx", condition=models.Q(lifted_at__isnull=True))
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.LEGAL_HOLD, self.id)


class RetentionRun(TenantRow):
    """A dry run, which fixes time and rules, and the removal that follows it.

    The set of cases due at `as_of` under `rules` only shrinks: cases closed later are not due. A run therefore
    removes at most what its dry run showed.
    """

    status = models.CharField(max_length=10, default="planned")
    as_of = models.DateTimeField()
    rules = models.JSONField(help_text="Rule versions in force, with the number of cases of each.")
    planned_contents = models.PositiveIntegerField()
    planned_cases = models.PositiveIntegerField()
    planned_by = models.UUIDField(null=True)
    contents_removed = models.PositiveIntegerField(default=0)
    cases_removed = models.PositiveIntegerField(default=0)
    receipts_removed = models.PositiveIntegerField(default=0)
    batches = models.PositiveIntegerField(default=0)
    archived = models.BooleanField(default=False)
    failure = models.TextField(blank=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            *tenant_constraints("retentionrun"),
            models.UniqueConstraint(
                fields=["tenant"],
                condition=models.Q(status__in=["planned", "running"]),
                name="retentionrun_one_open",
            ),
            models.CheckConstraint(
                name="retentionrun_status_known",
                condition=models.Q(status__in=["planned", "running", "finished", "superseded"]),
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.RETENTION_RUN, self.id)
