"""Resources of packs and their versions."""

from __future__ import annotations

from typing import Any, Final

from policies.documents.pack import MAX_VERSION, PACKED_KINDS
from policies.models import Pack
from threada_site.api.resources.field_types import (
    INSTANT,
    MAYBE_TEXT,
    NUMBER,
    OBJECT,
    SLUG,
    TEXT,
    TEXTS,
    array,
    choice,
    inline,
    maybe_public_id,
    public_id,
)
from threada_site.api.resources.resource import Field, Resource, field, given
from threada_site.kernel import ids


def _version_fields(*, slug: str, version: str = "") -> tuple[Field, ...]:
    """Fields of a version: `slug` is the path of the pack's id, `version` the prefix of the version's attributes."""
    return (
        field("pack_id", SLUG, slug),
        field("pack_version_id", public_id(ids.PACK_VERSION), f"{version}id"),
        field("number", NUMBER, f"{version}number"),
        field("version", TEXT, f"{version}label", maxLength=MAX_VERSION),
        field("spec_sha256", TEXT, f"{version}spec_sha256"),
        field("revision", MAYBE_TEXT, f"{version}revision"),
        field("created_by", maybe_public_id(ids.PRINCIPAL), f"{version}created_by"),
        field("created_at", INSTANT, f"{version}created_at"),
    )


def _members(pack: Pack) -> Any:
    return pack.members.order_by("kind", "name")


PACK: Final = Resource(
    "Pack",
    *_version_fields(slug="slug", version="current_version."),
    field("name", MAYBE_TEXT),
    field(
        "members",
        array(inline(field("kind", choice(PACKED_KINDS)), field("name", TEXT))),
        _members,
        is_detail=True,
        description="Left out in lists.",
    ),
    field("spec", OBJECT, "current_version.spec", is_detail=True, description="Left out in lists."),
)
PACK_VERSION: Final = Resource("PackVersion", *_version_fields(slug="pack.slug"))
PACK_INSTALLED: Final = Resource(
    "PackInstalled",
    *PACK_VERSION.fields,
    given("created", TEXTS),
    given("changed", TEXTS),
    given("removed", TEXTS, description="Documents of the previous version that this version does not contain."),
)
