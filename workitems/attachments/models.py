"""Tables of attachments, and of the files in the storage."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from threada_site.database.constraints import AudienceVisibility, CaseVisibility, tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.personal_data.erasable_fields import ContentBytes, ContentText
from threada_site.tenancy.models import TenantRow, User


class Attachment(TenantRow):
    """File that a principal uploaded. Until it is used, it belongs to no work item, and a sweep removes it after a day.

    `comment` is empty for files of payloads. `file_key` decrypts the stored file: without it nobody can read the file.
    `hidden_from` is that of the comment.
    """

    work_item = models.ForeignKey(
        "workitems.WorkItem",
        on_delete=models.PROTECT,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="attachments",
    )
    comment = models.ForeignKey(
        "workitems.Comment",
        on_delete=models.PROTECT,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="attachments",
    )
    uploaded_by = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    hidden_from = ArrayField(models.UUIDField(), default=list)
    name = ContentText()
    file_key = ContentBytes(max_length=32)
    media_type = models.CharField(max_length=100)
    size = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    stored_at = models.DateTimeField(null=True, help_text="Time at which the whole file was in the storage.")
    used_at = models.DateTimeField(null=True, help_text="Time since which it belongs to its work item.")

    class Meta:
        constraints = [
            *tenant_constraints("attachment", references=("work_item", "comment")),
            CaseVisibility(name="attachment_visibility", parties=("uploaded_by_id",)),
            AudienceVisibility(name="attachment_audience"),
            models.CheckConstraint(
                name="attachment_comment_of_item",
                condition=models.Q(comment__isnull=True) | models.Q(work_item__isnull=False),
            ),
        ]
        indexes = [
            models.Index(
                fields=["tenant", "work_item", "id"],
                name="attachment_item_idx",
                condition=models.Q(work_item__isnull=False),
            ),
            models.Index(
                fields=["tenant", "comment"],
                name="attachment_comment_idx",
                condition=models.Q(comment__isnull=False),
            ),
            models.Index(
                fields=["tenant", "uploaded_by", "id"],
                name="attachment_unused_idx",
                condition=models.Q(work_item__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.ATTACHMENT, self.id)


class StoredFile(TenantRow):
    """File in the storage, with the id of its attachment. The row exists before the file, and is deleted after it.

    It has no reference to the attachment, whose row is removed together with its case.
    """

    path = models.CharField(max_length=200, help_text="Random name in the storage.")
    size = models.BigIntegerField()
    created_at = models.DateTimeField(default=clock.now, editable=False)
    next_deletion_at = models.DateTimeField(
        null=True, help_text="Time of the next attempt to delete it, after one that failed."
    )

    class Meta:
        constraints = [
            *tenant_constraints("storedfile"),
            models.UniqueConstraint(fields=["path"], name="storedfile_path_key"),
        ]

    def __str__(self) -> str:
        return self.path
