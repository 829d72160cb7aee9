"""Console page with the security history of an account: one's own, and of any member for stewards."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from django.http import Http404, HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from threada_site.admin.html import when
from threada_site.identity.account.security_history import SecurityEvent, security_history
from threada_site.kernel import errors, ids
from threada_site.kernel.context import EntryPoint, Scope

_TITLES: Final = {
    "session.signed_in": "Signed in",
    "session.sign_in_failed": "Failed sign-in",
    "session.signed_out": "Signed out",
    "session.ended": "Session ended",
    "session.tenant_chosen": "Tenant chosen",
    "credential.used_from": "Credential used from a new network",
    "credential.confirmed": "Credential confirmed",
    "credential.issued": "Credential issued",
    "credential.shortened": "Credential shortened",
    "credential.revoked": "Credential revoked",
    "principal.password_set": "Password changed",
    "principal.password_reset": "Password reset",
    "password_reset.sent": "Link for a new password sent",
    "principal.address_asked": "New mail address asked for",
    "principal.address_link_sent": "Link to a new mail address sent",
    "principal.address_changed": "Mail address changed",
    "identity.link_restored": "Account at an identity provider restored",
    "second_factor.enrolled": "Second factor enrolled",
    "second_factor.cloned": "Copy of a passkey refused",
    "second_factor.removed": "Second factor removed",
    "second_factor.reset": "Second factors reset",
    "recovery_codes.created": "Recovery codes created",
    "recovery_code.used": "Recovery code used",
    "role.granted": "Role received",
    "role.withdrawn": "Role withdrawn",
    "scope.granted": "Object scope received",
    "scope.withdrawn": "Object scope withdrawn",
    "member.added": "Membership begun",
    "identity.linked": "Account at an identity provider linked",
    "identity.unlinked": "Account at an identity provider unlinked",
    "member.removed": "Membership ended",
    "delegation.created": "Delegation created",
    "delegation.consented": "Delegation consented to",
    "delegation.confirmed": "Delegation confirmed",
    "delegation.ended": "Delegation ended",
    "invitation.sent": "Invitation sent",
    "invitation.accepted": "Invitation accepted",
    "account.dependent": "Account depends on another person",
    "account.confirmed": "Account confirmed",
}
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_BAD: Final = {
    "session.sign_in_failed",
    "credential.used_from",
    "recovery_code.used",
    "second_factor.cloned",
    "second_factor.reset",
}


def security_history_page(request: HttpRequest, key: str | None, frame: dict[str, Any]) -> TemplateResponse:
    """Show one page of the history of `key`, a principal's public id, or of the reader."""
    ctx = request.acting_context  # type: ignore[attr-defined]
    principal_id = ctx.principal_id if key is None else ids.parse_public_id(ids.PRINCIPAL, key)
    before = ids.parse_public_id(ids.RECEIPT, request.GET.get("before", ""))
    try:
        if principal_id is None:
            raise errors.NotFound("There is no such principal in this tenant.")
        history = security_history(principal_id, before=before, ctx=ctx)
    except errors.NotFound as refusal:
        raise Http404(refusal.detail) from None
    is_own = principal_id == ctx.principal_id
    title = "Security history" if is_own else f"Security history of {history.principal.username}"
    context = {
        **frame,
        "title": title,
        "list_title": "Dashboard",
        "list_url": reverse("admin:index"),
        "events": [_line(event) for event in history.events],
        "unrecorded": history.unrecorded_failures,
        "older": f"?{urlencode({'before': history.older})}" if history.older else None,
        "is_own": is_own,
        "may_read_receipts": ctx.has_scope_anywhere(Scope.TELEMETRY_READ),
    }
    return TemplateResponse(request, "console/security_history.html", context)


def _line(event: SecurityEvent) -> dict[str, Any]:
    """Return the cells of an event."""
    title = _TITLES.get(event.kind) or event.kind.replace(".", " ").replace("_", " ").capitalize()
    return {
        "title": title if event.count == 1 else f"{title} ({event.count} times)",
        "is_bad": event.kind in _BAD,
        "details": [_detail(name, value) for name, value in sorted(event.details.items())],
        "actor": _actor(event),
        "event": event,
    }


def _detail(name: str, value: str) -> SafeString:
    """Return a detail with its name; an instant in the reader's time zone."""
    shown = when(datetime.fromisoformat(value)) if _INSTANT.fullmatch(value) else value
    return format_html("{}: {}", name.replace("_", " "), shown)


def _actor(event: SecurityEvent) -> str:
    """Return who acted: a name, the operator, or nobody who is known."""
    if event.kind == "session.sign_in_failed":
        return "unknown"
    return "operator" if event.actor == "system" and event.entry_point == EntryPoint.COMMAND else event.actor
