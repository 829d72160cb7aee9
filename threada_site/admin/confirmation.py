"""Confirmation of actions that end or replace something: one page that says what changes and takes a reason.

The button of such an action shows this page and changes nothing. The page posts the same fields again, with the reason.
It needs no JavaScript.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from django.http import HttpResponse
from django.template.loader import render_to_string
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from threada_site.admin.actions import ActionSpec, Call, Done, Handler
from threada_site.admin.text_diff import Row

CONFIRMED: Final = "confirmed"
REASON: Final = "given_reason"
SHORTEST_REASON: Final = 3
LONGEST_REASON: Final = 1000
_OWN: Final = frozenset({"csrfmiddlewaretoken", CONFIRMED, REASON})


@dataclass(frozen=True)
class Effects:
    """What an action changes: sentences, and the text diff of a document."""

    sentences: Sequence[Any] = ()
    difference: Sequence[Row] = field(default=())


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


def with_reason(handler: Handler) -> Handler:
    """Return `handler` with the given reason in the context, so that its receipts contain a commitment to it."""

    def handle(call: Call) -> Done:
        call.ctx = replace(call.ctx, reason=call.sent(REASON))
        return handler(call)

    return handle


def confirmation_page(admin: Any, call: Call, spec: ActionSpec, *, back: str) -> HttpResponse:
    """Return the page that asks for confirmation. Runs inside a unit of work."""
    confirmation: Confirmation = spec.confirmation
    is_sent = call.sent(CONFIRMED) == "yes"
    sent = call.request.POST
    fields = [(name, value) for name in sent if name not in _OWN for value in sent.getlist(name)]
    context = {
        **admin.admin_site.each_context(call.request),
        "title": confirmation.title,
        "submit": confirmation.title,
        "effects": confirmation.effects(admin, call),
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
