"""Stored results of proofs."""

from __future__ import annotations

from django.db import models

from threada_site.database.constraints import tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import TenantRow


class ProofStatus(models.TextChoices):
    """Status of a proof. `PASSED` and `FAILED` are results; `BROKEN` has none, because its worker was lost."""

    QUEUED = "queued", "queued"
    RUNNING = "running", "running"
    PASSED = "passed", "passed"
    FAILED = "failed", "failed"
    BROKEN = "broken", "broken"


OPEN_PROOFS = [ProofStatus.QUEUED.value, ProofStatus.RUNNING.value]


class ProofRun(TenantRow):
    """One run of the checks of a proof, with its findings. At most one of a tenant is open; the last ten are kept."""

    status = models.CharField(max_length=8, choices=ProofStatus, default=ProofStatus.QUEUED)
    requested_by = models.UUIDField(null=True, editable=False, help_text="Principal; empty: the operator.")
    created_at = models.DateTimeField(default=clock.now, editable=False)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    document = models.JSONField(null=True, help_text="Findings as `manage.py prove --json` prints them.")
    sha256 = models.CharField(max_length=64, blank=True, help_text="Digest of the canonical JSON of the findings.")

    class Meta:
        verbose_name = "proof"
        constraints = [
            *tenant_constraints("proofrun"),
            models.UniqueConstraint(
                fields=["tenant"], condition=models.Q(status__in=OPEN_PROOFS), name="proofrun_one_open"
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_PROOFS

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.PROOF, self.id)
