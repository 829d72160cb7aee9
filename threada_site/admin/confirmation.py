"""Confirmation of actions that end or replace something: one page that says what changes and takes a reason.

The button of such an action shows this page and changes nothing. The page posts the same fields again, with the reason
and a digest of what it says. If the action would change something else by then, it is refused. It needs no JavaScript.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from django.http import Http404, HttpResponse
from django.template.loader import render_to_string
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from threada_site.admin.actions import ActionSpec, Call, Done, Handler
from threada_site.admin.text_diff import Row
from threada_site.kernel.errors import PreconditionFailed
from threada_site.kernel.json.canonical import sha256_hex

CONFIRMED: Final = "confirmed"
REASON: Final = "given_reason"
SHOWN: Final = "shown"
"""Field with the digest of the effects that the page showed."""
SHORTEST_REASON: Final = 3
LONGEST_REASON: Final = 1000
_OWN: Final = frozenset({"csrfmiddlewaretoken", CONFIRMED, REASON, SHOWN})


@dataclass(frozen=True)
class Effects:
    """Changes by an action: sentences, and the text diff of a document."""

    sentences: Sequence[Any] = ()
    difference: Sequence[Row] = field(default=())

    @property
    def sha256(self) -> str:
        return sha256_hex(repr((list(map(str, self.sentences)), list(self.difference))).encode())


@dataclass(frozen=True)
class Confirmation:
    """Title of the page and text of its button, and a function of ModelAdmin and call that changes nothing."""

    title: str | Promise
    effects: Callable[[Any, Call], Effects]


def is_confirmed(call: Call) -> bool:
    return call.sent(CONFIRMED) == "yes" and reason_problem(call.sent(REASON)) == ""


def reason_problem(reason: str) -> str:
    """Return what is wrong with a reason; "" if nothing is."""
    if len(reason) < SHORTEST_REASON:
        return _("Give a reason of at least %(count)s characters.") % {"count": SHORTEST_REASON}
    if len(reason) > LONGEST_REASON:
        return _("Give a reason of at most %(count)s characters.") % {"count": LONGEST_REASON}
    return ""


def with_reason(admin: Any, spec: ActionSpec, handler: Handler) -> Handler:
    """Return `handler` with the given reason in the context, so that its receipts contain a commitment to it.

    It raises `PreconditionFailed` if the effects are not those that the page showed.
    """

    def handle(call: Call) -> Done:
        call.ctx = replace(call.ctx, reason=call.sent(REASON))
        if _effects_sha256(admin, spec, call) not in (call.sent(SHOWN), None):
            raise PreconditionFailed("What this changes has changed since it was shown. Press the button again.")
        return handler(call)

    return handle


def _effects_sha256(admin: Any, spec: ActionSpec, call: Call) -> str | None:
    """Return the digest of the effects now; None for a row that does not exist, which the handler refuses."""
    try:
        effects: Effects = spec.confirmation.effects(admin, call)
    except Http404:
        return None
    return effects.sha256


def confirmation_page(admin: Any, call: Call, spec: ActionSpec, *, back: str) -> HttpResponse:
    """Return the page that asks for confirmation. Runs inside a unit of work."""
    confirmation: Confirmation = spec.confirmation
    is_sent = call.sent(CONFIRMED) == "yes"
    sent = call.request.POST
    effects = confirmation.effects(admin, call)
    fields = [(name, value) for name in sent if name not in _OWN for value in sent.getlist(name)]
    context = {
        **admin.admin_site.each_context(call.request),
        "title": confirmation.title,
        "submit": confirmation.title,
        "effects": effects,
        "fields": fields,
        "reason": call.sent(REASON),
        "problem": reason_problem(call.sent(REASON)) if is_sent else "",
        "shortest": SHORTEST_REASON,
        "longest": LONGEST_REASON,
        "back": back,
        "list_title": admin.list_title,
        "list_url": admin.list_url(),
    }
    page = render_to_string("console/confirmation.html", context, call.request)
    return HttpResponse(page, status=422 if is_sent else 200)
