"""Console page of one's own open sessions."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods

from threada_site.admin.words import Text, said
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.account.provider_limits import may_change_account
from threada_site.identity.console_sessions.ending import end_own_sessions
from threada_site.identity.console_sessions.limits import sessions_of
from threada_site.kernel import ids
from threada_site.kernel.factors import Factor
from threada_site.kernel.source import device_of
from threada_site.tenancy.models import ConsoleSession, IdentityLink

OTHERS: Final = "others"
_WORDS: Final[dict[str, Text]] = {
    Factor.PASSWORD: gettext_lazy("password"),
    Factor.TOTP: gettext_lazy("authenticator app"),
    Factor.PASSKEY: gettext_lazy("passkey"),
    Factor.RECOVERY_CODE: gettext_lazy("recovery code"),
}
"""Factors in words."""


@require_http_methods(["GET", "HEAD", "POST"])
def sessions_page(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """Show the sessions, and end one of them or all others.

    Where an identity provider of one tenant opened this session, those of other tenants are not shown.
    """
    ctx = request.acting_context  # type: ignore[attr-defined]
    store: Any = request.session
    sessions = sessions_of(ctx.principal_id)
    with unit_of_work(ctx.tenant_id, actor=ctx):
        providers = _providers(sessions, ctx.tenant_id)
    if not may_change_account(ctx):
        sessions = [
            one for one in sessions if one.identity_link_id in providers or one.acting_tenant_id == ctx.tenant_id
        ]
    if request.method == "POST":
        asked = request.POST.get("end", "")
        others = [session.id for session in sessions if session.id != store.row_id]
        named = ids.parse_public_id(ids.SESSION, asked)
        chosen = others if asked == OTHERS else [one for one in others if one == named]
        ended = end_own_sessions(chosen, store.source, ctx=ctx) if chosen else 0
        if ended:
            text = ngettext("{number} session ended.", "{number} sessions ended.", ended)
            messages.success(request, text.format(number=ended))
        else:
            messages.warning(request, _("There was no other session to end."))
        return HttpResponseRedirect(reverse("admin:sessions"))
    lines = [
        (session, said(device_of(session.user_agent)), session.id == store.row_id, _how(session, providers))
        for session in sessions
    ]
    context = {
        **frame,
        "title": _("Sessions"),
        "list_title": _("Dashboard"),
        "list_url": reverse("admin:index"),
        "sessions": lines,
        "others": OTHERS if len(lines) > 1 else "",
        "idle_minutes": settings.THREADA_SESSION_IDLE_MINUTES,
        "hours": settings.THREADA_SESSION_HOURS,
    }
    with unit_of_work(ctx.tenant_id, actor=ctx):
        return render(request, "console/sessions.html", context)


def _providers(sessions: list[ConsoleSession], tenant_id: uuid.UUID) -> dict[uuid.UUID, str]:
    """Return link → name of the identity provider of this tenant, for the sessions that one opened."""
    links = [session.identity_link_id for session in sessions if session.identity_link_id is not None]
    if not links:
        return {}
    rows = IdentityLink.objects.select_related("provider").filter(tenant_id=tenant_id, id__in=links)
    return {link.id: link.provider.name or link.provider.slug for link in rows}


def _how(session: ConsoleSession, providers: dict[uuid.UUID, str]) -> str:
    """Return how the person signed in, in words."""
    if session.identity_link_id is not None:
        return providers.get(session.identity_link_id, _("identity provider of another tenant"))
    proved = session.factors.split() or [Factor.PASSWORD]
    return _(" and ").join(str(_WORDS.get(factor, factor)) for factor in proved)
