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
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from threada_site.admin.html import when
from threada_site.admin.words import word
from threada_site.identity.account.security_history import SecurityEvent, security_history
from threada_site.kernel import errors, ids
from threada_site.kernel.context import EntryPoint, Scope

_TITLES: Final = {
    "session.signed_in": gettext_lazy("Signed in"),
    "session.sign_in_failed": gettext_lazy("Failed sign-in"),
    "session.signed_out": gettext_lazy("Signed out"),
    "session.ended": gettext_lazy("Session ended"),
    "session.tenant_chosen": gettext_lazy("Tenant chosen"),
    "credential.used_from": gettext_lazy("Credential used from a new network"),
    "credential.confirmed": gettext_lazy("Credential confirmed"),
    "credential.issued": gettext_lazy("Credential issued"),
    "credential.shortened": gettext_lazy("Credential shortened"),
    "credential.revoked": gettext_lazy("Credential revoked"),
    "principal.created": gettext_lazy("Account created"),
    "principal.password_set": gettext_lazy("Password changed"),
    "principal.password_reset": gettext_lazy("Password reset"),
    "password_reset.sent": gettext_lazy("Link for a new password sent"),
    "principal.address_asked": gettext_lazy("New mail address asked for"),
    "principal.address_link_sent": gettext_lazy("Link to a new mail address sent"),
    "principal.address_changed": gettext_lazy("Mail address changed"),
    "identity.link_restored": gettext_lazy("Account at an identity provider restored"),
    "second_factor.enrolled": gettext_lazy("Second factor enrolled"),
    "second_factor.cloned": gettext_lazy("Copy of a passkey refused"),
    "second_factor.removed": gettext_lazy("Second factor removed"),
    "second_factor.reset": gettext_lazy("Second factors reset"),
    "recovery_codes.created": gettext_lazy("Recovery codes created"),
    "recovery_code.used": gettext_lazy("Recovery code used"),
    "role.granted": gettext_lazy("Role received"),
    "role.withdrawn": gettext_lazy("Role withdrawn"),
    "scope.granted": gettext_lazy("Object scope received"),
    "scope.withdrawn": gettext_lazy("Object scope withdrawn"),
    "member.added": gettext_lazy("Joined the tenant"),
    "identity.linked": gettext_lazy("Account at an identity provider linked"),
    "identity.unlinked": gettext_lazy("Account at an identity provider unlinked"),
    "member.removed": gettext_lazy("Left the tenant"),
    "delegation.created": gettext_lazy("Delegation created"),
    "delegation.consented": gettext_lazy("Delegation consented to"),
    "delegation.confirmed": gettext_lazy("Delegation confirmed"),
    "delegation.ended": gettext_lazy("Delegation ended"),
    "invitation.sent": gettext_lazy("Invitation sent"),
    "invitation.accepted": gettext_lazy("Invitation accepted"),
    "account.dependent": gettext_lazy("Account depends on another person"),
    "account.confirmed": gettext_lazy("Account confirmed"),
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
            raise errors.NotFound("There is no such account in this tenant.")
        history = security_history(principal_id, before=before, ctx=ctx)
    except errors.NotFound as refusal:
        raise Http404(refusal.detail) from None
    is_own = principal_id == ctx.principal_id
    title = (
        _("Security history")
        if is_own
        else _("Security history of {username}").format(username=history.principal.username)
    )
    context = {
        **frame,
        "title": title,
        "list_title": _("Dashboard"),
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
        "title": title if event.count == 1 else _("{title} ({count} times)").format(title=title, count=event.count),
        "is_bad": event.kind in _BAD,
        "details": [_detail(name, value) for name, value in sorted(event.details.items())],
        "actor": _actor(event),
        "event": event,
    }


def _detail(name: str, value: str) -> SafeString:
    """Return a detail with its name; an instant in the reader's time zone."""
    shown = when(datetime.fromisoformat(value)) if _INSTANT.fullmatch(value) else value
    return format_html("{}: {}", word(name), shown)


def _actor(event: SecurityEvent) -> str:
    """Return who acted: a name, the operator, or nobody who is known."""
    if event.kind == "session.sign_in_failed":
        return word("unknown")
    if event.actor == "system":
        return word("operator" if event.entry_point == EntryPoint.COMMAND else "system")
    return event.actor
