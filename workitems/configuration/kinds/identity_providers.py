"""`kind: IdentityProvider` documents. They contain a reference to the client's secret, never its value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from integrations.attempts.failures import TransportFailure
from integrations.secrets.access import check_references, require_confidential
from integrations.secrets.references import parse_reference
from threada_site.identity.providers.configure import upsert_provider, withdraw_provider
from threada_site.identity.providers.documents import SAML, SCHEMA, parse_provider
from threada_site.identity.providers.saml_metadata import metadata_source
from threada_site.identity.selectors import identity_provider, identity_providers
from threada_site.kernel.context import ActingContext, EntryPoint
from threada_site.kernel.errors import DocumentInvalid, FieldError, InvalidRequest
from threada_site.kernel.extras import require_extra
from threada_site.tenancy.models import IdentityProvider
from threada_site.tenancy.upsert import UpsertResult
from workitems.configuration.kinds.base import Applied, Kind, Stored, Written, diff, whole


def put_identity_provider(
    slug: str, spec: dict[str, Any], *, ctx: ActingContext, pointer: str = "/spec"
) -> UpsertResult[IdentityProvider]:
    """Put a parsed spec into force, after checks of its issuer and its secret.

    The operator's command may name any secret; others only those that the operator listed for the issuer. Raise
    `DocumentInvalid`, `SecretReferenceNotAllowed`, `SecretOriginRefused`, and the errors of `upsert_provider`.
    """
    is_saml = spec["protocol"] == SAML
    if is_saml:
        require_extra("saml", use="`protocol: saml`")
    name, address = ("metadata", metadata_source(spec["metadata"])) if is_saml else ("issuer", spec["issuer"])
    try:
        require_confidential(address)
    except TransportFailure as failure:
        raise DocumentInvalid(errors=[FieldError(f"{pointer}/{name}", failure.detail, "not_confidential")]) from None
    if "client_secret" in spec:
        try:
            reference = parse_reference(spec["client_secret"])
        except ValueError as error:
            raise DocumentInvalid(errors=[FieldError(f"{pointer}/client_secret", str(error), "secret")]) from None
        if not (ctx.is_system and ctx.entry_point is EntryPoint.COMMAND):
            check_references([reference], sent_to=spec["issuer"], pointer=f"{pointer}/client_secret", ctx=ctx)
    try:
        return upsert_provider(slug, spec, ctx=ctx)
    except InvalidRequest as error:
        raise DocumentInvalid(errors=[FieldError(f"{pointer}/roles", error.detail, "unknown_role")]) from None


def _apply(value: Written, ctx: ActingContext) -> Applied:
    slug, spec = parse_provider(value)
    before = identity_provider(str(slug), tenant_id=ctx.tenant_id)
    old = before.current_version.spec if before and before.current_version else None
    result = put_identity_provider(str(slug), spec, ctx=ctx)
    return Applied("IdentityProvider", str(slug), result.change, diff(old, spec))


def _export(ctx: ActingContext) -> Iterator[Stored]:
    for row in identity_providers(ctx.tenant_id):
        assert row.current_version is not None  # noqa: S101 - left out by the selector
        yield Stored(row.slug, whole("IdentityProvider", row.slug, row.current_version.spec))


IDENTITY_PROVIDER = Kind(lambda: SCHEMA.schema, _apply, _export, lambda name, ctx: withdraw_provider(name, ctx=ctx))
