"""Buttons and forms: one URL calls one service in one unit of work, like the API.

A refusal rolls back (unless it keeps its changes), writes its own receipt, and is shown as a message on the page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _

from threada_site.admin.html import row_link
from threada_site.admin.reauthentication import StepUp, needs_step_up, reauthenticate, require_step_up
from threada_site.api.refusals import record_refusal, result_or_refusal
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import ThreadaError
from threada_site.tenancy.change_sets import store_proposal

OWN_UNIT_OF_WORK: Final = "opens_own_unit_of_work"
"""Attribute of views that open their own unit of work; the middleware opens none for them."""


@dataclass
class Call:
    """One submission of a button or form. `subject` is the subject of a refusal's receipt, once it is known.

    `prepared` is what the action's `prepare` has returned.
    """

    request: HttpRequest
    ctx: ActingContext
    key: str
    subject: Any = None
    prepared: Any = None

    def sent(self, name: str) -> str:
        """Return a field of the form without surrounding white space."""
        return self.request.POST.get(name, "").strip()


@dataclass(frozen=True)
class Done:
    """Message after success, and the next page; None is the page of the row.

    `shows` contains values that are shown only once, on the response to the form. They are stored nowhere.
    """

    message: str
    url: str | None = None
    shows: dict[str, Any] | None = None


type Handler = Callable[[Call], Done]


@dataclass(frozen=True)
class ActionSpec:
    """Button. Its scope is checked before anything is looked up. `step_up`: it needs a step-up whatever its scope.

    `prepare` is called before the unit of work of the action, outside of any transaction.
    """

    slug: str
    scope: Scope | None
    step_up: StepUp = False
    confirmation: Any = None
    prepare: Callable[[Call], Any] | None = None


def action(
    scope: Scope | None,
    *,
    step_up: StepUp = False,
    confirm: Any = None,
    prepare: Callable[[Call], Any] | None = None,
) -> Callable[[Callable[..., Done]], Callable[..., Done]]:
    """Make a method `(self, call) -> Done` of a ModelAdmin a button at `<row>/<method name>/`, by POST only.

    With `confirm`, a `Confirmation`, the button shows a page first that says what changes and takes a reason. `prepare`
    does what must not happen inside of a transaction; the method reads the result at `call.prepared`.
    """

    def decorate(method: Callable[..., Done]) -> Callable[..., Done]:
        method.action_spec = ActionSpec(method.__name__.replace("_", "-"), scope, step_up, confirm, prepare)  # type: ignore[attr-defined]
        return method

    return decorate


def carry_out(call: Call, scope: Scope | None, handler: Handler, *, step_up: StepUp = False) -> Done | ThreadaError:
    """Call `handler` in a unit of work. Return a refusal after its rollback and receipt.

    A change that needs a second person is stored as a change set, after the rollback. Actions of stewards, and those
    with `step_up`, need a step-up where the context says so.

    Raise `Http404` after the receipt for rows that the tenant does not have.
    """

    def work() -> Done:
        require_scope(call.ctx, scope)
        if needs_step_up(scope, step_up=step_up, ctx=call.ctx):
            call.ctx = reauthenticate(call.request, call.ctx)
            require_step_up(call.ctx)
        return handler(call)

    outcome = result_or_refusal(work, inside=unit_of_work(call.ctx.tenant_id, actor=call.ctx), raises_failures=True)
    if isinstance(outcome, errors.ConfirmationRequired):
        outcome = _proposed(call, outcome)
    if isinstance(outcome, ThreadaError):
        record_refusal(outcome, ctx=call.ctx, request=call.request, subject=call.subject)
    if isinstance(outcome, errors.NotFound):
        raise Http404(outcome.detail)
    return outcome


def _proposed(call: Call, refusal: errors.ConfirmationRequired) -> Done | ThreadaError:
    """Store the change as a change set. Return a message with a link to it."""

    def work() -> Done:
        change_set = store_proposal(refusal, ctx=call.ctx)
        link = row_link("tenancy.changeset", change_set.public_id, change_set.title)
        return Done(format_html(_("A second person must publish this change: {}"), link))

    return result_or_refusal(work, inside=unit_of_work(call.ctx.tenant_id, actor=call.ctx), raises_failures=True)


def require_scope(ctx: ActingContext, scope: Scope | None) -> None:
    """Raise `ScopeMissing` unless `scope` is held anywhere in the tenant."""
    if scope is not None and not ctx.has_scope_anywhere(scope):
        raise errors.ScopeMissing(f"This needs the scope {scope.value}, which your roles do not have.")


def is_step_up_due(call: Call, spec: ActionSpec) -> bool:
    is_asked = needs_step_up(spec.scope, step_up=spec.step_up, ctx=call.ctx)
    return is_asked and not call.ctx.recently_reauthenticated(clock.now())


def step_up_first(call: Call, *, back: str) -> HttpResponse:
    """Redirect to the page that asks for a step-up, and from there to the page of the button."""
    messages.info(call.request, _("Confirm that it is you, then press the button again."))
    return HttpResponseRedirect(f"{reverse('admin:second_factor_confirm')}?{urlencode({'next': back})}")


def press(call: Call, spec: ActionSpec, handler: Handler, *, back: str) -> HttpResponse:
    """Run a button's action and redirect with its result, or first to the page that asks for a step-up."""
    if is_step_up_due(call, spec):
        return step_up_first(call, back=back)
    outcome = _refused_preparation(call, spec) or carry_out(call, spec.scope, handler, step_up=spec.step_up)
    if isinstance(outcome, Done):
        if outcome.message:
            messages.success(call.request, outcome.message)
        return HttpResponseRedirect(outcome.url or back)
    for sentence in sentences(outcome):
        messages.error(call.request, sentence)
    return HttpResponseRedirect(back)


def _refused_preparation(call: Call, spec: ActionSpec) -> ThreadaError | None:
    """Prepare the action. Return a refusal after its receipt, or None."""
    if spec.prepare is None:
        return None
    try:
        require_scope(call.ctx, spec.scope)
        call.prepared = spec.prepare(call)
    except ThreadaError as refusal:
        record_refusal(refusal, ctx=call.ctx, request=call.request, subject=call.subject)
        return refusal
    return None


def sentences(refusal: ThreadaError) -> list[str]:
    """Return a refusal as sentences: detail, field errors, and reasons of the tenant's policies."""
    found = [f"{detail_of(refusal)} ({refusal.reason_code})"]
    found += [f"{entry.pointer}: {_(entry.detail)}".removeprefix(": ") for entry in refusal.errors[:20] if entry.detail]
    found += [
        f"{reason['reason']}" + (f" (policy {reason['policy']}, rule {reason['rule']})" if "policy" in reason else "")
        for reason in refusal.reasons
    ]
    return found


def detail_of(refusal: ThreadaError) -> str:
    """Return the detail of a refusal in the language of the reader.

    A detail with values in it has no translation. Title and advice of its class then come first.
    """
    general = f"{refusal.title}. {refusal.advice}"
    translated = f"{_(refusal.title)}. {_(refusal.advice)}"
    if refusal.detail == general or not refusal.detail:
        return translated
    exact = _(refusal.detail)
    if exact != refusal.detail or translated == general:
        return exact
    return f"{translated} ({refusal.detail})"
