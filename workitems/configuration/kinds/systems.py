"""`kind: Integration` documents. They contain references to secrets, never values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from integrations import selectors
from integrations.configuration.configure import upsert_integration, withdraw_integration
from integrations.documents import integration_schemas
from threada_site.kernel.context import ActingContext
from threada_site.kernel.documents.kind_schema import KindSchema
from threada_site.kernel.documents.structure import Schema
from threada_site.tenancy.upsert import Change
from workitems.configuration.kinds.base import Applied, Kind, Stored, Written, diff, whole

LABEL: Final = {"name": {"type": ["string", "null"], "description": "Label."}}
_HEADER: Final = KindSchema("Integration", {"type": "object"}, header=LABEL)
"""The spec is checked by the schema of its connector."""


def _schema() -> Schema:
    connectors = integration_schemas()
    choices = [
        {"if": {"properties": {"connector": {"const": name}}}, "then": {"$ref": f"#/$defs/integration-{name}"}}
        for name in connectors
    ]
    spec = {
        "type": "object",
        "description": "An external system, its address and its actions.",
        "properties": {"connector": {"enum": list(connectors), "description": "Kind of the external system."}},
        "required": ["connector"],
        "allOf": choices,
    }
    definitions = {f"integration-{name}": schema for name, schema in connectors.items()}
    return KindSchema("Integration", spec, definitions, header=LABEL).schema


def _apply(value: Written, ctx: ActingContext) -> Applied:
    document = _HEADER.parse(value)
    document.errors.raise_any(value=value)
    slug, spec = str(document.id), dict(document.spec)
    before = selectors.integration_by_slug(slug, ctx=ctx)
    old = before.current_version.spec if before and before.current_version else None
    result = upsert_integration(slug, spec, ctx=ctx, name=value.get("name") or None)
    change = Change.CREATED if old is None and result.change is Change.CHANGED else result.change
    return Applied("Integration", slug, change, diff(old, spec))


def _export(ctx: ActingContext) -> Iterator[Stored]:
    for row in selectors.integrations(ctx).filter(current_version__isnull=False).order_by("slug"):
        assert row.current_version is not None  # noqa: S101 - left out above
        yield Stored(row.slug, whole("Integration", row.slug, row.current_version.spec, name=row.name))


INTEGRATION = Kind(_schema, _apply, _export, lambda name, ctx: withdraw_integration(name, ctx=ctx))
