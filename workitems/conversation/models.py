"""Tables of the conversation about work items: comments with their versions, questions, and watched items."""

from __future__ import annotations

from enum import StrEnum

from django.contrib.postgres.fields import ArrayField
from django.db import models

from threada_site.database.constraints import AppendOnly, AudienceVisibility, CaseVisibility, tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.kernel.json.canonical import new_salt
from threada_site.personal_data.erasable_fields import ContentBytes, ContentText
from threada_site.tenancy.models import TenantRow, User


class Audience(StrEnum):
    """Readers of a comment: everyone who may read the work item, or only those who decide about it."""

    EVERYONE = "everyone"
    DECIDERS = "deciders"


class QuestionStatus(StrEnum):
    """Status of a question to the requester. `closed`: it was overtaken by the end of its step or work item."""

    OPEN = "open"
    ANSWERED = "answered"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    CLOSED = "closed"


class Comment(TenantRow):
    """Comment on a work item. Its text is in its versions; `version` is the number of the newest.

    A removed comment shows no text. `erased_at` is the time at which its texts were erased: at once, or after the end
    of a legal hold. `hidden_from` names the principals who may not read it, whatever their permissions.
    """

    work_item = models.ForeignKey(
        "workitems.WorkItem", on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="comments"
    )
    author = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    author_kind = models.CharField(max_length=8)
    audience = models.CharField(max_length=8)
    hidden_from = ArrayField(models.UUIDField(), default=list)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    edited_at = models.DateTimeField(null=True)
    removed_at = models.DateTimeField(null=True)
    removed_by = models.UUIDField(null=True)
    erased_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            *tenant_constraints("comment", references=("work_item",)),
            CaseVisibility(name="comment_visibility"),
            AudienceVisibility(name="comment_audience"),
            models.CheckConstraint(
                name="comment_audience_known",
                condition=models.Q(audience__in=[audience.value for audience in Audience]),
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "work_item", "id"], name="comment_item_idx"),
            models.Index(fields=["tenant", "author", "id"], name="comment_author_idx"),
            models.Index(
                fields=["removed_at"],
                name="comment_unerased_idx",
                condition=models.Q(removed_at__isnull=False, erased_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.COMMENT, self.id)


class CommentVersion(TenantRow):
    """One version of the text of a comment, as it was displayed until the next one. Receipts contain its commitment."""

    comment = models.ForeignKey(
        Comment, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="versions"
    )
    work_item = models.ForeignKey(
        "workitems.WorkItem", on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    number = models.PositiveIntegerField()
    text = ContentText()
    text_salt = ContentBytes(max_length=16, default=new_salt)
    mentioned_ids = ArrayField(models.UUIDField(), default=list, help_text="Mentioned people who were notified.")
    hidden_from = ArrayField(models.UUIDField(), default=list, help_text="As in the comment.")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            *tenant_constraints("commentversion", references=("comment", "work_item")),
            CaseVisibility(name="commentversion_visibility"),
            AudienceVisibility(name="commentversion_audience"),
            models.UniqueConstraint(fields=["tenant", "comment", "number"], name="commentversion_once"),
            AppendOnly(name="commentversion_append_only", emptied=("text", "text_salt")),
        ]
        indexes = [models.Index(fields=["tenant", "work_item", "id"], name="commentversion_item_idx")]

    def __str__(self) -> str:
        return f"{self.comment_id} {self.number}"


class RequesterQuestion(TenantRow):
    """Question to the requester of a work item, with the answer. The work item waits while it is open.

    `step` is the decision step that was pending when it was asked; `pauses` is True if it paused its deadlines.
    `asked_version` and `answered_version` are the versions of the work item at these times.
    """

    work_item = models.ForeignKey(
        "workitems.WorkItem", on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="questions"
    )
    step = models.ForeignKey(
        "workitems.DecisionStep",
        on_delete=models.PROTECT,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    asked_by = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    text = ContentText()
    text_salt = ContentBytes(max_length=16, default=new_salt)
    status = models.CharField(max_length=10, default=QuestionStatus.OPEN.value)
    pauses = models.BooleanField(default=False)
    asked_version = models.PositiveIntegerField()
    created_at = models.DateTimeField(default=clock.now, editable=False)
    expires_at = models.DateTimeField()
    answer = ContentText(blank=True)
    answer_salt = ContentBytes(max_length=16, null=True)
    answered_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, db_index=False, related_name="+")
    answered_version = models.PositiveIntegerField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            *tenant_constraints("requesterquestion", references=("work_item", "step")),
            CaseVisibility(name="requesterquestion_visibility"),
            models.CheckConstraint(
                name="requesterquestion_status_known",
                condition=models.Q(status__in=[status.value for status in QuestionStatus]),
            ),
            models.CheckConstraint(
                name="requesterquestion_ended_unless_open",
                condition=models.Q(status="open", ended_at__isnull=True)
                | ~models.Q(status="open") & models.Q(ended_at__isnull=False),
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "work_item", "id"], name="requesterquestion_item_idx"),
            models.Index(fields=["tenant", "asked_by", "id"], name="requesterquestion_asker_idx"),
            models.Index(fields=["expires_at"], name="requesterquestion_open_idx", condition=models.Q(status="open")),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.REQUESTER_QUESTION, self.id)

    @property
    def is_open(self) -> bool:
        return self.status == QuestionStatus.OPEN


class Watch(TenantRow):
    """Wish of a person to be notified of what happens to a work item. It ends when the person may not read the item."""

    work_item = models.ForeignKey(
        "workitems.WorkItem", on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="watches"
    )
    principal = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        verbose_name_plural = "watches"
        constraints = [
            *tenant_constraints("watch", references=("work_item",)),
            CaseVisibility(name="watch_visibility"),
            models.UniqueConstraint(fields=["tenant", "work_item", "principal"], name="watch_once"),
        ]

    def __str__(self) -> str:
        return f"{self.principal_id} of {self.work_item_id}"
