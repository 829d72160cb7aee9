"""Saved views of the desk, first page views of decision steps, and the index of what waits for whom."""

from __future__ import annotations

from typing import Final

from django.db import models

from threada_site.database.constraints import tenant_constraints
from threada_site.kernel import clock
from threada_site.tenancy.models import Membership, TenantRow, User

NAME_LENGTH: Final = 60


class SavedView(TenantRow):
    """Query of the desk or of a list, saved by a member under a name. Deleted with the membership.

    A shared view is offered to all members. It is a query only: each reader sees what the reader may see.
    """

    DESK: Final = "desk"

    membership = models.ForeignKey(
        Membership, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+"
    )
    page = models.CharField(
        max_length=40, default="desk", db_default="desk", help_text="The desk, or the name of a list."
    )
    name = models.CharField(max_length=NAME_LENGTH)
    filters = models.JSONField(default=dict, help_text="Query parameters of the page.")
    is_shared = models.BooleanField(default=False, db_default=False)
    saved_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            *tenant_constraints("savedview", references=("membership",)),
            models.UniqueConstraint(fields=["tenant", "membership", "page", "name"], name="savedview_name_once"),
        ]

    def __str__(self) -> str:
        return self.name


class StepView(TenantRow):
    """First page view of a decision step, with its evidence, by one principal. It does not show that anybody read it.

    It is removed with the case. No state depends on it.
    """

    step = models.ForeignKey(
        "workitems.DecisionStep", on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    viewer = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    first_viewed_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            *tenant_constraints("stepview", references=("step",)),
            models.UniqueConstraint(fields=["tenant", "step", "viewer"], name="stepview_once"),
        ]

    def __str__(self) -> str:
        return f"by {self.viewer_id}"


class PendingApproverKey(TenantRow):
    """Key of a pending approver of a step (`role:finance`): the index of "pending for me"."""

    step = models.ForeignKey(
        "workitems.DecisionStep",
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="awaited",
    )
    key = models.CharField(max_length=250)

    class Meta:
        constraints = [
            *tenant_constraints("pendingapproverkey", references=("step",)),
            models.UniqueConstraint(fields=["tenant", "step", "key"], name="pendingapproverkey_once"),
        ]
        indexes = [models.Index(fields=["tenant", "key", "step"], name="pendingapproverkey_key_idx")]

    def __str__(self) -> str:
        return self.key
