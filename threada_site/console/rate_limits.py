"""Rate limits of the console: requests of signed-in people draw from the buckets of their account and tenant."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from threada_site.kernel.weighted_cache import WeightedCache
from threada_site.tenancy.rate_leases import Admission
from threada_site.tenancy.rate_limits import buckets_of_account, leases, refusal_of

_SESSIONS: Final[WeightedCache[bytes, tuple[uuid.UUID, uuid.UUID | None]]] = WeightedCache(max_weight=10_000)
"""Account and tenant of sessions that were read, by the SHA-256 of their cookie."""


def refused_unread(request: HttpRequest) -> HttpResponse | None:
    """Return the page that refuses a request of a known session whose bucket is empty, before the session is read."""
    digest = _digest(request)
    known = _SESSIONS.get(digest) if digest else None
    refusal = leases.refusal(buckets_of_account(*known)) if known else None
    return _page(request, refusal) if refusal is not None else None


def refused(request: Any) -> HttpResponse | None:
    """Draw the tokens of a signed-in person's request. Return the page that refuses it, or None."""
    if not request.user.is_authenticated:
        return None
    ctx = request.acting_context
    named = (request.user.pk, ctx.tenant_id if ctx is not None else None)
    digest = _digest(request)
    if digest is not None:
        _SESSIONS.put(digest, named)
    admission = leases.take(buckets_of_account(*named))
    return _page(request, admission) if admission is not None and admission.retry_s is not None else None


def _page(request: HttpRequest, admission: Admission) -> HttpResponse:
    refusal = refusal_of(admission)
    response = render(request, "429.html", {"reason": refusal.detail}, status=refusal.status)
    for name, value in refusal.headers.items():
        response.headers[name] = value
    return response


def _digest(request: HttpRequest) -> bytes | None:
    cookie = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    return hashlib.sha256(cookie.encode()).digest() if cookie else None
