"""Models of shadows: versions compared with live decisions without being enforced."""

from __future__ import annotations

from django.db import models

from policies.lifecycle import ShadowStatus
from threada_site.database.constraints import AppendOnly, tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import TenantRow


class PolicyShadow(TenantRow):
    """A version that is compared with every live decision of its policy until `ends_at`.

    A job reads committed decisions; live checks do not know about shadows. All decisions with ids before `settled` have
    been compared, and none can still appear.
    """

    policy = models.ForeignKey(
        "policies.Policy", on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    policy_version = models.ForeignKey(
        "policies.PolicyVersion", on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    document = models.JSONField(help_text="The document when the shadow was started; a draft may change.")
    document_sha256 = models.CharField(max_length=64)
    from_id = models.UUIDField(help_text="The first decision id that is compared.")
    settled = models.UUIDField()
    started_by = models.UUIDField(null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    ends_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    status = models.CharField(
        max_length=16,
        choices=[(entry.value, entry.value) for entry in ShadowStatus],
        default=ShadowStatus.ACTIVE,
    )
    compared = models.BigIntegerField(default=0)
    flipped = models.BigIntegerField(default=0)
    not_replayable = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(default=0, help_text="Failed comparisons; the live decisions are unaffected.")
    summary = models.JSONField(default=dict)

    class Meta:
        verbose_name = "policy shadow"
        constraints = [
            *tenant_constraints("policyshadow", references=("policy", "policy_version")),
            models.UniqueConstraint(
                fields=["tenant", "policy_version"],
                name="policyshadow_one_active",
                condition=models.Q(status=ShadowStatus.ACTIVE),
            ),
            models.CheckConstraint(
                name="policyshadow_ended_is_dated",
                condition=models.Q(status=ShadowStatus.ACTIVE) | models.Q(ended_at__isnull=False),
            ),
        ]
        indexes = [
            models.Index(fields=["ends_at"], name="policyshadow_active_idx", condition=models.Q(status="active")),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.POLICY_SHADOW, self.id)


class ShadowResult(TenantRow):
    """The comparison of one live decision with the shadow. Contains no contents."""

    shadow = models.ForeignKey(
        PolicyShadow, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="results"
    )
    decision_id = models.UUIDField()
    kind = models.CharField(max_length=16)
    case = models.JSONField(help_text="Names and ids of work item, execution, workflow, channel and point.")
    found = models.JSONField(default=dict)

    class Meta:
        constraints = [
            *tenant_constraints("shadowresult", references=("shadow",)),
            models.UniqueConstraint(fields=["tenant", "shadow", "decision_id"], name="shadowresult_once"),
            models.CheckConstraint(
                name="shadowresult_kind_known",
                condition=models.Q(kind__in=["same", "flip", "asking", "not_replayable", "failed"]),
            ),
            AppendOnly(name="shadowresult_append_only"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {ids.public_id(ids.POLICY_DECISION, self.decision_id)}"
