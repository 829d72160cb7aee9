"""Configuration of trusted issuers. Every change adds a version, effective for the next request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.db import IntegrityError, transaction

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.confirmation import require_second_steward, require_stepped_up_person
from threada_site.identity.grants.role_grants import require_roles
from threada_site.identity.owners import depend_on_authors, owner_named
from threada_site.identity.slugs import require_slug
from threada_site.identity.stewardship import require_steward
from threada_site.identity.trusted_issuers.audiences import default_audience, is_audience_of
from threada_site.identity.trusted_issuers.document import TrustedIssuerDocument, parse_trusted_issuer
from threada_site.jobs.enqueue import ISSUER_QUEUE, enqueue
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.kernel.errors import DocumentInvalid, FieldError
from threada_site.tenancy.change_sets import operation, proposer_of
from threada_site.tenancy.quotas.kinds import Quota
from threada_site.tenancy.quotas.require import require_quota
from threada_site.tenancy.trusted_issuer_models import FETCH_KEYS, TrustedIssuer, keys_source
from threada_site.tenancy.upsert import Change, UpsertResult
from threada_site.tenancy.versioned_documents import put_version, says_already

_NOUN: Final = "a trusted issuer"
_TAKEN: Final = "This issuer and audience cannot be used here. Choose another audience below {prefix}/."


def upsert_trusted_issuer(
    slug: str, document: TrustedIssuerDocument, *, ctx: ActingContext
) -> UpsertResult[TrustedIssuer]:
    """Create or change a trusted issuer. Receipt `trusted_issuer.version_added`. A job fetches its keys.

    Raise `DocumentInvalid` for an audience of another tenant, an unknown role or owner; `PersonRequired`,
    `StepUpRequired`; `Conflict` if issuer and audience are taken; `ConfirmationRequired` where a second steward must
    confirm it.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    require_slug(slug, naming="trusted issuer")
    spec = dict(document.spec)
    audience = _checked_audience(document.audience, ctx=ctx)
    _check_names(spec, ctx=ctx)
    rows = TrustedIssuer.objects.select_for_update(of=("self",)).select_related("current_version")
    row = rows.filter(tenant_id=ctx.tenant_id, slug=slug).first()
    if row is not None and row.audience == audience and says_already(row, spec):
        return UpsertResult(row, Change.UNCHANGED)
    require_stepped_up_person(_NOUN, ctx=ctx)
    current = row.current_version.spec if row is not None and row.current_version is not None else None
    require_second_steward(
        "put_trusted_issuer",
        f"Change the trusted issuer {slug}" if current else f"Trust the issuer {slug}",
        {"trusted_issuer": slug, "spec": spec},
        before=None if current is None else {slug: current},
        after={slug: spec},
        ctx=ctx,
    )
    if current is None:
        require_quota(Quota.TRUSTED_ISSUERS, ctx=ctx)
    row = _with_pair(row, slug, str(spec["issuer"]), audience, ctx=ctx)
    proposer = proposer_of(ctx)
    put = put_version(row, spec, ctx=ctx, proposed_by=proposer)
    depend_on_authors(spec, (put.version.created_by, proposer), ctx=ctx)
    record(
        Entry(
            kind="trusted_issuer.version_added",
            inputs={
                "trusted_issuer": slug,
                "issuer": spec["issuer"],
                "audience": audience,
                "spec_sha256": put.version.spec_sha256,
            },
            outcome={"trusted_issuer_version_id": put.version.public_id, **put.as_outcome()},
        ),
        ctx=ctx,
    )
    if keys_source(spec) not in ("", row.keys_source):
        enqueue(FETCH_KEYS, tenant_id=ctx.tenant_id, queue=ISSUER_QUEUE, issuer_id=str(row.id))
    return UpsertResult(row, put.change)


def withdraw_trusted_issuer(slug: str, *, ctx: ActingContext) -> None:
    """Accept no more tokens of a trusted issuer; its versions stay. Receipt `trusted_issuer.withdrawn`.

    Raise `NotFound`, `PersonRequired`, `StepUpRequired`, `ConfirmationRequired`.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    require_stepped_up_person(_NOUN, ctx=ctx)
    rows = TrustedIssuer.objects.select_for_update(of=("self",)).select_related("current_version")
    row = rows.filter(tenant_id=ctx.tenant_id, slug=slug, current_version__isnull=False).first()
    if row is None or row.current_version is None:
        raise errors.NotFound
    require_second_steward(
        "withdraw_trusted_issuer",
        f"Withdraw the trusted issuer {slug}",
        {"trusted_issuer": slug},
        before={slug: row.current_version.spec},
        after=None,
        ctx=ctx,
    )
    row.current_version = row.issuer = row.audience = None
    row.save(update_fields=["current_version", "issuer", "audience"])
    record(Entry(kind="trusted_issuer.withdrawn", inputs={"trusted_issuer": slug}), ctx=ctx)


def _checked_audience(named: str, *, ctx: ActingContext) -> str:
    """Return the audience, if the tenant may use it."""
    own = default_audience(ctx.tenant_slug)
    audience = named or own
    if not audience:
        raise DocumentInvalid(
            "The instance has no public URL, so there is no default audience. Ask the operator to set "
            "THREADA_PUBLIC_URL.",
            errors=[FieldError("/spec/audience", "has no default without THREADA_PUBLIC_URL", "missing")],
        )
    if not is_audience_of(ctx.tenant_slug, audience):
        raise DocumentInvalid(
            f"The audience must be {own or 'the public URL, / and the tenant'} or begin with it and /. The operator "
            "can allow others in THREADA_WORKLOAD_AUDIENCES.",
            errors=[FieldError("/spec/audience", "is not an audience of this tenant", "not_allowed")],
        )
    return audience


def _check_names(spec: Mapping[str, Any], *, ctx: ActingContext) -> None:
    for index, mapping in enumerate(spec["mappings"]):
        try:
            require_roles(mapping.get("roles", ()), ctx=ctx)
            create = mapping.get("create")
            if create is not None:
                owner_named(create["owner"], of=PrincipalKind(create["kind"]), ctx=ctx)
        except errors.InvalidRequest as error:
            place = FieldError(f"/spec/mappings/{index}", error.detail, "unknown")
            raise DocumentInvalid(error.detail, errors=[place]) from None


def _with_pair(
    row: TrustedIssuer | None, slug: str, issuer: str, audience: str, *, ctx: ActingContext
) -> TrustedIssuer:
    """Store issuer and audience. Raise `Conflict` if another trusted issuer, also of another tenant, has them."""
    try:
        with transaction.atomic():
            if row is None:
                return TrustedIssuer.objects.create(
                    tenant_id=ctx.tenant_id, slug=slug, issuer=issuer, audience=audience
                )
            row.issuer, row.audience = issuer, audience
            row.save(update_fields=["issuer", "audience"])
    except IntegrityError as error:
        if "trustedissuer_pair_once" not in str(error):
            raise
        raise errors.Conflict(_TAKEN.format(prefix=default_audience(ctx.tenant_slug))) from None
    return row


@operation("identity.put_trusted_issuer")
def _put(said: Mapping[str, Any], ctx: ActingContext) -> None:
    upsert_trusted_issuer(said["trusted_issuer"], parse_trusted_issuer(said["spec"]), ctx=ctx)


@operation("identity.withdraw_trusted_issuer")
def _withdraw(said: Mapping[str, Any], ctx: ActingContext) -> None:
    withdraw_trusted_issuer(said["trusted_issuer"], ctx=ctx)
