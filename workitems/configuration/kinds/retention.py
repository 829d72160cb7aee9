"""`kind: Retention` documents."""

from __future__ import annotations

from collections.abc import Iterator

from threada_site.kernel.context import ActingContext
from workitems.configuration.kinds.base import Applied, Kind, Stored, Written, diff, whole
from workitems.models import RetentionRule
from workitems.retention.rules import RETENTION_SCHEMA, parse_retention
from workitems.retention.upsert_rule import upsert_retention_rule, withdraw_retention


def _apply(value: Written, ctx: ActingContext) -> Applied:
    document = parse_retention(value)
    before = RetentionRule.objects.filter(tenant_id=ctx.tenant_id, slug=document.id)
    existing = before.select_related("current_version").first()
    old = existing.current_version.spec if existing and existing.current_version else None
    result = upsert_retention_rule(str(document.id), document, ctx=ctx)
    return Applied("Retention", result.row.slug, result.change, diff(old, document.as_spec()))


def _export(ctx: ActingContext) -> Iterator[Stored]:
    rows = RetentionRule.objects.filter(tenant_id=ctx.tenant_id, current_version__isnull=False)
    for row in rows.select_related("current_version").order_by("slug"):
        assert row.current_version is not None  # noqa: S101 - left out above
        spec = {name: said for name, said in row.current_version.spec.items() if said}
        yield Stored(row.slug, whole("Retention", row.slug, spec))


RETENTION = Kind(lambda: RETENTION_SCHEMA.schema, _apply, _export, lambda name, ctx: withdraw_retention(name, ctx=ctx))
