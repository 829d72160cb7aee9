"""Table of receipts that must exist for rows other than cases, for example freezes, exports and delegations.

Add a line here for every new operation that writes a receipt about such a row. A receipt that was deleted, even before
it was sealed, is detected because the row still exists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import getitem
from typing import Any, Final

from django.db.models import Exists, F, Model, OuterRef, Q

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
from threada_site.tenancy.account_link_models import AccountLink
from threada_site.tenancy.authority_models import AccountDependence, GrantKind, GrantRecord
from threada_site.tenancy.factor_models import EnrolledFactor
from threada_site.tenancy.identity_provider_models import IdentityLink
from threada_site.tenancy.models import Credential, DataSubject, FourEyesRule, Membership, PeopleGroup, Tenant, User
from threada_site.tenancy.trusted_issuer_models import TrustedIssuer, TrustedIssuerVersion
from workitems.models import (
    Delegation,
    LegalHold,
    Permit,
    PermitApproval,
    PermitUse,
    RetentionRule,
    RetentionRuleVersion,
    RetentionRun,
    WorkItem,
)

type Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ReceiptExpectation:
    """Expectation that each row of `model` matching `condition` has a receipt of `kind`, or of one of `other_kinds`.

    `receipt_key` reads the key from a receipt body; `row_key` builds the same key from the row's `columns`. If
    `receipt_key` raises `KeyError`, the receipt is about something else and is skipped.
    """

    kind: str
    receipt_key: Callable[[Body], str]
    model: type[Model]
    row_key: Callable[..., str]
    columns: tuple[str, ...] = ("id",)
    condition: Q = field(default_factory=Q)
    other_kinds: tuple[str, ...] = ()
    tenant: str = "tenant_id"


@dataclass(frozen=True, slots=True)
class DeletionExpectation:
    """Expectation that each key with a `created_kind` receipt, but without a row in `model`, has a `kind` receipt."""

    kind: str
    created_kind: str
    receipt_key: Callable[[Body], str]
    model: type[Model]
    row_key: Callable[..., str]
    columns: tuple[str, ...] = ("id",)


def _at(*dotted_paths: str) -> Callable[[Body], str]:
    """Return a function that reads these dotted paths of a receipt and joins their values with spaces."""
    paths = [path.split(".") for path in dotted_paths]
    return lambda body: _text(*(reduce(getitem, path, body) for path in paths))


def _text(*values: Any) -> str:
    return " ".join(str(value) for value in values)


def _id(prefix: str) -> Callable[..., str]:
    return lambda row_id, *more: _text(ids.public_id(prefix, row_id), *more)


def _ids(*prefixes: str) -> Callable[..., str]:
    return lambda *row_ids: _text(*map(ids.public_id, prefixes, row_ids))


def _ready_export_key(body: Body) -> str:
    """Return the export id of a receipt that says the export is ready. Raise `KeyError` for any other receipt.

    A small export is ready at once and has only its `telemetry.exported` receipt, with status `ready`.
    """
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
_PERMIT: Final = _at("inputs.permit_id")
_PERMIT_USE: Final = _at("inputs.permit_id", "subject.execution_id")
_LIFTED: Final = Q(lifted_at__isnull=False)
_WITHDRAWN: Final = Q(current_version__isnull=True)
# Retention deletes the receipts of a legal hold on one case together with the case.
_CASE_EXISTS: Final = Q(work_item_id__isnull=True) | Q(
    Exists(WorkItem.objects.filter(tenant_id=OuterRef("tenant_id"), id=OuterRef("work_item_id")))
)

# Each tenant of a person has the receipt of a factor, but only those that the person had accepted then.
_MEMBER_ELSEWHERE: Final = Q(
    Exists(
        Membership.objects.filter(user_id=OuterRef("user_id")).exclude(
            tenant_id=OuterRef("user__memberships__tenant_id")
        )
    )
)

EXPECTED_RECEIPTS: Final = (
    ReceiptExpectation("tenant.created", _at("tenant"), Tenant, _id(ids.TENANT), tenant="id"),
    ReceiptExpectation("member.added", _at("inputs.principal"), Membership, _id(ids.PRINCIPAL), ("user_id",)),
    ReceiptExpectation(
        "role.granted",
        _at("inputs.principal", "inputs.role"),
        User.groups.through,
        _id(ids.PRINCIPAL),
        ("user_id", "group__role__slug"),
        tenant="group__role__tenant_id",
    ),
    ReceiptExpectation("group.defined", _at("inputs.group"), PeopleGroup, _text, _SLUG),
    ReceiptExpectation("credential.issued", _at("inputs.credential"), Credential, _id(ids.CREDENTIAL)),
    ReceiptExpectation(
        "account.dependent", _at("inputs.principal"), AccountDependence, _id(ids.PRINCIPAL), ("user_id",)
    ),
    ReceiptExpectation(
        "account.confirmed",
        _at("inputs.principal"),
        AccountDependence,
        _id(ids.PRINCIPAL),
        ("user_id",),
        Q(ended_at__isnull=False),
    ),
    ReceiptExpectation(
        "invitation.accepted",
        _at("inputs.link"),
        AccountLink,
        _id(ids.ACCOUNT_LINK),
        condition=Q(purpose="invitation", used_at__isnull=False),
    ),
    ReceiptExpectation(
        "invitation.withdrawn",
        _at("inputs.link"),
        AccountLink,
        _id(ids.ACCOUNT_LINK),
        condition=Q(purpose="invitation", withdrawn_at__isnull=False),
    ),
    ReceiptExpectation("four_eyes.required", _at("inputs.rule"), FourEyesRule, _text, _SLUG, Q(is_required=True)),
    ReceiptExpectation(
        "four_eyes.end_asked", _at("inputs.rule"), FourEyesRule, _text, _SLUG, Q(end_asked_by__isnull=False)
    ),
    ReceiptExpectation("four_eyes.ended", _at("inputs.rule"), FourEyesRule, _text, _SLUG, Q(is_required=False)),
    ReceiptExpectation("identity.linked", _at("inputs.link"), IdentityLink, _id(ids.IDENTITY_LINK)),
    ReceiptExpectation(
        "scope.granted",
        _at("inputs.principal", "inputs.scope"),
        GrantRecord,
        lambda user, name: _text(ids.public_id(ids.PRINCIPAL, user), name.partition("@")[0]),
        ("user_id", "name"),
        Q(kind=GrantKind.SCOPE.value),
    ),
    ReceiptExpectation(
        "second_factor.enrolled",
        _at("inputs.factor"),
        EnrolledFactor,
        _id(ids.FACTOR),
        condition=Q(user__memberships__created_at__lte=F("created_at")) & ~_MEMBER_ELSEWHERE,
        tenant="user__memberships__tenant_id",
    ),
    ReceiptExpectation("channel.created", _at("subject.channel_id"), Channel, _text, _SLUG),
    ReceiptExpectation(
        "workflow.version_added", _at("outcome.workflow_version_id"), WorkflowVersion, _id(ids.WORKFLOW_VERSION)
    ),
    ReceiptExpectation("workflow.withdrawn", _at("subject.workflow_id"), Workflow, _text, _SLUG, _WITHDRAWN),
    ReceiptExpectation(
        "list.version_added", _at("inputs.list", "outcome.number"), ListVersion, _text, ("list__slug", "number")
    ),
    ReceiptExpectation("list.withdrawn", _at("inputs.list"), List, _text, _SLUG, _WITHDRAWN),
    ReceiptExpectation(
        "calendar.changed",
        _at("inputs.calendar", "inputs.spec_sha256"),
        Calendar,
        lambda slug, spec: _text(slug, canonical_sha256(spec)),
        ("slug", "document"),
    ),
    ReceiptExpectation(
        "trusted_issuer.version_added",
        _at("outcome.trusted_issuer_version_id"),
        TrustedIssuerVersion,
        _id(ids.TRUSTED_ISSUER_VERSION),
    ),
    ReceiptExpectation(
        "trusted_issuer.withdrawn", _at("inputs.trusted_issuer"), TrustedIssuer, _text, _SLUG, _WITHDRAWN
    ),
    ReceiptExpectation("pack.installed", _at("outcome.pack_version_id"), PackVersion, _id(ids.PACK_VERSION)),
    ReceiptExpectation("pack.removed", _at("inputs.pack"), Pack, _text, _SLUG, _WITHDRAWN),
    ReceiptExpectation("policy.version_drafted", _VERSION, PolicyVersion, _id(ids.POLICY_VERSION)),
    ReceiptExpectation(
        "policy.emergency_announced", _VERSION, EmergencyPublication, _id(ids.POLICY_VERSION), _OF_VERSION
    ),
    ReceiptExpectation(
        "policy.published_in_emergency",
        _VERSION,
        EmergencyPublication,
        _id(ids.POLICY_VERSION),
        _OF_VERSION,
        ~Q(status__in=["announced", "withdrawn"]),
    ),
    ReceiptExpectation(
        "policy.emergency_confirmed",
        _VERSION,
        EmergencyPublication,
        _id(ids.POLICY_VERSION),
        _OF_VERSION,
        Q(status="confirmed"),
    ),
    ReceiptExpectation(
        "policy.emergency_ended",
        _VERSION,
        EmergencyPublication,
        _id(ids.POLICY_VERSION),
        _OF_VERSION,
        Q(status__in=["ended", "replaced", "withdrawn"]),
    ),
    ReceiptExpectation("overlay.added", _OVERLAY, Overlay, _id(ids.OVERLAY)),
    ReceiptExpectation("policy.shadow_started", _SHADOW, PolicyShadow, _id(ids.POLICY_SHADOW)),
    ReceiptExpectation(
        "policy.shadow_ended", _SHADOW, PolicyShadow, _id(ids.POLICY_SHADOW), condition=Q(ended_at__isnull=False)
    ),
    ReceiptExpectation("policy.replay_requested", _REPLAY, PolicyReplay, _id(ids.POLICY_REPLAY)),
    ReceiptExpectation(
        "policy.replayed", _REPLAY, PolicyReplay, _id(ids.POLICY_REPLAY), condition=Q(status="finished")
    ),
    ReceiptExpectation(
        "policy.replay_failed", _REPLAY, PolicyReplay, _id(ids.POLICY_REPLAY), condition=Q(status="failed")
    ),
    ReceiptExpectation(
        "policy.replay_cancelled", _REPLAY, PolicyReplay, _id(ids.POLICY_REPLAY), condition=Q(status="cancelled")
    ),
    ReceiptExpectation(
        "integration.version_added",
        _at("outcome.integration_version_id"),
        IntegrationVersion,
        _id(ids.INTEGRATION_VERSION),
    ),
    ReceiptExpectation("integration.withdrawn", _at("subject.integration_id"), Integration, _text, _SLUG, _WITHDRAWN),
    ReceiptExpectation("secret.stored", _SECRET, StoredSecret, _text, ("slug", "number"), Q(number=1)),
    ReceiptExpectation("secret.changed", _SECRET, StoredSecret, _text, ("slug", "number"), Q(number__gt=1)),
    ReceiptExpectation("freeze.set", _FREEZE, Freeze, _id(ids.FREEZE)),
    ReceiptExpectation("freeze.lifted", _FREEZE, Freeze, _id(ids.FREEZE), condition=_LIFTED),
    ReceiptExpectation("delegation.created", _DELEGATION, Delegation, _id(ids.DELEGATION)),
    ReceiptExpectation(
        "delegation.consented",
        _DELEGATION,
        Delegation,
        _id(ids.DELEGATION),
        condition=Q(consented_at__isnull=False) & ~Q(created_by=F("delegator_id")),
        other_kinds=("delegation.confirmed",),
    ),
    ReceiptExpectation(
        "delegation.ended", _DELEGATION, Delegation, _id(ids.DELEGATION), condition=Q(ended_at__isnull=False)
    ),
    ReceiptExpectation("telemetry.exported", _EXPORT, TelemetryExport, _id(ids.EXPORT)),
    ReceiptExpectation(
        "telemetry.export_made",
        _ready_export_key,
        TelemetryExport,
        _id(ids.EXPORT),
        condition=Q(ready_at__isnull=False),
        other_kinds=("telemetry.exported",),
    ),
    ReceiptExpectation(
        "telemetry.export_failed", _EXPORT, TelemetryExport, _id(ids.EXPORT), condition=Q(status="failed")
    ),
    ReceiptExpectation(
        "telemetry.export_expired", _EXPORT, TelemetryExport, _id(ids.EXPORT), condition=Q(status="expired")
    ),
    ReceiptExpectation(
        "telemetry.export_cancelled", _EXPORT, TelemetryExport, _id(ids.EXPORT), condition=Q(status="cancelled")
    ),
    ReceiptExpectation("telemetry.delivery_configured", _DELIVERY, Delivery, _text, _SLUG),
    ReceiptExpectation("telemetry.delivery_paused", _DELIVERY, Delivery, _text, _SLUG, Q(status="paused")),
    ReceiptExpectation("telemetry.delivery_removed", _DELIVERY, Delivery, _text, _SLUG, Q(status="removed")),
    ReceiptExpectation("legal_hold.set", _HOLD, LegalHold, _id(ids.LEGAL_HOLD), condition=_CASE_EXISTS),
    ReceiptExpectation("legal_hold.lifted", _HOLD, LegalHold, _id(ids.LEGAL_HOLD), condition=_CASE_EXISTS & _LIFTED),
    *(
        ReceiptExpectation(f"permit.{verb}", _PERMIT, Permit, _id(ids.PERMIT), condition=condition)
        for verb, condition in (
            ("proposed", Q()),
            ("in_effect", Q(in_effect_at__isnull=False) | Q(status="in_effect")),
            ("narrowed", Q(narrowed_at__isnull=False)),
            ("revoked", Q(revoked_at__isnull=False)),
        )
    ),
    ReceiptExpectation(
        "permit.approved",
        _at("inputs.permit_id", "inputs.vote"),
        PermitApproval,
        _ids(ids.PERMIT, ids.VOTE),
        ("permit_id", "vote_id"),
    ),
    *(
        ReceiptExpectation(
            f"permit.{verb}",
            _PERMIT_USE,
            PermitUse,
            _ids(ids.PERMIT, ids.EXECUTION),
            ("permit_id", "execution_id"),
            condition,
        )
        for verb, condition in (("used", Q()), ("returned", Q(returned_at__isnull=False)))
    ),
    ReceiptExpectation(
        "retention_rule.version_added",
        _at("outcome.retention_version_id"),
        RetentionRuleVersion,
        _id(ids.RETENTION_VERSION),
    ),
    ReceiptExpectation("retention_rule.withdrawn", _at("inputs.rule"), RetentionRule, _text, _SLUG, _WITHDRAWN),
    ReceiptExpectation("retention.planned", _RUN, RetentionRun, _id(ids.RETENTION_RUN)),
    ReceiptExpectation(
        "retention.batch_applied", _RUN, RetentionRun, _id(ids.RETENTION_RUN), condition=Q(batches__gt=0)
    ),
    ReceiptExpectation(
        "retention.run_finished", _RUN, RetentionRun, _id(ids.RETENTION_RUN), condition=Q(status="finished")
    ),
    ReceiptExpectation(
        "subject.erased",
        _at("inputs.subject_id"),
        DataSubject,
        _id(ids.DATA_SUBJECT),
        condition=Q(erased_at__isnull=False),
    ),
)

EXPECTED_DELETION_RECEIPTS: Final = (
    DeletionExpectation("overlay.removed", "overlay.added", _OVERLAY, Overlay, _id(ids.OVERLAY)),
    DeletionExpectation("channel.removed", "channel.created", _at("subject.channel_id"), Channel, _text, _SLUG),
    DeletionExpectation("group.removed", "group.defined", _at("inputs.group"), PeopleGroup, _text, _SLUG),
    DeletionExpectation(
        "member.removed", "member.added", _at("inputs.principal"), Membership, _id(ids.PRINCIPAL), ("user_id",)
    ),
    DeletionExpectation("secret.removed", "secret.stored", _at("inputs.secret_id"), StoredSecret, _text, _SLUG),
)
