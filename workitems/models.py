"""Tables of cases: work items, evidence, decision steps and votes."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any, Final

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Coalesce, Greatest, Least

from integrations.models import Envelope, Execution
from policies.models import WorkflowVersion
from threada_site.database.constraints import AppendOnly, CaseVisibility, tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.personal_data.erasable_fields import ContentBytes, ContentJSON, ContentText
from threada_site.personal_data.subject_keys import note_case
from threada_site.tenancy.models import DataSubject, TenantRow, User
from workitems.approvers.models import Delegation, MembershipSnapshot
from workitems.attachments.models import Attachment, StoredFile
from workitems.configuration.models import ConfigurationBaseline
from workitems.conversation.models import Comment, CommentVersion, RequesterQuestion, Watch
from workitems.desk.models import PendingApproverKey, SavedView, StepView
from workitems.items.models import CaseReading, Evidence, ItemLabel, Participant, Party
from workitems.notices.models import Notice, NoticeMessage, NotificationPreference
from workitems.permits.models import Permit, PermitApproval, PermitUse
from workitems.portal.models import RequestDraft
from workitems.proof.models import ProofRun
from workitems.retention.models import LegalHold, RetentionRule, RetentionRuleVersion, RetentionRun
from workitems.search.models import SearchChange, SearchDocument

__all__ = [
    "Attachment",
    "CaseReading",
    "Comment",
    "CommentVersion",
    "ConfigurationBaseline",
    "DecisionStep",
    "Delegation",
    "Evidence",
    "ItemLabel",
    "LegalHold",
    "MembershipSnapshot",
    "Notice",
    "NoticeMessage",
    "NotificationPreference",
    "Participant",
    "Party",
    "PendingApproverKey",
    "Permit",
    "PermitApproval",
    "PermitUse",
    "ProofRun",
    "RequestDraft",
    "RequesterQuestion",
    "RetentionRule",
    "RetentionRuleVersion",
    "RetentionRun",
    "SavedView",
    "SearchChange",
    "SearchDocument",
    "StepView",
    "StoredFile",
    "Vote",
    "Watch",
    "WorkItem",
]

NEVER: Final = datetime(9999, 12, 31, tzinfo=UTC)
"""Value of `urgent_at` for steps without a deadline, which sort last."""


class WorkItem(TenantRow):
    """Canonical record of one request. Only services of this app change its status."""

    workflow_version = models.ForeignKey(
        WorkflowVersion, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    workflow = models.CharField(max_length=63)
    channel = models.CharField(max_length=63, blank=True)
    status = models.CharField(max_length=20)
    payload = ContentJSON()
    title = ContentText(blank=True, help_text="One line of at most 120 characters, computed from the payload.")
    related_key = models.CharField(max_length=64, blank=True, db_default="", help_text="Digest of related values.")
    payload_sha256 = models.CharField(max_length=64)
    payload_salt = ContentBytes(max_length=16, help_text="Salt of the commitment in receipts.")
    confidence = models.FloatField(default=1.0)
    risk_flags = ArrayField(models.CharField(max_length=64), default=list)
    data_class = models.CharField(max_length=63, blank=True)
    external_ref = models.CharField(max_length=255, blank=True)
    has_unique_ref = models.BooleanField(
        default=False, db_default=False, help_text="The workflow allows its external_ref once."
    )
    metadata = models.JSONField(
        default=dict, db_default={}, help_text="Texts of the requester's system. Not encrypted."
    )
    subject = models.ForeignKey(
        DataSubject, on_delete=models.PROTECT, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    requester = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    submitted_by = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    assignee = models.ForeignKey(User, on_delete=models.PROTECT, null=True, db_index=False, related_name="+")
    edited_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, db_index=False, related_name="+")
    policy_version_id = models.UUIDField(null=True, help_text="Policy version of the last decision.")
    version = models.PositiveIntegerField(default=1)
    first_step_opened_at = models.DateTimeField(null=True, editable=False)
    ended_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, db_index=False, related_name="+")
    ended_reason = ContentText(blank=True, help_text="Reason of the person who cancelled or resolved it.")
    nobody_can_decide = models.BooleanField(
        default=False, db_default=False, help_text="No member can complete its pending step."
    )
    open_questions = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="Open questions to the requester."
    )
    starts_when_ready = models.BooleanField(
        default=False, db_default=False, help_text="Its declared action starts when people have approved the work item."
    )
    correlation_id = models.CharField(max_length=128)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    updated_at = models.DateTimeField(default=clock.now, editable=False)
    contents_removed_at = models.DateTimeField(
        null=True, editable=False, help_text="Time at which retention removed its contents."
    )

    class Meta:
        constraints = [
            *tenant_constraints("workitem", references=("workflow_version", "subject")),
            CaseVisibility(name="workitem_visibility", item="id", parties=("requester_id", "submitted_by_id")),
            models.UniqueConstraint(
                fields=["tenant", "workflow", "external_ref"],
                condition=models.Q(has_unique_ref=True),
                name="workitem_external_ref_once",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "requester", "id"], name="workitem_requester_idx"),
            models.Index(
                fields=["tenant", "submitted_by", "id"],
                name="workitem_submitter_idx",
                condition=~models.Q(submitted_by=models.F("requester")),
            ),
            models.Index(fields=["tenant", "workflow", "id"], name="workitem_workflow_idx"),
            models.Index(fields=["tenant", "channel", "id"], name="workitem_channel_idx"),
            models.Index(fields=["tenant", "status", "id"], name="workitem_status_idx"),
            models.Index(
                fields=["tenant", "policy_version_id", "id"],
                name="workitem_policy_idx",
                condition=models.Q(policy_version_id__isnull=False),
            ),
            models.Index(
                fields=["tenant", "id"], name="workitem_nobody_idx", condition=models.Q(nobody_can_decide=True)
            ),
            models.Index(
                fields=["tenant", "id"],
                name="workitem_questioned_idx",
                condition=models.Q(open_questions__gt=0),
            ),
            models.Index(fields=["tenant", "updated_at", "id"], name="workitem_updated_idx"),
            models.Index(fields=["tenant", "data_class", "id"], name="workitem_data_class_idx"),
            models.Index(
                fields=["tenant", "external_ref", "id"],
                name="workitem_external_ref_idx",
                condition=~models.Q(external_ref=""),
            ),
            models.Index(
                fields=["tenant", "assignee", "id"],
                name="workitem_assignee_idx",
                condition=models.Q(assignee__isnull=False),
            ),
            models.Index(
                fields=["tenant", "subject", "id"],
                name="workitem_subject_idx",
                condition=models.Q(subject__isnull=False),
            ),
            models.Index(
                fields=["tenant", "related_key", "id"],
                name="workitem_related_idx",
                condition=~models.Q(related_key=""),
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> WorkItem:
        """Cache the data subject of the case, which later writes to the case need."""
        item: WorkItem = super().from_db(*args, **kwargs)
        if "subject_id" in item.__dict__:
            note_case(item.id, item.subject_id)
        return item

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.WORK_ITEM, self.id)


class DecisionStep(TenantRow):
    """A point where people must decide. Its envelope contains what the votes are about; a claim is no status.

    `remind_at` and `escalate_at` are emptied when they were processed. `next_due_at` is the earliest due time, but
    not before `sweep_after`, which delays a retry after a failed sweep; while a question to the requester pauses the
    deadlines, it is the latest end of the pause. `urgent_at` is the time by which people must
    answer; it orders the queue.
    """

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
    payload_sha256 = models.CharField(max_length=64, help_text="Digest of the payload for which it was opened.")
    kind = models.CharField(max_length=8)
    status = models.CharField(max_length=16, default="pending")
    workflow = models.CharField(max_length=63)
    question = ContentText(blank=True)
    rule = models.JSONField()
    batch_key = models.CharField(max_length=64, blank=True, help_text="Same key: may be decided together.")
    is_flagged = models.BooleanField(
        default=False, db_default=False, help_text="True if the item has risk flags, which never change."
    )
    reason_codes = models.JSONField(default=list)
    policy_decision_id = models.UUIDField(null=True)
    policy_version_ids = ArrayField(models.UUIDField(), default=list)
    excluded_ids = ArrayField(models.UUIDField(), default=list)
    excluded_controllers = models.JSONField(default=dict, help_text="Who controlled them when the step opened.")
    respond_due_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    remind_at = models.DateTimeField(null=True)
    escalate_at = models.DateTimeField(null=True)
    escalated_at = models.DateTimeField(null=True)
    grants_as_of = models.DateTimeField(default=clock.now, help_text="Opening of the item's first step.")
    escalated_to = models.JSONField(default=list, help_text="Leaves whose people may take any position.")
    extended_at = models.DateTimeField(null=True, help_text="Time at which its deadline passed and was extended.")
    paused_at = models.DateTimeField(null=True, help_text="Time since which a question pauses its deadlines.")
    pause_ends_at = models.DateTimeField(null=True, help_text="Latest end of the pause.")
    resumed_at = models.DateTimeField(null=True, help_text="End of the last pause.")
    paused_s = models.PositiveIntegerField(default=0, db_default=0, help_text="Seconds of all pauses that ended.")
    sweep_after = models.DateTimeField(null=True)
    sweep_failures = models.PositiveSmallIntegerField(default=0, db_default=0)
    next_due_at = models.GeneratedField(
        expression=models.Case(
            models.When(paused_at__isnull=False, then=Greatest("pause_ends_at", "sweep_after")),
            models.When(
                remind_at__isnull=True,
                escalate_at__isnull=True,
                expires_at__isnull=True,
                then=models.Value(None, output_field=models.DateTimeField()),
            ),
            default=Greatest(Least("remind_at", "escalate_at", "expires_at"), "sweep_after"),
        ),
        output_field=models.DateTimeField(null=True),
        db_persist=True,
    )
    reachability_check_due = models.BooleanField(
        default=True, db_default=True, help_text="True if its reachability must be checked."
    )
    urgent_at = models.GeneratedField(
        expression=Coalesce(Least("respond_due_at", "expires_at"), models.Value(NEVER)),
        output_field=models.DateTimeField(),
        db_persist=True,
    )
    assignee = models.ForeignKey(User, on_delete=models.PROTECT, null=True, db_index=False, related_name="+")
    claimed_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, db_index=False, related_name="+")
    claimed_until = models.DateTimeField(null=True)
    opened_at = models.DateTimeField(default=clock.now, editable=False)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            *tenant_constraints("decisionstep", references=("work_item", "execution", "envelope")),
            CaseVisibility(name="decisionstep_visibility"),
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
                fields=["tenant", "next_due_at"],
                condition=models.Q(status="pending", next_due_at__isnull=False),
                name="decisionstep_next_due_idx",
            ),
            models.Index(
                fields=["tenant", "urgent_at", "id"],
                condition=models.Q(status="pending"),
                name="decisionstep_urgent_idx",
            ),
            models.Index(
                fields=["tenant", "urgent_at", "id"],
                condition=models.Q(status="pending", is_flagged=True),
                name="decisionstep_flagged_idx",
            ),
            models.Index(
                fields=["tenant", "batch_key", "id"],
                condition=models.Q(status__in=["approved", "rejected"]),
                name="decisionstep_alike_idx",
            ),
            models.Index(
                fields=["tenant", "claimed_by"],
                condition=models.Q(status="pending", claimed_by__isnull=False),
                name="decisionstep_claimed_idx",
            ),
            models.Index(
                fields=["tenant", "id"],
                condition=models.Q(status="pending", reachability_check_due=True),
                name="decisionstep_reachability_idx",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.DECISION_STEP, self.id)

    def claimant_at(self, now: datetime) -> uuid.UUID | None:
        """Return the principal with an unexpired claim, or None."""
        return self.claimed_by_id if self.claimed_until is not None and self.claimed_until > now else None


class Vote(TenantRow):
    """One principal's decision on a step, bound to the envelope it was given for. `counted` is false for agents."""

    content_parent = "step"

    step = models.ForeignKey(
        DecisionStep, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="votes"
    )
    voter = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    voter_kind = models.CharField(max_length=8)
    decision = models.CharField(max_length=8)
    reason_code = models.CharField(max_length=64, blank=True)
    comment = ContentText(blank=True)
    envelope_sha256 = models.CharField(max_length=64)
    counted = models.BooleanField()
    stands_for = ArrayField(models.UUIDField(), default=list, help_text="Delegators at the time of the vote.")
    authentication = models.JSONField(default=dict, help_text="As in the receipt of the vote.")
    carried_from = models.UUIDField(null=True, help_text="Vote on an earlier step over the same envelope.")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            *tenant_constraints("vote", references=("step",)),
            models.UniqueConstraint(fields=["tenant", "step", "voter"], name="vote_once"),
            models.CheckConstraint(name="vote_decision_known", condition=models.Q(decision__in=["approve", "reject"])),
            models.CheckConstraint(
                name="vote_counts_for_people_alone", condition=models.Q(counted=False) | models.Q(voter_kind="human")
            ),
            AppendOnly(name="vote_append_only", emptied=("comment",)),
        ]
        indexes = [models.Index(fields=["tenant", "voter", "step"], name="vote_voter_idx")]

    def __str__(self) -> str:
        return f"{self.decision} by {self.voter}"

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.VOTE, self.id)
