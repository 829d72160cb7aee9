"""Access reviews: a fixed list of who holds what, and the decisions of reviewers about it."""

from __future__ import annotations

from django.db import models

from threada_site.database.constraints import tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import Membership, TenantRow, User


class AccessHolder(Membership):
    """Membership with everything that it holds, as listed on the page of access."""

    class Meta:
        proxy = True
        verbose_name = "holder"


class AccessReview(TenantRow):
    """One review. `sha256` is the digest of its entries, which are fixed when it starts. At most one is open."""

    started_by = models.UUIDField(editable=False)
    started_at = models.DateTimeField(default=clock.now, editable=False)
    entry_count = models.PositiveIntegerField(editable=False)
    sha256 = models.CharField(max_length=64, editable=False)
    finished_by = models.UUIDField(null=True, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "access review"
        constraints = [
            *tenant_constraints("accessreview"),
            models.UniqueConstraint(
                fields=["tenant"], condition=models.Q(finished_at=None), name="accessreview_one_open"
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def status(self) -> str:
        return "open" if self.finished_at is None else "finished"

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.ACCESS_REVIEW, self.id)


class Attestation(models.TextChoices):
    """Decision of a reviewer about one holder."""

    KEEP = "keep", "keep"
    REMOVE = "remove", "remove"


class AccessReviewEntry(TenantRow):
    """Holding of one member when the review started, and the decision about it.

    `holds` names people by id only, so that nothing of an erased person remains in it.
    """

    review = models.ForeignKey(
        AccessReview, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="entries"
    )
    user = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+", editable=False)
    holds = models.JSONField(editable=False)
    decision = models.CharField(max_length=6, choices=Attestation, blank=True)
    comment = models.CharField(max_length=500, blank=True)
    decided_by = models.UUIDField(null=True, editable=False)
    decided_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "entry"
        verbose_name_plural = "entries"
        constraints = [
            *tenant_constraints("accessreviewentry", references=("review",)),
            models.UniqueConstraint(fields=["tenant", "review", "user"], name="accessreviewentry_once"),
            models.CheckConstraint(
                name="accessreviewentry_not_oneself",
                condition=models.Q(decided_by=None) | ~models.Q(decided_by=models.F("user_id")),
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.ACCESS_REVIEW_ENTRY, self.id)
