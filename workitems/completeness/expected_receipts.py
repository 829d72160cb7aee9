"""Acts outside of cases that must have left a receipt: one line each. Who adds such an act adds its line here.

A receipt that somebody deleted, also before it was sealed, is missed by the row that the act left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import getitem
from typing import Any, Final

from django.db.models import Exists, Model, OuterRef, Q

from integrations.models import Freeze, Integration, IntegrationVersion, StoredSecret
from policies.models import (
    Calendar,
    Channel,
    EmergencyPublication,
    List,
    ListVersion,
    Overlay,
    Pack,
    PackVersion,
    PolicyReplay,
    PolicyShadow,
    PolicyVersion,
    Workflow,
    WorkflowVersion,
)
from telemetry.models import Delivery, TelemetryExport
from threada_site.kernel import ids
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.models import Credential, DataSubject, FourEyesRule, Membership, PeopleGroup, Tenant, User
from workitems.models import Delegation, LegalHold, RetentionRule, RetentionRuleVersion, RetentionRun, WorkItem

type Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Act:
    """Rows of `model` for which `happened` holds must each be named by a receipt of `kind`, or of one of `others`.

    `told` reads the name out of a receipt; `name` makes it of the row's `columns`. A receipt that `told` finds nothing
    in (`KeyError`) tells of something else.
    """

    kind: str
    told: Callable[[Body], str]
    model: type[Model]
    name: Callable[..., str]
    columns: tuple[str, ...] = ("id",)
    happened: Q = field(default_factory=Q)
    others: tuple[str, ...] = ()
    tenant: str = "tenant_id"


@dataclass(frozen=True, slots=True)
class Deletion:
    """What a receipt of `made` names and has no row in `model` any more must be named by a receipt of `kind` too."""

    kind: str
    made: str
    told: Callable[[Body], str]
    model: type[Model]
    name: Callable[..., str]
    columns: tuple[str, ...] = ("id",)


def _at(*places: str) -> Callable[[Body], str]:
    """What stands at these places of a receipt, joined as `_text` joins columns."""
    paths = [place.split(".") for place in places]
    return lambda body: _text(*(reduce(getitem, path, body) for path in paths))


def _text(*values: Any) -> str:
    return " ".join(str(value) for value in values)


def _id(prefix: str) -> Callable[..., str]:
    return lambda row_id, *more: _text(ids.public_id(prefix, row_id), *more)


def _told_ready(body: Body) -> str:
    """A small export is made at once, and its one receipt says so."""
    if body["kind"] == "telemetry.exported" and body["outcome"]["status"] != "ready":
        raise KeyError("status")
    return _EXPORT(body)


_EXPORT: Final = _at("inputs.export_id")
_FREEZE: Final = _at("inputs.freeze_id")
_HOLD: Final = _at("inputs.legal_hold_id")
_RUN: Final = _at("inputs.retention_run_id")
_DELEGATION: Final = _at("inputs.delegation")
_REPLAY: Final = _at("inputs.policy_replay_id")
_SHADOW: Final = _at("inputs.policy_shadow_id")
_OVERLAY: Final = _at("outcome.overlay_id")
_VERSION: Final = _at("subject.policy_version_id")
_DELIVERY: Final = _at("inputs.delivery_id")
_SECRET: Final = _at("inputs.secret_id", "outcome.number")
_SLUG: Final = ("slug",)
_OF_VERSION: Final = ("version_id",)
_LIFTED: Final = Q(lifted_at__isnull=False)
_WITHDRAWN: Final = Q(current_version__isnull=True)
# A hold on one case: retention takes the case's receipts along with the case.
_CASE_KEPT: Final = Q(work_item_id__isnull=True) | Q(
    Exists(WorkItem.objects.filter(tenant_id=OuterRef("tenant_id"), id=OuterRef("work_item_id")))
)

ACTS: Final = (
    Act("tenant.created", _at("tenant"), Tenant, _id(ids.TENANT), tenant="id"),
    Act("member.added", _at("inputs.principal"), Membership, _id(ids.PRINCIPAL), ("user_id",)),
    Act(
        "role.granted",
        _at("inputs.principal", "inputs.role"),
        User.groups.through,
        _id(ids.PRINCIPAL),
        ("user_id", "group__role__slug"),
        tenant="group__role__tenant_id",
    ),
    Act("group.defined", _at("inputs.group"), PeopleGroup, _text, _SLUG),
    Act("credential.issued", _at("inputs.credential"), Credential, _id(ids.CREDENTIAL)),
    Act("four_eyes.required", _at("inputs.rule"), FourEyesRule, _text, _SLUG, Q(is_required=True)),
    Act("four_eyes.end_asked", _at("inputs.rule"), FourEyesRule, _text, _SLUG, Q(end_asked_by__isnull=False)),
    Act("channel.created", _at("subject.channel_id"), Channel, _text, _SLUG),
    Act("workflow.version_added", _at("outcome.workflow_version_id"), WorkflowVersion, _id(ids.WORKFLOW_VERSION)),
    Act("workflow.withdrawn", _at("subject.workflow_id"), Workflow, _text, _SLUG, _WITHDRAWN),
    Act("list.version_added", _at("inputs.list", "outcome.number"), ListVersion, _text, ("list__slug", "number")),
    Act("list.withdrawn", _at("inputs.list"), List, _text, _SLUG, _WITHDRAWN),
    Act(
        "calendar.changed",
        _at("inputs.calendar", "inputs.spec_sha256"),
        Calendar,
        lambda slug, spec: _text(slug, canonical_sha256(spec)),
        ("slug", "document"),
    ),
    Act("pack.installed", _at("outcome.pack_version_id"), PackVersion, _id(ids.PACK_VERSION)),
    Act("pack.removed", _at("inputs.pack"), Pack, _text, _SLUG, _WITHDRAWN),
    Act("policy.version_drafted", _VERSION, PolicyVersion, _id(ids.POLICY_VERSION)),
    Act("policy.published_in_emergency", _VERSION, EmergencyPublication, _id(ids.POLICY_VERSION), _OF_VERSION),
    Act(
        "policy.emergency_confirmed",
        _VERSION,
        EmergencyPublication,
        _id(ids.POLICY_VERSION),
        _OF_VERSION,
        Q(status="confirmed"),
    ),
    Act(
        "policy.emergency_ended",
        _VERSION,
        EmergencyPublication,
        _id(ids.POLICY_VERSION),
        _OF_VERSION,
        Q(status__in=["ended", "replaced"]),
    ),
    Act("overlay.added", _OVERLAY, Overlay, _id(ids.OVERLAY)),
    Act("policy.shadow_started", _SHADOW, PolicyShadow, _id(ids.POLICY_SHADOW)),
    Act("policy.shadow_ended", _SHADOW, PolicyShadow, _id(ids.POLICY_SHADOW), happened=Q(ended_at__isnull=False)),
    Act("policy.replay_requested", _REPLAY, PolicyReplay, _id(ids.POLICY_REPLAY)),
    Act("policy.replayed", _REPLAY, PolicyReplay, _id(ids.POLICY_REPLAY), happened=Q(status="finished")),
    Act("policy.replay_failed", _REPLAY, PolicyReplay, _id(ids.POLICY_REPLAY), happened=Q(status="failed")),
    Act("policy.replay_cancelled", _REPLAY, PolicyReplay, _id(ids.POLICY_REPLAY), happened=Q(status="cancelled")),
    Act(
        "integration.version_added",
        _at("outcome.integration_version_id"),
        IntegrationVersion,
        _id(ids.INTEGRATION_VERSION),
    ),
    Act("integration.withdrawn", _at("subject.integration_id"), Integration, _text, _SLUG, _WITHDRAWN),
    Act("secret.stored", _SECRET, StoredSecret, _text, ("slug", "number"), Q(number=1)),
    Act("secret.changed", _SECRET, StoredSecret, _text, ("slug", "number"), Q(number__gt=1)),
    Act("freeze.set", _FREEZE, Freeze, _id(ids.FREEZE)),
    Act("freeze.lifted", _FREEZE, Freeze, _id(ids.FREEZE), happened=_LIFTED),
    Act("delegation.created", _DELEGATION, Delegation, _id(ids.DELEGATION)),
    Act("delegation.ended", _DELEGATION, Delegation, _id(ids.DELEGATION), happened=Q(ended_at__isnull=False)),
    Act("telemetry.exported", _EXPORT, TelemetryExport, _id(ids.EXPORT)),
    Act(
        "telemetry.export_made",
        _told_ready,
        TelemetryExport,
        _id(ids.EXPORT),
        happened=Q(ready_at__isnull=False),
        others=("telemetry.exported",),
    ),
    Act("telemetry.export_failed", _EXPORT, TelemetryExport, _id(ids.EXPORT), happened=Q(status="failed")),
    Act("telemetry.export_expired", _EXPORT, TelemetryExport, _id(ids.EXPORT), happened=Q(status="expired")),
    Act("telemetry.export_cancelled", _EXPORT, TelemetryExport, _id(ids.EXPORT), happened=Q(status="cancelled")),
    Act("telemetry.delivery_configured", _DELIVERY, Delivery, _text, _SLUG),
    Act("telemetry.delivery_paused", _DELIVERY, Delivery, _text, _SLUG, Q(status="paused")),
    Act("telemetry.delivery_removed", _DELIVERY, Delivery, _text, _SLUG, Q(status="removed")),
    Act("legal_hold.set", _HOLD, LegalHold, _id(ids.LEGAL_HOLD), happened=_CASE_KEPT),
    Act("legal_hold.lifted", _HOLD, LegalHold, _id(ids.LEGAL_HOLD), happened=_CASE_KEPT & _LIFTED),
    Act(
        "retention_rule.version_added",
        _at("outcome.retention_version_id"),
        RetentionRuleVersion,
        _id(ids.RETENTION_VERSION),
    ),
    Act("retention_rule.withdrawn", _at("inputs.rule"), RetentionRule, _text, _SLUG, _WITHDRAWN),
    Act("retention.planned", _RUN, RetentionRun, _id(ids.RETENTION_RUN)),
    Act("retention.batch_applied", _RUN, RetentionRun, _id(ids.RETENTION_RUN), happened=Q(batches__gt=0)),
    Act("retention.run_finished", _RUN, RetentionRun, _id(ids.RETENTION_RUN), happened=Q(status="finished")),
    Act(
        "subject.erased",
        _at("inputs.subject_id"),
        DataSubject,
        _id(ids.DATA_SUBJECT),
        happened=Q(erased_at__isnull=False),
    ),
)

DELETIONS: Final = (
    Deletion("overlay.removed", "overlay.added", _OVERLAY, Overlay, _id(ids.OVERLAY)),
    Deletion("channel.removed", "channel.created", _at("subject.channel_id"), Channel, _text, _SLUG),
    Deletion("group.removed", "group.defined", _at("inputs.group"), PeopleGroup, _text, _SLUG),
    Deletion("member.removed", "member.added", _at("inputs.principal"), Membership, _id(ids.PRINCIPAL), ("user_id",)),
    Deletion("secret.removed", "secret.stored", _at("inputs.secret_id"), StoredSecret, _text, _SLUG),
)
