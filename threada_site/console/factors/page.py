"""Console page of one's own second factors: enrolment, removal and recovery codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from threada_site.admin.actions import Call, Done, carry_out, sentences
from threada_site.admin.reauthentication import record_step_up
from threada_site.console.factors.pending_totp import PendingTotp
from threada_site.console.passkeys.registration import has_passkeys_here, register_sent_passkey
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.account.provider_limits import may_change_account
from threada_site.identity.console_sessions.ending import end_own_sessions
from threada_site.identity.console_sessions.limits import sessions_of
from threada_site.identity.factors.enrolled import factors_of
from threada_site.identity.factors.enrolment import (
    enrol_totp,
    has_fresh_proof,
    new_recovery_codes,
    remove_factor,
    rename_factor,
)
from threada_site.identity.factors.events import FactorEvent, record_elsewhere
from threada_site.identity.factors.recovery_codes import recovery_codes_left
from threada_site.identity.selectors import tenants_of_person
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext, AuthenticationMethod
from threada_site.kernel.factors import Factor, has_second_factor
from threada_site.tenancy.factor_models import LABEL_LENGTH

TEMPLATE: Final = "console/second_factors.html"
KINDS: Final = {Factor.TOTP.value: gettext_lazy("Authenticator app"), Factor.PASSKEY.value: gettext_lazy("Passkey")}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def second_factors_page(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """Show the factors; start and finish the enrolment of an app; remove a factor; create recovery codes."""
    ctx: ActingContext = request.acting_context  # type: ignore[attr-defined]
    if request.method != "POST":
        return _page(request, frame, [], 200)
    if not has_fresh_proof(ctx):
        here = reverse("admin:second_factors")
        return HttpResponseRedirect(f"{reverse('admin:second_factor_confirm')}?{urlencode({'next': here})}")
    wanted = _WANTED.get(request.POST.get("do", ""))
    if wanted is None:
        PendingTotp.forget(request.session)  # "Cancel"
        return HttpResponseRedirect(reverse("admin:second_factors"))
    return wanted(request, frame)


def finish_enrolment(request: HttpRequest, factor: Factor) -> None:
    """Note the new factor in this session, and end the other sessions, which were opened without it."""
    ctx: ActingContext = request.acting_context  # type: ignore[attr-defined]
    record_step_up(request, factor, clock.now())
    store: Any = request.session
    others = [session.id for session in sessions_of(ctx.principal_id) if session.id != store.row_id]
    if others:
        end_own_sessions(others, store.source, ctx=ctx)


@dataclass
class FactorChange:
    """Change to one's own factors: its message, its events, and recovery codes to show once."""

    message: str
    events: list[FactorEvent] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)

    def add_codes(self, *, ctx: ActingContext) -> None:
        """Create recovery codes."""
        made, event = new_recovery_codes(ctx=ctx)
        self.codes.extend(made)
        self.events.append(event)


def _start(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    PendingTotp.start(request.acting_context.principal_id).store(request.session)  # type: ignore[attr-defined]
    return _page(request, frame, [], 200)


def _enrol(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    pending = PendingTotp.of_session(request.session)
    if pending is None:
        messages.warning(request, _("The enrolment has expired. Start it again."))
        return HttpResponseRedirect(reverse("admin:second_factors"))
    change = FactorChange(_("The authenticator app is enrolled. Your other sessions have ended."))

    def work(call: Call) -> None:
        change.events.append(enrol_totp(pending.encrypted, call.sent("code"), call.sent("label"), ctx=call.ctx))
        if not recovery_codes_left(call.ctx.principal_id):
            change.add_codes(ctx=replace(call.ctx, reauthenticated_at=clock.now()))

    def finish() -> None:
        PendingTotp.forget(request.session)
        finish_enrolment(request, Factor.TOTP)

    return _carried_out(request, frame, change, work, finish)


def _register(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    change = FactorChange(_("The passkey is registered. Your other sessions have ended."))

    def work(call: Call) -> None:
        change.events.append(register_sent_passkey(call.request, ctx=call.ctx))
        if not recovery_codes_left(call.ctx.principal_id):
            change.add_codes(ctx=replace(call.ctx, reauthenticated_at=clock.now()))

    return _carried_out(request, frame, change, work, lambda: finish_enrolment(request, Factor.PASSKEY))


def _rename(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    change = FactorChange(_("The second factor is renamed."))
    return _carried_out(
        request, frame, change, lambda call: rename_factor(call.sent("factor"), call.sent("label"), ctx=call.ctx)
    )


def _remove(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    change = FactorChange(_("The second factor is removed."))

    def work(call: Call) -> None:
        change.events.append(remove_factor(call.sent("factor"), ctx=call.ctx))

    return _carried_out(request, frame, change, work)


def _codes(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    change = FactorChange(_("New recovery codes are created. Earlier ones are not valid any more."))
    return _carried_out(request, frame, change, lambda call: change.add_codes(ctx=call.ctx))


_WANTED: Final[dict[str, Callable[[HttpRequest, dict[str, Any]], HttpResponse]]] = {
    "start": _start,
    "enrol": _enrol,
    "register": _register,
    "rename": _rename,
    "remove": _remove,
    "codes": _codes,
}


def _carried_out(
    request: HttpRequest,
    frame: dict[str, Any],
    change: FactorChange,
    work: Callable[[Call], None],
    finish: Callable[[], None] = lambda: None,
) -> HttpResponse:
    """Carry out a change, then `finish`. Show new recovery codes on this response only, or go back to the page."""
    ctx: ActingContext = request.acting_context  # type: ignore[attr-defined]

    def handler(call: Call) -> Done:
        work(call)
        return Done(change.message)

    outcome = carry_out(Call(request, ctx, ""), None, handler)
    if not isinstance(outcome, Done):
        return _page(request, frame, sentences(outcome), 422)
    for event in change.events:
        record_elsewhere(event, ctx=ctx)
    finish()
    if not change.codes:
        messages.success(request, outcome.message)
        return HttpResponseRedirect(reverse("admin:second_factors"))
    return _page(request, {**frame, "codes": change.codes, "message": outcome.message}, [], 200)


def _is_needed(request: HttpRequest) -> bool:
    """Return True if a tenant of the person requires a second factor of the person's roles."""
    person: Any = request.user
    return any(tenant.needs_second_factor for tenant in tenants_of_person(person))


def _page(request: HttpRequest, frame: dict[str, Any], problems: list[str], status: int) -> HttpResponse:
    ctx: ActingContext = request.acting_context  # type: ignore[attr-defined]
    may_change = may_change_account(ctx)
    is_fresh = may_change and has_fresh_proof(ctx)
    pending = PendingTotp.of_session(request.session) if is_fresh else None
    needed = _is_needed(request)
    context = {
        **frame,
        "title": _("Second factors"),
        "list_title": _("Dashboard"),
        "list_url": reverse("admin:index"),
        "factors": [(factor, KINDS[factor.kind]) for factor in factors_of(ctx.principal_id)],
        "codes_left": recovery_codes_left(ctx.principal_id),
        "may_change": may_change,
        "is_fresh": is_fresh,
        "confirm_url": f"{reverse('admin:second_factor_confirm')}?{urlencode({'next': request.path})}",
        "pending": pending.shown(ctx.principal_name, request.get_host()) if pending else None,
        "is_needed": needed,
        "has_passkeys_here": has_passkeys_here(request),
        "may_register": ctx.authentication.method is AuthenticationMethod.SESSION,
        "label_length": LABEL_LENGTH,
        "has_second_factor": has_second_factor(ctx.authentication.factors),
        "problems": problems,
    }
    with unit_of_work(ctx.tenant_id, actor=ctx):
        return render(request, TEMPLATE, context, status=status)
