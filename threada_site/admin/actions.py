"""Buttons and forms: one address, one service call in one unit of work, as the API makes it.

A refusal rolls back (unless it keeps its changes), leaves its own receipt, and becomes a message on the page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.module_loading import import_string

from threada_site.api.problems import as_threada_error
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import ThreadaError
from threada_site.tenancy.current_actor import acting

OWN_UNIT_OF_WORK: Final = "opens_own_unit_of_work"
"""Marks views that open their unit of work themselves: the middleware leaves them alone."""


@dataclass
class Call:
    """One press of a button. `subject` is what a refusal's receipt is about, once it has been found."""

    request: HttpRequest
    ctx: ActingContext
    key: str
    subject: Any = None

    def sent(self, name: str) -> str:
        """A field of the form, without white space around it."""
        return self.request.POST.get(name, "").strip()


@dataclass(frozen=True)
class Done:
    """What to say afterwards, and where to go on; None is the page of the row itself.

    `shows` is for what can be seen this once: it stands on the answer to a form itself, and is kept nowhere.
    """

    message: str
    url: str | None = None
    shows: dict[str, Any] | None = None


type Handler = Callable[[Call], Done]


@dataclass(frozen=True)
class ActionSpec:
    """A button: its scope is asked before anything is looked up."""

    slug: str
    scope: Scope | None


def action(scope: Scope | None) -> Callable[[Callable[..., Done]], Callable[..., Done]]:
    """Make a ModelAdmin's method `(self, call) -> Done` a button at `<row>/<method's name>/`, by POST alone."""

    def decorate(method: Callable[..., Done]) -> Callable[..., Done]:
        method.action_spec = ActionSpec(method.__name__.replace("_", "-"), scope)  # type: ignore[attr-defined]
        return method

    return decorate


def carry_out(call: Call, scope: Scope | None, handler: Handler) -> Done | ThreadaError:
    """Call `handler` in a unit of work. What it refuses is answered, after rollback and receipt.

    Raises `Http404` for what the tenant does not hold, after the receipt.
    """
    refusal: ThreadaError | None = None
    try:
        with unit_of_work(call.ctx.tenant_id), acting(call.ctx):
            require_scope(call.ctx, scope)
            try:
                return handler(call)
            except ThreadaError as error:
                if not error.keeps_changes:
                    raise
                refusal = error
    except Exception as error:
        refusal = as_threada_error(error)
        if refusal.status >= 500:
            raise
    assert refusal is not None  # noqa: S101
    record_refused(call, refusal)
    if isinstance(refusal, errors.NotFound):
        raise Http404(refusal.detail)
    return refusal


def require_scope(ctx: ActingContext, scope: Scope | None) -> None:
    """Refuse whoever holds `scope` nowhere in the tenant."""
    if scope is not None and not ctx.has_scope_anywhere(scope):
        raise errors.ScopeMissing(f"This needs the scope {scope.value}, which your roles lack.")


def record_refused(call: Call, refusal: ThreadaError) -> None:
    """The receipt of a refusal, in a unit of work of its own."""
    record = import_string(settings.THREADA_REFUSAL_HANDLER)
    with unit_of_work(call.ctx.tenant_id):
        record(call.ctx, refusal, method=call.request.method, path=call.request.path, subject=call.subject)


def press(call: Call, spec: ActionSpec, handler: Handler, *, back: str) -> HttpResponse:
    """Carry out a button's action and go back to its page with its result."""
    outcome = carry_out(call, spec.scope, handler)
    if isinstance(outcome, Done):
        if outcome.message:
            messages.success(call.request, outcome.message)
        return HttpResponseRedirect(outcome.url or back)
    for sentence in sentences(outcome):
        messages.error(call.request, sentence)
    return HttpResponseRedirect(back)


def sentences(refusal: ThreadaError) -> list[str]:
    """A refusal in words for the page: what is wrong, where, and the tenant's own reasons."""
    found = [f"{refusal.detail} ({refusal.reason_code})"]
    found += [f"{entry.pointer}: {entry.detail}".removeprefix(": ") for entry in refusal.errors[:20]]
    found += [
        f"{reason['reason']}" + (f" (policy {reason['policy']}, rule {reason['rule']})" if "policy" in reason else "")
        for reason in refusal.reasons
    ]
    return found
