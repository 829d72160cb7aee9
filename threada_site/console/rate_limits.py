"""Rate limits of the console: requests of signed-in people draw from the buckets of their account and tenant."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import replace
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from threada_site.api.bodies import tokens_of
from threada_site.api.refusals import record_refusal
from threada_site.kernel.context import ActingContext
from threada_site.kernel.weighted_cache import WeightedCache
from threada_site.tenancy.rate_leases import Admission, Bucket
from threada_site.tenancy.rate_limits import buckets_of_account, leases, refusal_of, without_permissions

_SESSIONS: Final[WeightedCache[bytes, tuple[uuid.UUID, ActingContext | None]]] = WeightedCache(max_weight=10_000)
"""Accounts and contexts without permissions of sessions that were read, by the SHA-256 of their cookie."""


def refused_unread(request: Any) -> HttpResponse | None:
    """Return the page that refuses a request of a known session whose bucket is empty, before the session is read."""
    digest = _digest(request)
    known = _SESSIONS.get(digest) if digest else None
    if known is None:
        return None
    account, ctx = known
    admission = leases.refusal(_buckets(account, ctx), tokens_of(request.META))
    ctx = replace(ctx, correlation_id=request.correlation_id) if ctx is not None else None
    return _page(request, admission, ctx=ctx) if admission is not None else None


def refused(request: Any) -> HttpResponse | None:
    """Draw the tokens of a signed-in person's request. Return the page that refuses it, or None."""
    if not request.user.is_authenticated:
        return None
    account, ctx = request.user.pk, request.acting_context
    digest = _digest(request)
    if digest is not None:
        _SESSIONS.put(digest, (account, without_permissions(ctx) if ctx is not None else None))
    admission = leases.take(_buckets(account, ctx), tokens_of(request.META))
    return _page(request, admission, ctx=ctx) if admission is not None and admission.retry_s is not None else None


def _buckets(account: uuid.UUID, ctx: ActingContext | None) -> list[Bucket]:
    return buckets_of_account(account, ctx.tenant_id if ctx is not None else None)


def _page(request: HttpRequest, admission: Admission, *, ctx: ActingContext | None) -> HttpResponse:
    refusal = refusal_of(admission)
    record_refusal(refusal, ctx=ctx, request=request)
    response = render(request, "429.html", {"reason": refusal.detail}, status=refusal.status)
    for name, value in refusal.headers.items():
        response.headers[name] = value
    return response


def _digest(request: HttpRequest) -> bytes | None:
    cookie = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    return hashlib.sha256(cookie.encode()).digest() if cookie else None
