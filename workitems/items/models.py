"""Evidence, labels and participants of work items.

Also the view of all principals whose own a work item is or whom it names.
"""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models

from threada_site.database.constraints import AppendOnly, CaseVisibility, tenant_constraints
from threada_site.personal_data.erasable_fields import ContentJSON
from threada_site.tenancy.models import TenantRow, User


class Evidence(TenantRow):
    """Evidence of a work item: a citation, a retrieval trace, or the recorded reason for having none."""

    work_item = models.ForeignKey(
        "workitems.WorkItem", on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="evidence"
    )
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=20)
    content = ContentJSON()

    class Meta:
        verbose_name_plural = "evidence"
        constraints = [
            *tenant_constraints("evidence", references=("work_item",)),
            models.UniqueConstraint(fields=["tenant", "work_item", "position"], name="evidence_position_once"),
            models.CheckConstraint(
                name="evidence_kind_known", condition=models.Q(kind__in=["citation", "retrieval_trace", "fallback"])
            ),
            AppendOnly(name="evidence_append_only", emptied=("content",)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.position}"


class Participant(TenantRow):
    """A principal whom a work item names, besides the requester and the submitter: an eligible approver.

    Stored only for principals that do not see the whole tenant.
    """

    work_item = models.ForeignKey(
        "workitems.WorkItem", on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="participants"
    )
    principal = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")

    class Meta:
        constraints = [
            *tenant_constraints("participant", references=("work_item",)),
            models.UniqueConstraint(fields=["tenant", "principal", "work_item"], name="participant_once"),
        ]
        indexes = [models.Index(fields=["tenant", "work_item"], name="participant_item_idx")]

    def __str__(self) -> str:
        return f"{self.principal} in {self.work_item}"


class CaseReading(TenantRow):
    """Last time at which a principal's reading of a work item with a sensitive data class left a receipt."""

    work_item = models.ForeignKey(
        "workitems.WorkItem", on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    principal_id = models.UUIDField()
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [
            *tenant_constraints("casereading", references=("work_item",)),
            models.UniqueConstraint(fields=["tenant", "principal_id", "work_item"], name="casereading_once"),
        ]
        indexes = [models.Index(fields=["tenant", "work_item"], name="casereading_item_idx")]

    def __str__(self) -> str:
        return f"{self.principal_id} of {self.work_item_id}"


class ItemLabel(TenantRow):
    """A risk flag, an entry of the metadata or a voter of a work item, as a digest: the index of filters by them."""

    work_item = models.ForeignKey(
        "workitems.WorkItem", on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="labels"
    )
    label = models.UUIDField(help_text="Digest, see `workitems.items.labels`.")
    OF_CONTENTS: ClassVar = uuid.UUID("fffffffe-0000-0000-0000-000000000000")
    """First of the labels that follow from the payload and are deleted with it (`workitems.items.lookalikes`)."""

    class Meta:
        constraints = [
            *tenant_constraints("itemlabel", references=("work_item",)),
            CaseVisibility(name="itemlabel_visibility"),
            models.UniqueConstraint(fields=["tenant", "label", "work_item"], name="itemlabel_once"),
        ]
        indexes = [models.Index(fields=["tenant", "work_item"], name="itemlabel_item_idx")]

    def __str__(self) -> str:
        return f"{self.label} of {self.work_item_id}"


class Party(models.Model):
    """Row of the view `workitems_party`: a work item, and a principal whose own it is or whom it names.

    The parties of one principal form a one-to-one relation with work items, so queries must filter by principal. Lists
    of own work items are ordered and bounded by `work_item_id` of this view, which is a union of three index scans.
    """

    work_item = models.OneToOneField(
        "workitems.WorkItem", on_delete=models.DO_NOTHING, db_constraint=False, primary_key=True, related_name="party"
    )
    tenant_id = models.UUIDField()
    principal_id = models.UUIDField()

    class Meta:
        managed = False
        db_table = "workitems_party"

    def __str__(self) -> str:
        return f"{self.principal_id} in {self.work_item_id}"
