"""Services for lists and their versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies.documents.list import ListDocument, parse_list
from policies.drafts.cost_check import check_list_growth
from policies.locks import locked_by_slug
from policies.models import List
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.change_sets import operation, require_policy_confirmation
from threada_site.tenancy.upsert import Change, UpsertResult
from threada_site.tenancy.versioned_documents import (
    put_version,
    says_already,
    source_argument,
    store_source,
    with_source,
)


def upsert_list(slug: str, document: ListDocument, *, ctx: ActingContext) -> UpsertResult[List]:
    """Create or update the list `slug`, effective from the next decision on.

    A version is added only if the items or their order differ from the current version. Receipt: `list.version_added`,
    with the digest of the items, never the items. Raises `RulesTooExpensive`.
    """
    require_unit_of_work(ctx.tenant_id)
    row, _ = locked_by_slug(List, slug, ctx=ctx)
    items = list(document.items)
    if says_already(row, items):
        store_source("List", slug, canonical_sha256(items), ctx.source, ctx=ctx)
        return UpsertResult(row, Change.UNCHANGED)
    current = row.current_version.spec if row.current_version else []
    check_list_growth(slug, before=len(current), after=len(items), ctx=ctx)
    require_policy_confirmation(
        "list.put",
        f"Change the list {slug}" if row.current_version else f"Create the list {slug}",
        arguments={"list": slug, "items": items, **source_argument(ctx)},
        before={"list": slug, "items": row.current_version.spec} if row.current_version else None,
        after={"list": slug, "items": items},
        ctx=ctx,
    )
    put = put_version(row, items, ctx=ctx)
    store_source("List", slug, put.version.spec_sha256, ctx.source, ctx=ctx)
    record(
        Entry(
            kind="list.version_added",
            inputs={"list": slug, "items_sha256": put.version.spec_sha256},
            outcome={"number": put.version.number, "items": len(items)},
        ),
        ctx=ctx,
    )
    return UpsertResult(row, put.change)


@operation("list.put", scope=Scope.POLICIES_PUBLISH)
def _put(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    upsert_list(arguments["list"], parse_list({"items": arguments["items"]}), ctx=with_source(arguments, ctx))
