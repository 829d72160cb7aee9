"""Services for lists and their versions."""

from __future__ import annotations

from policies.documents.list import ListDocument
from policies.locks import locked_by_slug
from policies.models import List, ListVersion
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.upsert import Change, UpsertResult, next_number


def upsert_list(slug: str, document: ListDocument, *, ctx: ActingContext) -> UpsertResult[List]:
    """Create or update the list `slug`, effective from the next decision on.

    A version is added only if the items or their order differ from the current version. Receipt: `list.version_added`,
    with the digest of the items, never the items.
    """
    require_unit_of_work(ctx.tenant_id)
    row, _ = locked_by_slug(List, slug, ctx=ctx)
    current = None
    if row.current_version_id is not None:
        current = ListVersion.objects.defer("items").get(tenant_id=ctx.tenant_id, id=row.current_version_id)
    items = list(document.items)
    items_sha256 = canonical_sha256(items)
    if current is not None and current.items_sha256 == items_sha256:
        return UpsertResult(row, Change.UNCHANGED)
    version = ListVersion.objects.create(
        tenant_id=ctx.tenant_id,
        list=row,
        number=next_number(row.versions),
        revision=ctx.revision,
        items=items,
        items_sha256=items_sha256,
        created_by=None if ctx.is_system else ctx.principal_id,
    )
    row.current_version = version
    row.save(update_fields=["current_version"])
    record(
        Entry(
            kind="list.version_added",
            inputs={"list": slug, "items_sha256": items_sha256},
            outcome={"number": version.number, "items": len(items)},
        ),
        ctx=ctx,
    )
    return UpsertResult(row, Change.CREATED if current is None else Change.CHANGED)
