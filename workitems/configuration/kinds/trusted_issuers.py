"""`kind: TrustedIssuer` documents."""

from __future__ import annotations

from collections.abc import Iterator

from threada_site.identity.trusted_issuers.configure import upsert_trusted_issuer, withdraw_trusted_issuer
from threada_site.identity.trusted_issuers.document import TRUSTED_ISSUER_SCHEMA, parse_trusted_issuer
from threada_site.identity.trusted_issuers.selectors import trusted_issuer_by_slug, trusted_issuers
from threada_site.kernel.context import ActingContext
from workitems.configuration.kinds.base import Applied, Kind, Stored, Written, diff, whole


def _apply(value: Written, ctx: ActingContext) -> Applied:
    document = parse_trusted_issuer(value)
    slug = str(document.id)
    before = trusted_issuer_by_slug(slug, tenant_id=ctx.tenant_id)
    old = before.current_version.spec if before and before.current_version else None
    result = upsert_trusted_issuer(slug, document, ctx=ctx)
    return Applied("TrustedIssuer", slug, result.change, diff(old, dict(document.spec)))


def _export(ctx: ActingContext) -> Iterator[Stored]:
    for row in trusted_issuers(ctx.tenant_id):
        assert row.current_version is not None  # noqa: S101 - selectors leave out withdrawn ones
        yield Stored(row.slug, whole("TrustedIssuer", row.slug, row.current_version.spec))


TRUSTED_ISSUER = Kind(
    lambda: TRUSTED_ISSUER_SCHEMA.schema, _apply, _export, lambda name, ctx: withdraw_trusted_issuer(name, ctx=ctx)
)
