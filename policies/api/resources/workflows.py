"""Resources of workflows and channels."""

from __future__ import annotations

from typing import Final

from threada_site.api.resources.field_types import (
    BOOLEAN,
    CANONICAL_SHA256,
    INSTANT,
    MAYBE_TEXT,
    NUMBER,
    OBJECT,
    SLUG,
    TEXTS,
    maybe_public_id,
    public_id,
)
from threada_site.api.resources.resource import Resource, field
from threada_site.kernel import ids

WORKFLOW: Final = Resource(
    "Workflow",
    field("workflow_id", SLUG, "slug"),
    field("name", MAYBE_TEXT),
    field("workflow_version_id", public_id(ids.WORKFLOW_VERSION), "current_version.id"),
    field("version", NUMBER, "current_version.number"),
    field("actions", TEXTS, lambda workflow: workflow.current_version.spec["actions"]),
    field("channel_required", BOOLEAN, lambda workflow: workflow.current_version.spec["channel_required"]),
    field("spec", OBJECT, "current_version.spec", is_detail=True, description="Omitted in lists."),
    field("created_at", INSTANT),
)
WORKFLOW_VERSION: Final = Resource(
    "WorkflowVersion",
    field("workflow_id", SLUG, "workflow.slug"),
    field("workflow_version_id", public_id(ids.WORKFLOW_VERSION), "id"),
    field("version", NUMBER, "number"),
    field("spec_sha256", CANONICAL_SHA256),
    field("revision", MAYBE_TEXT, description="Revision of the files it was applied from."),
    field("spec", OBJECT, is_detail=True, description="Omitted in lists."),
    field("created_by", maybe_public_id(ids.PRINCIPAL)),
    field("created_at", INSTANT),
)
CHANNEL: Final = Resource(
    "Channel",
    field("channel_id", SLUG, "slug"),
    field("name", MAYBE_TEXT),
    field("created_at", INSTANT),
)
