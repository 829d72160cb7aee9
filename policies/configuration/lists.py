"""Services for lists and their versions."""

from __future__ import annotations

from policies.documents.list import ListDocument
from policies.locks import locked_by_slug
from policies.models import List
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.upsert import Change, UpsertResult
from threada_site.tenancy.versioned_documents import put_version, says_already


def upsert_list(slug: str, document: ListDocument, *, ctx: ActingContext) -> UpsertResult[List]:
    """Create or update the list `slug`, effective from the next decision on.

    A version is added only if the items or their order differ from the current version. Receipt: `list.version_added`,
    with the digest of the items, never the items.
    """
    require_unit_of_work(ctx.tenant_id)
    row, _ = locked_by_slug(List, slug, ctx=ctx)
    items = list(document.items)
    if says_already(row, items):
        return UpsertResult(row, Change.UNCHANGED)
    put = put_version(row, items, ctx=ctx)
    record(
        Entry(
            kind="list.version_added",
            inputs={"list": slug, "items_sha256": put.version.spec_sha256},
            outcome={"number": put.version.number, "items": len(items)},
        ),
        ctx=ctx,
    )
    return UpsertResult(row, put.change)
