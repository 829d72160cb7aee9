"""End of the mappings of trusted issuers that let tokens act as one principal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel.context import SYSTEM_PRINCIPAL_ID, ActingContext
from threada_site.tenancy.trusted_issuer_models import TrustedIssuer
from threada_site.tenancy.versioned_documents import put_version


def end_mappings(name: str, *, ctx: ActingContext) -> tuple[str, ...]:
    """Let no token of a trusted issuer act as the principal `name`. Return the mappings: `<trusted issuer>/<index>`.

    A mapping to the name is left out of the next version, and one that takes the name from a claim gets a condition. An
    issuer without another mapping is withdrawn. Receipts `trusted_issuer.version_added` and `trusted_issuer.withdrawn`.
    The author of the remaining mappings stays the author; exchanged tokens of the issuer end. The caller checks
    permissions.
    """
    require_unit_of_work(ctx.tenant_id)
    rows = TrustedIssuer.objects.select_for_update(of=("self",)).select_related("current_version")
    ended: list[str] = []
    for row in rows.filter(tenant_id=ctx.tenant_id, current_version__isnull=False).order_by("slug"):
        assert row.current_version is not None  # noqa: S101 - left out by the filter
        spec = row.current_version.spec
        kept = without(spec["mappings"], name)
        changed = [index for index, mapping in enumerate(kept) if mapping != spec["mappings"][index]]
        if not changed:
            continue
        ended += [f"{row.slug}/{index}" for index in changed]
        left = [mapping for mapping in kept if mapping is not None]
        if left:
            _put(row, {**spec, "mappings": left}, ctx=ctx)
        else:
            row.current_version = row.issuer = row.audience = None
            row.save(update_fields=["current_version", "issuer", "audience"])
            record(Entry(kind="trusted_issuer.withdrawn", inputs={"trusted_issuer": row.slug}), ctx=ctx)
    return tuple(ended)


def without(mappings: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any] | None]:
    """Return the mappings as they must be so that none gives `name`; None for one that gives nothing else. Pure."""
    kept: list[Mapping[str, Any] | None] = []
    for mapping in mappings:
        if "principal_from" in mapping:
            condition = f" && ({mapping['principal_from']}) != {json.dumps(name)}"
            when = mapping["when"]
            kept.append(mapping if when.endswith(condition) else {**mapping, "when": f"({when}){condition}"})
        else:
            kept.append(None if mapping["principal"] == name else mapping)
    return kept


def _put(row: TrustedIssuer, spec: Mapping[str, Any], *, ctx: ActingContext) -> None:
    assert row.current_version is not None  # noqa: S101 - checked by the caller
    author, proposer = row.current_version.created_by, row.current_version.proposed_by
    as_author = replace(ctx, principal_id=author or SYSTEM_PRINCIPAL_ID)
    put = put_version(row, spec, ctx=as_author, proposed_by=proposer)
    inputs = {
        "trusted_issuer": row.slug,
        "issuer": spec["issuer"],
        "audience": row.audience,
        "spec_sha256": put.version.spec_sha256,
    }
    outcome = {"trusted_issuer_version_id": put.version.public_id, **put.as_outcome()}
    record(Entry(kind="trusted_issuer.version_added", inputs=inputs, outcome=outcome), ctx=ctx)
