"""Exchange of a token of a trusted issuer for a short-lived Threada token (RFC 8693)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.trusted_issuers.audiences import default_audience
from threada_site.identity.trusted_issuers.selectors import live_exchanged_tokens
from threada_site.identity.trusted_issuers.verification import VerifiedToken
from threada_site.kernel import clock, errors, tokens
from threada_site.kernel.context import ActingContext, PrincipalKind, Scope, with_implied
from threada_site.tenancy.models import Credential
from threada_site.tenancy.quotas.kinds import ADVICE, NAMES, Quota
from threada_site.tenancy.quotas.require import require_quota

_HINT_LENGTH = 10


@dataclass(frozen=True, slots=True)
class ExchangedToken:
    """New token, which cannot be read again, with its scopes that the principal holds at the moment."""

    token: str
    scopes: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime

    @property
    def seconds(self) -> int:
        """Return the whole seconds for which the token is valid."""
        return int((self.expires_at - self.issued_at).total_seconds())


def exchange_token(
    verified: VerifiedToken, *, scopes: Sequence[str], targets: Sequence[str], ctx: ActingContext
) -> ExchangedToken:
    """Issue a credential of the principal of `ctx`, which a verified token names. Receipt `credential.issued`.

    It has the roles of the mapping, those of its scopes that `scopes` names (none: all), and ends when the verified
    token does, at the latest. It is not valid any more once another version of the trusted issuer is in force.
    `targets` are the audiences that the client names; each must be the tenant's.

    Raise `TokenTargetInvalid`, `TokenScopeInvalid`, `WorkloadTokenExpired`, `QuotaExceeded`.
    """
    require_unit_of_work(ctx.tenant_id)
    _check_kind(ctx)
    _check_targets(targets, verified, ctx=ctx)
    asked = _asked(scopes, verified)
    held = tuple(sorted(scope.value for scope in with_implied(asked) if ctx.has_scope_anywhere(scope)))
    if not held:
        raise errors.TokenScopeInvalid(f"The roles of {ctx.principal_name} hold none of these scopes.")
    now = clock.now()
    if verified.expires_at <= now:
        raise errors.WorkloadTokenExpired
    _check_quotas(ctx)
    token = tokens.new_token()
    digest = tokens.digest(verified.token.text)
    credential = Credential.objects.create(
        tenant_id=ctx.tenant_id,
        user_id=ctx.principal_id,
        token_sha256=tokens.digest(token),
        hint=token[:_HINT_LENGTH],
        label=f"Exchanged, {verified.issuer.slug}",
        scopes=sorted(asked),
        roles=None if verified.mapped.roles is None else list(verified.mapped.roles),
        issued_by=verified.issuer.created_by or ctx.principal_id,
        trusted_issuer_version_id=verified.issuer.version_id,
        subject_token_sha256=digest,
        expires_at=verified.expires_at,
    )
    inputs = {
        "credential": credential.public_id,
        "principal": ctx.actor,
        "scopes": sorted(asked),
        "expires_at": clock.rfc3339(verified.expires_at),
        "exchanged": {"trusted_issuer": verified.issuer.slug, "subject_token_sha256": digest.hex()},
    }
    record(Entry(kind="credential.issued", inputs=inputs), ctx=ctx)
    return ExchangedToken(token, held, now, verified.expires_at)


def _check_kind(ctx: ActingContext) -> None:
    if ctx.principal_kind is PrincipalKind.HUMAN:
        raise errors.WorkloadIsPerson


def _check_targets(targets: Sequence[str], verified: VerifiedToken, *, ctx: ActingContext) -> None:
    base = settings.THREADA_PUBLIC_URL.rstrip("/")
    accepted = {base, f"{base}/", default_audience(ctx.tenant_slug), verified.issuer.audience} - {"", "/"}
    if any(target not in accepted for target in targets):
        raise errors.TokenTargetInvalid


def _asked(scopes: Sequence[str], verified: VerifiedToken) -> frozenset[Scope]:
    """Return the scopes of the mapping, or those of them that the client names."""
    mapped = frozenset(Scope(scope) for scope in verified.mapped.scopes)
    beyond = sorted(name for name in scopes if name not in Scope or Scope(name) not in with_implied(mapped))
    if beyond:
        raise errors.TokenScopeInvalid(f"The trusted issuer does not allow the scope {beyond[0][:63]!r}.")
    return frozenset(map(Scope, scopes)) or mapped


def _check_quotas(ctx: ActingContext) -> None:
    most = settings.THREADA_EXCHANGED_TOKENS
    used = live_exchanged_tokens(ctx.tenant_id).filter(user_id=ctx.principal_id)[: most + 1].count()
    if used >= most:
        raise errors.QuotaExceeded(
            f"{ctx.principal_name} has {used} {NAMES[Quota.EXCHANGED_TOKENS]}; {most} are allowed. "
            f"{ADVICE[Quota.EXCHANGED_TOKENS]}.",
            quota=Quota.EXCHANGED_TOKENS.value,
            limit=most,
            used=used,
        )
    require_quota(Quota.EXCHANGED_TOKENS, ctx=ctx)
