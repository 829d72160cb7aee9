"""Receivers of Django's sign-in events, which record receipts. Every way to sign in sends these events."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from threada_site.console.after_response import after_response
from threada_site.console.tenant_choice import signed_in_at
from threada_site.identity.console_sessions.limits import make_room_for_session
from threada_site.identity.console_sessions.provider_sessions import provider_tenant
from threada_site.identity.sessions import record_failed_sign_in, record_sign_in, record_sign_out
from threada_site.identity.sign_in.attempts import forget_old_attempts
from threada_site.kernel.factors import session_factors
from threada_site.kernel.source import Source, source_of


def on_sign_in(request: HttpRequest, user: Any, **_signal: Any) -> None:
    """Record a sign-in, and make room for its session. Receiver of `user_logged_in`."""
    if _came_by_http(request):
        make_room_for_session(user.pk)
        record_sign_in(
            user,
            _source(request),
            provider_tenant=getattr(request, "provider_tenant", None),
            factors=getattr(request, "sign_in_factors", ()),
            correlation_id=request.correlation_id,  # type: ignore[attr-defined]
        )


def on_failed_sign_in(credentials: dict[str, Any], request: HttpRequest | None = None, **_signal: Any) -> None:
    """Record a failed sign-in after the response, so that its duration does not tell whether the account exists.

    Receiver of `user_login_failed`.
    """
    if request is None or not _came_by_http(request):
        return
    name = str(credentials.get("username", ""))
    source, correlation_id = _source(request), request.correlation_id  # type: ignore[attr-defined]
    after_response(request, lambda: record_failed_sign_in(name, source, correlation_id=correlation_id))
    after_response(request, forget_old_attempts)


def on_sign_out(request: HttpRequest, user: Any, **_signal: Any) -> None:
    """Record a sign-out. Receiver of `user_logged_out`; `user` is None for a session without one."""
    if user is not None and user.is_authenticated and _came_by_http(request):
        record_sign_out(
            user,
            _source(request),
            signed_in_at=signed_in_at(request),
            provider_tenant=provider_tenant(request.session),
            factors=session_factors(request.session),
            correlation_id=request.correlation_id,  # type: ignore[attr-defined]
        )


def _source(request: HttpRequest) -> Source:
    return source_of(request.META, is_behind_proxy=settings.THREADA_TRUSTED_PROXY)


def _came_by_http(request: HttpRequest) -> bool:
    """Return True unless the request was made by code, for example by a test that signs somebody in."""
    return hasattr(request, "correlation_id")
