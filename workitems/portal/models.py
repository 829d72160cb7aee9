"""Drafts of requests."""

from __future__ import annotations

from django.db import models

from threada_site.database.constraints import tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import Membership, TenantRow


class RequestDraft(TenantRow):
    """Unsent form of one member: the typed texts, for the workflow version whose form was shown.

    Deleted with the membership, when the request is sent, and when it was not saved for 90 days.
    """

    membership = models.ForeignKey(
        Membership, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+"
    )
    workflow = models.CharField(max_length=63)
    workflow_version_id = models.UUIDField()
    entered = models.JSONField(default=dict, help_text="Typed texts by pointer, and the rows of lists.")
    saved_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [*tenant_constraints("requestdraft", references=("membership",))]
        indexes = [
            models.Index(fields=["tenant", "membership", "id"], name="requestdraft_member_idx"),
            models.Index(fields=["saved_at"], name="requestdraft_saved_idx"),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.REQUEST_DRAFT, self.id)
