"""`kind: Integration`: secrets are contained by reference, never by value."""

from __future__ import annotations

from collections.abc import Iterator

from integrations import selectors
from integrations.configuration.configure import upsert_integration, withdraw_integration
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.upsert import Change
from workitems.configuration.kinds.base import (
    Applied,
    Kind,
    Stored,
    Written,
    check_fields,
    diff,
    name_of,
    slug_of,
    spec_of,
    whole,
)


def _apply(value: Written, ctx: ActingContext) -> Applied:
    slug = slug_of(value)
    check_fields(value, {})
    spec = spec_of(value)
    before = selectors.integration_by_slug(slug, ctx=ctx)
    old = before.current_version.spec if before and before.current_version else None
    result = upsert_integration(slug, spec, ctx=ctx, name=name_of(value) or "")
    change = Change.CREATED if old is None and result.change is Change.CHANGED else result.change
    return Applied("Integration", slug, change, diff(old, spec))


def _export(ctx: ActingContext) -> Iterator[Stored]:
    for row in selectors.integrations(ctx).filter(current_version__isnull=False).order_by("slug"):
        assert row.current_version is not None  # noqa: S101 - left out above
        yield Stored(row.slug, whole("Integration", row.slug, row.current_version.spec, name=row.name))


INTEGRATION = Kind(_apply, _export, lambda name, ctx: withdraw_integration(name, ctx=ctx))
