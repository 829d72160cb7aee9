"""Models of the rulebook: workflows, channels, lists, calendars, policies, versions, overlays and decisions."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from policies.configuration.models import Pack, PackMember, PackVersion
from policies.documents.overlay import OverlayScope
from policies.language.time_window import TimeWindow
from policies.lifecycle import EmergencyStatus
from policies.replay.models import PolicyReplay, ReplayFinding
from policies.replay.shadow_models import PolicyShadow, ShadowResult
from threada_site.database.constraints import AppendOnly, CaseVisibility, tenant_constraints
from threada_site.kernel import clock, ids
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.canonical import new_salt
from threada_site.personal_data.erasable_fields import ContentBytes, ContentJSON
from threada_site.tenancy.models import SlugColumn, TenantRow
from threada_site.tenancy.versioned_documents import (
    DocumentKey,
    DocumentVersion,
    NumberedVersion,
    VersionedDocument,
    document_constraints,
    version_constraints,
)

__all__ = [
    "Calendar",
    "Channel",
    "EmergencyPublication",
    "List",
    "ListVersion",
    "Overlay",
    "Pack",
    "PackMember",
    "PackVersion",
    "Policy",
    "PolicyDecision",
    "PolicyReplay",
    "PolicyShadow",
    "PolicyVersion",
    "ReplayFinding",
    "ShadowResult",
    "Workflow",
    "WorkflowVersion",
]


class Channel(TenantRow):
    """A source of requests."""

    slug = SlugColumn()
    name = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            *tenant_constraints("channel"),
            models.UniqueConstraint(fields=["tenant", "slug"], name="channel_slug_once"),
        ]

    def __str__(self) -> str:
        return self.slug


class Workflow(VersionedDocument):
    """A kind of work, defined by its versions. New work items use `current_version`."""

    name = models.CharField(max_length=200, blank=True)
    current_version = DocumentKey("WorkflowVersion", null=True, related_name="+")

    class Meta:
        constraints = document_constraints("workflow")
        permissions = [
            (scope.codename, scope.value)
            for scope in (
                Scope.WORKITEMS_READ,
                Scope.WORKITEMS_WRITE,
                Scope.WORKITEMS_ON_BEHALF,
                Scope.DECISIONS_DECIDE,
                Scope.ACTIONS_EXECUTE,
            )
        ]


class WorkflowVersion(DocumentVersion):
    """One version of a workflow: payload schema, allowed actions, reject reasons. Immutable."""

    ID_PREFIX = ids.WORKFLOW_VERSION

    workflow = DocumentKey(Workflow, related_name="versions")

    class Meta:
        constraints = version_constraints("workflowversion", "workflow")


class List(VersionedDocument):
    """A named list of values that rules can read (`x in lists.name`)."""

    current_version = DocumentKey("ListVersion", null=True, related_name="+")

    class Meta:
        constraints = document_constraints("list")


class ListVersion(DocumentVersion):
    """One version of the items of a list. Immutable."""

    list = DocumentKey(List, related_name="versions")

    class Meta:
        constraints = version_constraints("listversion", "list")


class Calendar(TenantRow):
    """Time zone, working hours and holidays of the tenant, at most one row. Changes do not move existing deadlines."""

    slug = SlugColumn()
    document = models.JSONField()
    time_zone = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    updated_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            *tenant_constraints("calendar"),
            models.UniqueConstraint(fields=["tenant"], name="calendar_once"),
        ]

    def __str__(self) -> str:
        return self.slug


class Policy(VersionedDocument):
    """A rule document with versions. `in_force` is the version that decides; null means deny (`policy_missing`)."""

    in_force = DocumentKey("PolicyVersion", null=True, related_name="+")

    class Meta:
        verbose_name_plural = "policies"
        constraints = document_constraints("policy", current="in_force")


class PolicyVersion(NumberedVersion):
    """One version of a policy: draft, published or retired. A trigger keeps published documents immutable.

    `warnings` are those of the publication that returned the object; they are not stored.
    """

    ID_PREFIX = ids.POLICY_VERSION
    warnings: tuple[FieldError, ...] = ()

    policy = DocumentKey(Policy, related_name="versions")
    status = models.CharField(max_length=16, default="draft")
    document = models.JSONField()
    document_sha256 = models.CharField(max_length=64)
    written_by = ArrayField(
        models.UUIDField(),
        default=list,
        help_text="Principals who created or edited it; under four eyes they cannot publish it.",
    )
    published_by = models.UUIDField(null=True)
    published_at = models.DateTimeField(null=True)
    superseded_at = models.DateTimeField(
        null=True,
        help_text="Open steps that pin it accept no votes since then, because a newer version applies to them.",
    )
    retired_by = models.UUIDField(null=True)
    retired_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            *version_constraints("policyversion", "policy", is_append_only=False),
            models.CheckConstraint(
                name="policyversion_status_known", condition=models.Q(status__in=["draft", "published", "retired"])
            ),
        ]


class EmergencyPublication(TenantRow):
    """A version published by one person alone, in force until its time box ends unless a second person confirms it.

    It is announced first: it comes into force at `takes_effect_at` if the draft still has the announced text.
    If it ends unconfirmed, `replaced_version_id` is put back in force.
    """

    policy = models.ForeignKey(
        Policy, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="emergencies"
    )
    version = models.ForeignKey(
        PolicyVersion, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="emergencies"
    )
    replaced_version_id = models.UUIDField(null=True)
    reason = models.CharField(max_length=500)
    reason_salt = models.BinaryField(
        max_length=16, default=new_salt, help_text="Salt of the commitment in the receipt."
    )
    status = models.CharField(max_length=16, default="open")
    published_by = models.UUIDField()
    published_at = models.DateTimeField(default=clock.now, editable=False)
    takes_effect_at = models.DateTimeField()
    document_sha256 = models.CharField(max_length=64)
    applies_to_open = models.BooleanField(default=False)
    ends_at = models.DateTimeField()
    closed_by = models.UUIDField(null=True)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            *tenant_constraints("emergencypublication", references=("policy", "version")),
            models.UniqueConstraint(
                fields=["tenant", "version"],
                name="emergencypublication_version_once",
                condition=~models.Q(status="withdrawn"),
            ),
            models.UniqueConstraint(
                fields=["tenant", "policy"],
                name="emergencypublication_one_open",
                condition=models.Q(status__in=["announced", "open"]),
            ),
            models.CheckConstraint(
                name="emergencypublication_status_known",
                condition=models.Q(status__in=[status.value for status in EmergencyStatus]),
            ),
            models.CheckConstraint(
                name="emergencypublication_confirmed_by_another",
                condition=~models.Q(status="confirmed")
                | (models.Q(closed_by__isnull=False) & ~models.Q(closed_by=models.F("published_by"))),
            ),
        ]
        indexes = [
            models.Index(fields=["ends_at"], name="emergencypublication_ends_idx", condition=models.Q(status="open")),
            models.Index(
                fields=["takes_effect_at"],
                name="emergencypublication_due_idx",
                condition=models.Q(status="announced"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} in an emergency"


class Overlay(TenantRow):
    """The binding of a policy to a scope (tenant, pack, workflow, channel or requester group) and a time window."""

    policy = models.ForeignKey(
        Policy, on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="overlays"
    )
    scope_kind = models.CharField(
        max_length=8, choices=[(k, k) for k in ("tenant", "pack", "workflow", "channel", "group")]
    )
    scope_slug = models.CharField(max_length=63, blank=True)
    starts_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True)
    created_by = models.UUIDField(null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            *tenant_constraints("overlay", references=("policy",)),
            models.UniqueConstraint(fields=["tenant", "policy", "scope_kind", "scope_slug"], name="overlay_once"),
            models.CheckConstraint(
                name="overlay_scope_known",
                condition=models.Q(scope_kind__in=["tenant", "pack", "workflow", "channel", "group"]),
            ),
            models.CheckConstraint(
                name="overlay_window_not_empty",
                condition=models.Q(starts_at__isnull=True)
                | models.Q(ends_at__isnull=True)
                | models.Q(ends_at__gt=models.F("starts_at")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.policy} on {self.scope}"

    @property
    def scope(self) -> OverlayScope:
        return OverlayScope(self.scope_kind, self.scope_slug)

    @property
    def window(self) -> TimeWindow:
        return TimeWindow(self.starts_at, self.ends_at)

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.OVERLAY, self.id)


class PolicyDecision(TenantRow):
    """One stored evaluation with everything needed to repeat it: facts as canonical bytes, versions, engine, trace."""

    work_item_id = models.UUIDField()
    execution_id = models.UUIDField(null=True)
    point = models.CharField(max_length=8)
    outcome = models.CharField(max_length=16)
    reason_codes = models.JSONField(default=list)
    matched = models.JSONField(default=list)
    rule_errors = ContentJSON(default=list)
    versions = models.JSONField(default=list)
    list_versions = models.JSONField(default=dict)
    approvals = models.JSONField(null=True)
    trace = models.JSONField(default=list)
    facts = ContentBytes()
    facts_sha256 = models.CharField(max_length=64)
    policy_version_id = models.UUIDField(null=True, help_text="The version of the deciding rule.")
    engine = models.CharField(max_length=64)
    duration_us = models.PositiveIntegerField()
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [
            *tenant_constraints("policydecision"),
            CaseVisibility(name="policydecision_visibility"),
            AppendOnly(name="policydecision_append_only", emptied=("facts", "rule_errors")),
        ]
        indexes = [models.Index(fields=["tenant", "work_item_id", "id"], name="policydecision_item_idx")]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.POLICY_DECISION, self.id)
