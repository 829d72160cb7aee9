"""Continuous deliveries as rows: target and position of each."""

from __future__ import annotations

from django.db import models

from telemetry.deliveries.rules import ATTEMPT_STATUSES, OPEN_ATTEMPTS, PURPOSES, TARGETS
from telemetry.lifecycle import DeliveryStatus
from threada_site.database.constraints import tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import SlugColumn, TenantRow


class Delivery(TenantRow):
    """One delivery target of a tenant.

    `next_index` is the log index of the first receipt that is not delivered yet. `batch_end` is set while a batch is in
    progress: every attempt sends exactly `next_index` to `batch_end`, with the same message id. `fence` counts leases;
    a worker with an older value cannot record a result.
    """

    slug = SlugColumn()
    target = models.CharField(max_length=16, choices=[(kind, kind) for kind in TARGETS])
    url = models.CharField(max_length=2000, blank=True)
    secret = models.JSONField(null=True, help_text="Reference to the secret: {stored: …}, {env: …} or {file: …}.")
    kinds = models.JSONField(default=list, help_text="Kinds of receipts that are sent; empty: all.")
    workflows = models.JSONField(default=list, help_text="Workflows whose receipts are sent; empty: all receipts.")
    headers = models.JSONField(default=dict, help_text="Sent to a collector; ${secret} is replaced by the secret.")
    status = models.CharField(
        max_length=16,
        choices=[(entry.value, entry.value) for entry in DeliveryStatus],
        default=DeliveryStatus.ACTIVE,
    )
    next_index = models.BigIntegerField(default=0)
    batch_end = models.BigIntegerField(null=True)
    file_size = models.BigIntegerField(default=0, help_text="Size of the delivered part of the file in bytes.")
    rejected = models.BigIntegerField(default=0, help_text="Receipts that a collector accepted and discarded.")
    attempts = models.IntegerField(default=0, help_text="Failed attempts since the last success.")
    next_try_at = models.DateTimeField(null=True)
    failing_since = models.DateTimeField(null=True)
    failure = models.CharField(max_length=64, blank=True, help_text="Reason code of the last failed attempt.")
    detail = models.CharField(max_length=500, blank=True)
    paused_at = models.DateTimeField(null=True)
    delivered_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    fence = models.BigIntegerField(default=0)
    created_by = models.UUIDField(null=True)
    created_at = models.DateTimeField(default=clock.now)

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            *tenant_constraints("delivery"),
            models.UniqueConstraint(
                fields=["tenant", "slug"],
                name="delivery_slug_key",
                condition=~models.Q(status=DeliveryStatus.REMOVED),
            ),
            models.CheckConstraint(
                name="delivery_webhook_is_whole",
                condition=~models.Q(target="webhook") | ~models.Q(url="") & models.Q(secret__isnull=False),
            ),
            models.CheckConstraint(
                name="delivery_otlp_is_whole", condition=~models.Q(target="otlp") | ~models.Q(url="")
            ),
            models.CheckConstraint(
                name="delivery_moves_on",
                condition=models.Q(next_index__gte=0)
                & (models.Q(batch_end__isnull=True) | models.Q(batch_end__gt=models.F("next_index"))),
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_try_at"], name="delivery_active_idx", condition=models.Q(status=DeliveryStatus.ACTIVE)
            )
        ]

    def __str__(self) -> str:
        return self.slug

    @property
    def public_id(self) -> str:
        """Return the id used in messages. Unlike the slug, the id is never reused."""
        return ids.public_id(ids.DELIVERY, self.id)


class DeliveryAttempt(TenantRow):
    """One try to send receipts: of a scheduled batch, a test event, or receipts that are sent again.

    Contains neither what was sent nor what the receiver answered. Indexes are log indexes, both inclusive.
    """

    delivery = models.ForeignKey(
        Delivery, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="tries"
    )
    purpose = models.CharField(max_length=16, choices=[(kind, kind) for kind in PURPOSES])
    status = models.CharField(max_length=16, choices=[(kind, kind) for kind in ATTEMPT_STATUSES])
    first_index = models.BigIntegerField(null=True)
    last_index = models.BigIntegerField(null=True)
    events = models.IntegerField(default=0, help_text="Number of events that were sent.")
    failure = models.CharField(max_length=32, blank=True)
    detail = models.CharField(max_length=500, blank=True)
    requested_by = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=clock.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            *tenant_constraints("deliveryattempt", references=("delivery",)),
            models.UniqueConstraint(
                fields=["tenant", "delivery"],
                condition=models.Q(status__in=OPEN_ATTEMPTS),
                name="deliveryattempt_one_open",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "delivery", "id"], name="deliveryattempt_list_idx"),
            models.Index(
                fields=["status", "lease_until"],
                condition=models.Q(status__in=OPEN_ATTEMPTS),
                name="deliveryattempt_open_idx",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.DELIVERY_ATTEMPT, self.id)
