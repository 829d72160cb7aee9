"""Resources of policies: versions, emergencies, validations, overlays."""

from __future__ import annotations

from typing import Any, Final

from policies.api.shapes import SCOPE as SCOPE_SCHEMA
from policies.drafts.validation import Validation
from policies.lifecycle import EmergencyStatus, PolicyVersionStatus
from policies.models import EmergencyPublication, PolicyVersion
from telemetry.api.resources.log import RECEIPT_PROMISE
from threada_site.api.resources.field_types import (
    BOOLEAN,
    CANONICAL_SHA256,
    INSTANT,
    MAYBE_INSTANT,
    MAYBE_INTEGER,
    MAYBE_TEXT,
    NUMBER,
    OBJECT,
    OBJECTS,
    SLUG,
    TEXT,
    TEXTS,
    choice,
    inline,
    maybe_public_id,
    public_id,
)
from threada_site.api.resources.resource import Field, FieldType, Resource, field
from threada_site.kernel import ids

SCOPE: Final = FieldType(SCOPE_SCHEMA, lambda scope: scope.as_json())
FIELD_ERRORS: Final = FieldType(OBJECTS.schema, lambda found: [entry.as_json() for entry in found])
_EMERGENCY: Final = inline(
    field("status", choice(EmergencyStatus)),
    field("reason", TEXT),
    field("published_by", FieldType(TEXT.schema, public_id(ids.PRINCIPAL).encode)),
    field("published_at", INSTANT),
    field("takes_effect_at", INSTANT, description="End of the notice to all stewards."),
    field("ends_at", INSTANT),
    field("closed_by", maybe_public_id(ids.PRINCIPAL)),
    field("closed_at", MAYBE_INSTANT),
    or_null=True,
)


def _emergency_field(source: Any) -> Field:
    return field(
        "emergency",
        _EMERGENCY,
        source,
        description="Emergency publication by one person; `open` until a second person confirms it. Null: none.",
    )


def _emergency_of(version: PolicyVersion | None) -> EmergencyPublication | None:
    """Return the newest emergency publication of a version, or None."""
    return max(version.emergencies.all(), key=lambda emergency: emergency.id, default=None) if version else None


def _in_force(attribute: str) -> Any:
    """Source of an attribute of the policy's version in force; None without such a version."""
    return lambda policy: getattr(policy.in_force, attribute, None)


POLICY: Final = Resource(
    "Policy",
    field("policy_id", SLUG, "slug"),
    field(
        "policy_version_id",
        maybe_public_id(ids.POLICY_VERSION),
        "in_force_id",
        description="The version in force; null: none, so the policy denies.",
    ),
    field("version", MAYBE_INTEGER, _in_force("number")),
    field("published_at", MAYBE_INSTANT, _in_force("published_at")),
    _emergency_field(lambda policy: _emergency_of(policy.in_force)),
    field("created_at", INSTANT),
)
POLICY_VERSION: Final = Resource(
    "PolicyVersion",
    field("policy_id", SLUG, "policy.slug"),
    field("policy_version_id", public_id(ids.POLICY_VERSION), "id"),
    field("version", NUMBER, "number"),
    field("status", choice(PolicyVersionStatus)),
    field("in_force", BOOLEAN, lambda version: version.policy.in_force_id == version.id),
    field("document_sha256", CANONICAL_SHA256),
    field("revision", MAYBE_TEXT, description="Revision of the files it was applied from."),
    field("document", OBJECT, is_detail=True, description="Omitted in lists."),
    field("created_by", maybe_public_id(ids.PRINCIPAL)),
    field(
        "written_by",
        FieldType(TEXTS.schema, lambda writers: [ids.public_id(ids.PRINCIPAL, writer) for writer in writers]),
        description="Principals who created or edited it.",
    ),
    field("created_at", INSTANT),
    _emergency_field(_emergency_of),
    field("published_by", maybe_public_id(ids.PRINCIPAL)),
    field("published_at", MAYBE_INSTANT),
    field("retired_by", maybe_public_id(ids.PRINCIPAL)),
    field("retired_at", MAYBE_INSTANT),
)
_WARNINGS: Final = field(
    "warnings",
    FIELD_ERRORS,
    description="Rules that never decide, and rules that exclude nobody. They do not prevent publication.",
)
PUBLISHED_VERSION: Final = Resource("PublishedVersion", *POLICY_VERSION.fields, _WARNINGS, RECEIPT_PROMISE)


def _version_id(_validation: Validation, version: PolicyVersion) -> Any:
    return version.id


def _is_valid(validation: Validation) -> bool:
    return not validation.errors


VALIDATION: Final = Resource(
    "PolicyValidation",
    field("policy_version_id", public_id(ids.POLICY_VERSION), _version_id),
    field("valid", BOOLEAN, _is_valid),
    field(
        "workflows",
        TEXTS,
        description="Workflows whose payload schemas the conditions were checked against.",
    ),
    field("errors", FIELD_ERRORS, description="Pointers into the version's document."),
    _WARNINGS,
)
OVERLAY: Final = Resource(
    "Overlay",
    field("overlay_id", public_id(ids.OVERLAY), "id"),
    field("policy_id", SLUG, "policy.slug"),
    field("scope", SCOPE),
    field("starts_at", MAYBE_INSTANT, "window.starts_at"),
    field("ends_at", MAYBE_INSTANT, "window.ends_at"),
    field("created_by", maybe_public_id(ids.PRINCIPAL)),
    field("created_at", INSTANT),
)
