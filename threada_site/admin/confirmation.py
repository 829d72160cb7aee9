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

from threada_site.admin.actions import Call, Done, Handler
from threada_site.admin.reauthentication import PROOF_FIELDS
from threada_site.admin.text_diff import Row
from threada_site.kernel.errors import PreconditionFailed
from threada_site.kernel.json.canonical import sha256_hex

CONFIRMED: Final = "confirmed"
REASON: Final = "given_reason"
SHOWN: Final = "shown"
"""Field with the digest of the effects that the page showed."""
SHORTEST_REASON: Final = 3
LONGEST_REASON: Final = 1000
_OWN: Final = frozenset({"csrfmiddlewaretoken", CONFIRMED, REASON, SHOWN, *PROOF_FIELDS})


@dataclass(frozen=True)
class Effects:
    """Changes by an action: sentences, the text diff of a document, and the exact request that it sends."""

    sentences: Sequence[Any] = ()
    difference: Sequence[Row] = field(default=())
    request: str = ""

    @property
    def sha256(self) -> str:
        return sha256_hex(repr((list(map(str, self.sentences)), list(self.difference), self.request)).encode())


@dataclass(frozen=True)
class Confirmation:
    """Title of the page and text of its button, and a function of ModelAdmin and call that changes nothing."""

    title: str | Promise
    effects: Callable[[Any, Call], Effects]


@dataclass(frozen=True)
class FormConfirmation:
    """Function of ModelAdmin and valid form that returns the effects of the form, and changes nothing.

    It may raise refusals, which the page of the form shows.
    """

    effects: Callable[[Any, Any], Effects]


def is_confirmed(call: Call) -> bool:
    return call.sent(CONFIRMED) == "yes" and reason_problem(call.sent(REASON)) == ""


def reason_problem(reason: str) -> str:
    """Return what is wrong with a reason; "" if nothing is."""
    if len(reason) < SHORTEST_REASON:
        return _("Give a reason of at least %(count)s characters.") % {"count": SHORTEST_REASON}
    if len(reason) > LONGEST_REASON:
        return _("Give a reason of at most %(count)s characters.") % {"count": LONGEST_REASON}
    return ""


def with_reason(effects_now: Callable[[Call], Effects], handler: Handler) -> Handler:
    """Return `handler` with the given reason in the context, so that its receipts contain a commitment to it.

    It raises `PreconditionFailed` if the effects are not those that the page showed.
    """

    def handle(call: Call) -> Done:
        call.ctx = replace(call.ctx, reason=call.sent(REASON))
        if _sha256(effects_now, call) not in (call.sent(SHOWN), None):
            raise PreconditionFailed("What this changes has changed since it was shown. Press the button again.")
        return handler(call)

    return handle


def _sha256(effects_now: Callable[[Call], Effects], call: Call) -> str | None:
    """Return the digest of the effects now; None for a row that does not exist, which the handler refuses."""
    try:
        return effects_now(call).sha256
    except Http404:
        return None


def confirmation_page(
    admin: Any, call: Call, title: Any, effects: Effects, *, back: str, asks_proof: str = ""
) -> HttpResponse:
    """Return the page that asks for confirmation. Runs inside a unit of work."""
    is_sent = call.sent(CONFIRMED) == "yes"
    sent = call.request.POST
    fields = [(name, value) for name in sent if name not in _OWN for value in sent.getlist(name)]
    context = {
        **admin.admin_site.each_context(call.request),
        "title": title,
        "submit": title,
        "asks_proof": asks_proof,
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
