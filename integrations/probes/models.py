"""Tests of integrations as rows."""

from __future__ import annotations

from django.db import models

from integrations.lifecycle import INTEGRATION_TEST, IntegrationTestStatus
from threada_site.database.constraints import tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import TenantRow

OPEN_TESTS = [IntegrationTestStatus.QUEUED.value, IntegrationTestStatus.RUNNING.value]


class IntegrationTest(TenantRow):
    """One check of an integration's configuration, or one test call of an action. At most one is open at a time.

    A test runs once, so its status is the fence: a worker whose lease expired finds it ended.
    """

    integration = models.ForeignKey(
        "Integration", on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="tests"
    )
    integration_version = models.ForeignKey(
        "IntegrationVersion", on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    status = models.CharField(
        max_length=16,
        choices=[(entry.value, entry.value) for entry in IntegrationTestStatus],
        default=IntegrationTestStatus.QUEUED,
        db_default=IntegrationTestStatus.QUEUED.value,
    )
    failure = models.CharField(max_length=32, blank=True, help_text="Reason code of the first check that failed.")
    failure_detail = models.CharField(max_length=500, blank=True)
    checks = models.JSONField(default=list, help_text="[{check, ok, failure, detail}]")
    action = models.CharField(max_length=63, blank=True, help_text="Action of a test call; empty for checks alone.")
    request = models.JSONField(null=True, help_text="Exact request of a test call, with secrets by reference.")
    response = models.JSONField(null=True, help_text="Recorded response of a test call, bounded and without secrets.")
    requested_by = models.UUIDField()
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=clock.now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            *tenant_constraints("integrationtest", references=("integration", "integration_version")),
            models.UniqueConstraint(
                fields=["tenant", "integration"],
                condition=models.Q(status__in=OPEN_TESTS),
                name="integrationtest_one_open",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "integration", "id"], name="integrationtest_list_idx"),
            models.Index(
                fields=["status", "lease_until"],
                condition=models.Q(status__in=OPEN_TESTS),
                name="integrationtest_open_idx",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def is_open(self) -> bool:
        return INTEGRATION_TEST.is_open(IntegrationTestStatus(self.status))

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.INTEGRATION_TEST, self.id)
