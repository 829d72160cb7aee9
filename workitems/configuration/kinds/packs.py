"""`kind: Pack`: the bundle itself. Its documents are applied together with it, like files of the folder."""

from __future__ import annotations

from collections.abc import Iterator

from policies import selectors
from policies.configuration.packs import release_pack, upsert_pack
from policies.documents.pack import PACK_SCHEMA, parse_pack
from threada_site.kernel.context import ActingContext
from workitems.configuration.kinds.base import Applied, Kind, Stored, Written, diff, whole


def _apply(value: Written, ctx: ActingContext) -> Applied:
    document = parse_pack(value)
    before = selectors.pack_by_slug(document.id, ctx=ctx)
    old = before.current_version.spec if before and before.current_version else None
    result = upsert_pack(document, ctx=ctx)
    return Applied("Pack", document.id, result.change, diff(old, document.as_spec()))


def _export(ctx: ActingContext) -> Iterator[Stored]:
    for pack in selectors.packs(ctx).order_by("slug"):
        assert pack.current_version is not None  # noqa: S101 - selectors leave out packs without one
        yield Stored(pack.slug, whole("Pack", pack.slug, pack.current_version.spec))


PACK = Kind(lambda: PACK_SCHEMA.schema, _apply, _export, lambda name, ctx: release_pack(name, ctx=ctx))
