"""Tables of notices, messages and notification preferences."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from threada_site.database.constraints import tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import Membership, TenantRow, User
from workitems.notices.rules import OPEN, Channel, Event, MessageStatus


class Notice(TenantRow):
    """Event of a work item that must be notified once. Its recipients are chosen when the notice is addressed.

    `step` is None for an event of the conversation.
    """

    work_item = models.ForeignKey(
        "workitems.WorkItem", on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    step = models.ForeignKey(
        "workitems.DecisionStep",
        on_delete=models.PROTECT,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="notices",
    )
    kind = models.CharField(max_length=16)
    occurrence = models.CharField(max_length=64, blank=True, help_text="Distinguishes events of the same kind.")
    recipient_ids = ArrayField(models.UUIDField(), null=True, help_text="Recipients; null: all pending approvers.")
    facts = models.JSONField(default=dict)
    correlation_id = models.CharField(max_length=128)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    addressed_at = models.DateTimeField(null=True, help_text="Time at which its messages were created.")

    class Meta:
        constraints = [
            *tenant_constraints("notice", references=("work_item", "step")),
            models.UniqueConstraint(
                fields=["tenant", "work_item", "step", "kind", "occurrence"], name="notice_once", nulls_distinct=False
            ),
            models.CheckConstraint(
                name="notice_kind_known", condition=models.Q(kind__in=[event.value for event in Event])
            ),
        ]
        indexes = [
            models.Index(
                fields=["created_at"], name="notice_unaddressed_idx", condition=models.Q(addressed_at__isnull=True)
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.occurrence}".strip()


class NoticeMessage(TenantRow):
    """Message of a notice to one person on one channel.

    While it is open, `due_at` is the time of the next attempt or the end of the lease. `fence` counts leases; a
    worker with an older lease cannot hand over. `handed_over_at` is set before the first byte of the message is sent;
    after that the message is not sent again.
    """

    notice = models.ForeignKey(
        Notice, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="messages"
    )
    recipient = models.ForeignKey(User, on_delete=models.PROTECT, db_index=False, related_name="+")
    channel = models.CharField(max_length=8)
    status = models.CharField(max_length=8, default=MessageStatus.DUE.value)
    reason = models.CharField(max_length=64, blank=True, help_text="Reason code if it is not sent.")
    detail = models.CharField(max_length=500, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(null=True)
    fence = models.BigIntegerField(default=0)
    handed_over_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "message"
        constraints = [
            *tenant_constraints("noticemessage", references=("notice",)),
            models.UniqueConstraint(fields=["tenant", "notice", "recipient", "channel"], name="noticemessage_once"),
            models.CheckConstraint(
                name="noticemessage_channel_known",
                condition=models.Q(channel__in=[channel.value for channel in Channel]),
            ),
            models.CheckConstraint(
                name="noticemessage_due_while_open",
                condition=models.Q(status__in=[status.value for status in OPEN], due_at__isnull=False)
                | ~models.Q(status__in=[status.value for status in OPEN]) & models.Q(due_at__isnull=True),
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], name="noticemessage_due_idx", condition=models.Q(due_at__isnull=False)),
            models.Index(
                fields=["settled_at"],
                name="noticemessage_failed_idx",
                condition=models.Q(status__in=[MessageStatus.FAILED.value, MessageStatus.UNKNOWN.value]),
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.MESSAGE, self.id)


class NotificationPreference(TenantRow):
    """Notification preferences of a member. Without a row: all events, by mail to the account's address.

    Deleted with the membership. A chat address contains a token; it is encrypted and never returned.
    """

    membership = models.ForeignKey(
        Membership, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+"
    )
    mail_address = models.EmailField(blank=True, help_text="Overrides the address of the account.")
    mail_events = ArrayField(models.CharField(max_length=16), default=list)
    chat_service = models.CharField(max_length=32, blank=True)
    chat_address = models.BinaryField(null=True, editable=False)
    chat_events = ArrayField(models.CharField(max_length=16), default=list)
    version = models.PositiveIntegerField(default=1)
    updated_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            *tenant_constraints("notificationpreference", references=("membership",)),
            models.UniqueConstraint(fields=["tenant", "membership"], name="notificationpreference_once"),
            models.CheckConstraint(
                name="notificationpreference_chat_is_whole",
                condition=models.Q(chat_service="", chat_address__isnull=True)
                | ~models.Q(chat_service="") & models.Q(chat_address__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"of {self.membership}"
