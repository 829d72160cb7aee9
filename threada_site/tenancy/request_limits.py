"""Rate limits of API requests, checked before the transaction of the request.

A credential is known to a process once it was authenticated there. Its requests draw from the buckets of credential and
tenant, never from that of the address, so that failures of others behind the same address do not affect it. Its first
request is charged afterwards, when the credential is known, and refused if a bucket is known to be empty.

Each answer 401 to a well-formed token draws from the bucket of the client's address. Once that is empty, requests of
this address with an unknown token are refused, apart from a few per second that are authenticated, because one of them
may be the first request of a valid credential. A missing or malformed token is refused without the database anyway,
which costs no more than another refusal.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from django.conf import settings
from django.db import DatabaseError
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

from threada_site.kernel import tokens
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import RateLimited, ThreadaError
from threada_site.kernel.source import source_of
from threada_site.kernel.waits import WAITED
from threada_site.kernel.weighted_cache import WeightedCache
from threada_site.tenancy.rate_leases import Admission, Bucket
from threada_site.tenancy.rate_limits import (
    AUTHENTICATION,
    buckets_of_address,
    buckets_of_credential,
    headers_of,
    leases,
    lookups,
    refusal_of,
    without_permissions,
)

CLIENT_KEY: Final = "threada.client"
"""Key of the WSGI environment: what limits of the client's address count by; "" for a proxy."""
_CREDENTIALS: Final = 20_000
_known: Final[WeightedCache[bytes, ActingContext]] = WeightedCache(max_weight=_CREDENTIALS)
"""Contexts without permissions of tokens that were authenticated, by their SHA-256."""
_failed: Final[WeightedCache[bytes, bool]] = WeightedCache(max_weight=_CREDENTIALS)
"""SHA-256 of tokens that were answered with 401."""


def admit(request: Any, tokens: int = 1) -> None:
    """Draw `tokens` for a request. Raise `RateLimited` if it must not be run.

    A refused request whose credential is known gets its context, for the receipt. A request that was held is the same
    request again: it draws no second token.
    """
    digest = _digest(request.META)
    if digest is None or WAITED in request.META:
        return
    known = _known.get(digest)
    if known is not None:
        request.admission = leases.take(_credential_buckets(known), tokens)
        if request.admission is not None and _is_refused(request.admission):
            request.acting_context = replace(known, correlation_id=request.correlation_id)
            raise refusal_of(request.admission)
        return
    admit_unknown(digest, request.META)


def admit_unknown(digest: bytes, meta: Mapping[str, Any]) -> None:
    """Raise `RateLimited` if the address has had too many failures and the token, by its SHA-256, is not tried."""
    address = _address_buckets(meta)
    empty = leases.refusal(address)
    if empty is None:
        return
    if _failed.get(digest) is not None or _is_refused(lookups.take(address)):
        raise refusal_of(empty)


def charge_refused(digest: bytes, meta: Mapping[str, Any], refusal: ThreadaError) -> ThreadaError:
    """Draw from the bucket of the address for a token that was refused. Return the refusal to answer with."""
    _failed.put(digest, True)
    leases.count(AUTHENTICATION + refusal.reason_code)
    admission = leases.take(_address_buckets(meta))
    return refusal_of(admission) if admission is not None and _is_refused(admission) else refusal


def charge(ctx: ActingContext) -> None:
    """Draw from the buckets of the acting credential and its tenant. Raise `RateLimited` if one is empty."""
    admission = leases.take(_credential_buckets(ctx))
    if admission is not None and _is_refused(admission):
        raise refusal_of(admission)


def charge_further(ctx: ActingContext) -> None:
    """Draw once more for a request that does the work of several. Raise `RateLimited` if a bucket is known to be empty.

    Runs no statement: inside the transaction of the request, it would lock the buckets of the tenant until the end.
    """
    admission = leases.spend_known(_credential_buckets(ctx))
    if admission is not None and _is_refused(admission):
        raise refusal_of(admission)


def refusal_unread(environ: Mapping[str, Any], tokens: int = 1) -> RateLimited | None:
    """Return the refusal of a request for `tokens` if it is known, and its receipt is only counted or there is none."""
    digest = _digest(environ)
    if digest is None:
        return None
    known = _known.get(digest)
    if known is None and _failed.get(digest) is None:
        return None
    buckets = _credential_buckets(known) if known is not None else _address_buckets(environ)
    needed = tokens if known is not None else 1
    if not leases.is_empty(buckets, needed):
        return None
    if known is not None and not import_string(settings.THREADA_REFUSAL_COUNTER)(known, RateLimited(), reserves=False):
        return None
    admission = leases.refusal(buckets, needed)
    return refusal_of(admission) if admission is not None else None


def admit_first(request: Any, ctx: ActingContext) -> None:
    """Raise `RateLimited` for the first request of a credential if one of its buckets is known to be empty."""
    digest = _digest(request.META)
    if digest is None or _known.get(digest) is not None:
        return
    admission = leases.refusal(_credential_buckets(ctx))
    if admission is not None:
        _known.put(digest, without_permissions(ctx))
        request.admission = admission
        raise refusal_of(admission)


def settle(request: Any, refusal: ThreadaError | None, tokens: int = 1) -> ThreadaError | None:
    """Charge `tokens` for a request whose credential was not known before. Return the refusal to answer with.

    `refusal`: that of the request, if it was refused.
    """
    digest = _digest(request.META)
    if digest is None:
        return refusal
    if refusal is not None and refusal.status == 401:
        _known.drop(digest)
        return charge_refused(digest, request.META, refusal)
    ctx = getattr(request, "acting_context", None)
    if ctx is not None and _known.get(digest) is None:
        _known.put(digest, without_permissions(ctx))
        buckets = _credential_buckets(ctx)
        request.admission = leases.owe(buckets, tokens)
        with suppress(DatabaseError):  # the request is done; what is owed stays owed
            leases.pay(buckets)
    return refusal


def add_headers(request: Any, response: HttpResponseBase) -> None:
    """Add the state of the limits to an answer to an authenticated request."""
    admission = getattr(request, "admission", None)
    if admission is not None:
        for name, value in headers_of(admission).items():
            response.headers[name] = value


def forget() -> None:
    """Forget leases and credentials of this process."""
    leases.clear()
    lookups.clear()
    _known.clear()
    _failed.clear()


def client_key(meta: Mapping[str, Any]) -> str:
    """Return what limits of the client's address count by; "" if the request may be that of anybody behind a proxy."""
    if CLIENT_KEY in meta:
        return str(meta[CLIENT_KEY])
    is_behind_proxy = settings.THREADA_TRUSTED_PROXY
    if is_behind_proxy and not meta.get("HTTP_X_FORWARDED_FOR"):
        return ""
    return source_of(meta, is_behind_proxy=is_behind_proxy).client_key


def _credential_buckets(ctx: ActingContext) -> list[Bucket]:
    return buckets_of_credential(ctx.credential_id or ctx.principal_id, ctx.tenant_id)


def _is_refused(admission: Admission | None) -> bool:
    return admission is not None and admission.retry_s is not None


def _address_buckets(meta: Mapping[str, Any]) -> list[Bucket]:
    return buckets_of_address(client_key(meta))


def _digest(meta: Mapping[str, Any]) -> bytes | None:
    """Return the SHA-256 of the token that was sent; None if none is well-formed."""
    scheme, _, token = meta.get("HTTP_AUTHORIZATION", "").partition(" ")
    token = token.strip()
    return tokens.digest(token) if scheme.lower() == "bearer" and tokens.may_be_accepted(token) else None
