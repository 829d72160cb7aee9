"""Page `/console/request/{workflow}`: the form of a workflow, its drafts, and its submission."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from policies.documents import payload_schema as payloads
from telemetry.receipts.format import Subject
from threada_site.admin.actions import sentences
from threada_site.admin.forms import form_response
from threada_site.api.refusals import record_refusal, result_or_refusal
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.json.canonical import canonical_bytes
from workitems.models import RequestDraft
from workitems.portal.build import MAX_ROWS, Form, build_form
from workitems.portal.catalogue import Requestable, requestable
from workitems.portal.drafts import draft_named, save_draft
from workitems.portal.entered import Entered, entered_from, entered_from_json
from workitems.portal.files import WITHOUT, receive_files, show_files, with_files
from workitems.portal.prefill import Prefilled, prefilled
from workitems.portal.requests import denial_in_words
from workitems.portal.submit import Submitted, submit_request, submitted_under
from workitems.portal.tokens import FormToken, new_token, read_token

_OWN_PARAMETERS: Final = frozenset({"draft"})
_TRIES: Final = 10
_PAUSE_S: Final = 0.3
"""Pause until the second of two simultaneous submissions of one form asks again for the first one's result."""


@dataclass(slots=True, kw_only=True)
class _Page:
    """State of one page: what was typed, and what is said above the form."""

    workflow: Requestable
    entered: Entered
    link: Prefilled
    draft: RequestDraft | None = None
    lost: tuple[tuple[str, str], ...] = ()
    token: str = ""
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    earlier: str = ""
    is_refused: bool = False
    failure: ThreadaError | None = None
    refused_files: dict[str, str] = field(default_factory=dict)
    validates: bool = False
    asks_to_confirm: bool = False


@require_http_methods(["GET", "HEAD", "POST"])
def request_page(request: HttpRequest, slug: str, frame: dict[str, Any]) -> HttpResponse:
    """Show the form of a workflow; save it as a draft, or send the request."""
    ctx: ActingContext = request.acting_context  # type: ignore[attr-defined]
    with unit_of_work(ctx.tenant_id, actor=ctx):
        page = _opened(request, slug, ctx=ctx)
    done: str | None = None
    if request.method == "POST":
        if request.FILES or WITHOUT in request.POST:
            form = _form(page.workflow, page.entered)
            page.entered, page.refused_files = receive_files(request, form, page.entered, ctx=ctx)
        done = _acted(request, page, ctx=ctx)
    if done is not None:
        return HttpResponseRedirect(done)
    with unit_of_work(ctx.tenant_id, actor=ctx):
        return form_response(_rendered(request, page, frame, ctx=ctx), page.failure, is_sent=page.is_refused)


def _opened(request: HttpRequest, slug: str, *, ctx: ActingContext) -> _Page:
    """Return the page with what was sent, or else with the draft and the values of the link."""
    workflow = requestable(slug, ctx=ctx)
    if workflow is None:
        raise Http404(_("There is no such request form for you here."))
    given = [(name, values[-1]) for name, values in request.GET.lists() if name not in _OWN_PARAMETERS and values]
    link = prefilled(given, Entered(), lambda entered: _form(workflow, entered))
    named = request.POST.get("_draft") or request.GET.get("draft", "")
    draft = draft_named(named, ctx=ctx) if named else None
    if draft is not None and draft.workflow != slug:
        draft = None
    if request.method == "POST":
        return _Page(workflow=workflow, entered=entered_from(request.POST), link=link, draft=draft)
    if draft is None:
        return _Page(workflow=workflow, entered=link.entered, link=link)
    entered = entered_from_json(draft.entered)
    page = _Page(workflow=workflow, entered=entered, link=replace(link, pointers=frozenset(), unknown=()), draft=draft)
    if draft.workflow_version_id != workflow.version_id:
        page.notes.append(_("The workflow changed after you saved this draft. Check the form."))
    page.lost = _lost(entered, _form(workflow, entered))
    return page


def _acted(request: HttpRequest, page: _Page, *, ctx: ActingContext) -> str | None:
    """Carry out the pressed button. Return the next page, or None to show the form again."""
    sent = request.POST
    if "_add" in sent:
        page.entered = page.entered.with_row(sent["_add"], most=MAX_ROWS)
    elif "_remove" in sent:
        page.entered = page.entered.without_row(sent["_remove"])
    elif "_update" in sent:
        pass
    elif "_save" in sent:
        return _saved(request, page, ctx=ctx)
    else:
        page.validates = True
        return _sent(request, page, ctx=ctx)
    page.token = sent.get("_token", "")
    return None


def _saved(request: HttpRequest, page: _Page, *, ctx: ActingContext) -> str | None:
    draft_id = page.draft.id if page.draft else None
    outcome = _done(page, lambda: save_draft(page.workflow, page.entered, draft_id=draft_id, ctx=ctx), ctx=ctx)
    if isinstance(outcome, ThreadaError):
        page.problems, page.token = [outcome.detail], request.POST.get("_token", "")
        return None
    messages.success(request, _("The draft is saved. You find it under My requests."))
    query = QueryDict(mutable=True)
    query["draft"] = outcome.public_id
    return f"{_address(page.workflow)}?{query.urlencode()}"


def _sent(request: HttpRequest, page: _Page, *, ctx: ActingContext) -> str | None:
    """Send the request. Return the address of its page, or None with what is wrong."""
    token = read_token(request.POST.get("_token", ""), ctx=ctx)
    form = _form(page.workflow, page.entered)
    page.is_refused, page.token = True, request.POST.get("_token", "") if token else ""
    if token is None:
        page.validates = False
        page.problems.append(_("This form was open for too long, or was not opened here. Check it and send it again."))
    elif token.version_id != page.workflow.version_id:
        page.validates, page.token = False, ""
        page.problems.append(_("The workflow changed while you filled in the form. Check it and send it again."))
    elif _unseen(form, page.entered):
        page.validates = False
        page.problems.append(_("The form has other fields after your entries. Check them and send it again."))
    elif _errors_in(form, page.workflow, ctx=ctx) or page.refused_files:
        return None
    elif _unconfirmed(page, form) and "_confirmed" not in request.POST:
        page.asks_to_confirm = True
        page.problems.append(_("Confirm the values that a link filled in, or change them."))
    else:
        return _submitted(request, page, form.payload, token, ctx=ctx)
    return None


def _submitted(request: HttpRequest, page: _Page, payload: Any, token: FormToken, *, ctx: ActingContext) -> str | None:
    outcome: Submitted | ThreadaError
    for attempt in range(_TRIES):
        outcome = _done(
            page,
            lambda: submit_request(
                page.workflow, payload, key=token.key, draft_id=page.draft.id if page.draft else None, ctx=ctx
            ),
            ctx=ctx,
        )
        if not isinstance(outcome, errors.IdempotencyInFlight):
            break
        if attempt + 1 < _TRIES:
            time.sleep(_PAUSE_S)
    if isinstance(outcome, Submitted):
        if outcome.is_repeated:
            messages.info(request, _("This form was sent before. This is the request that it made."))
        else:
            messages.success(request, _("Your request is sent."))
        return reverse("admin:own_request", args=[outcome.work_item])
    record_refusal(outcome, ctx=ctx, request=request, subject=Subject(workflow=page.workflow.slug))
    with unit_of_work(ctx.tenant_id, actor=ctx):
        page.problems = _refused(page, outcome, token, ctx=ctx)
    return None


def _done[Result](page: _Page, work: Callable[[], Result], *, ctx: ActingContext) -> Result | ThreadaError:
    """Return the result of `work`, or its refusal or failure, for which the page keeps the entries."""
    outcome: Result | ThreadaError
    try:
        outcome = result_or_refusal(work, inside=unit_of_work(ctx.tenant_id, actor=ctx), raises_failures=True)
    except ThreadaError as failure:
        outcome = page.failure = failure
    page.is_refused = isinstance(outcome, ThreadaError)
    return outcome


def _refused(page: _Page, refusal: ThreadaError, token: FormToken, *, ctx: ActingContext) -> list[str]:
    """Return a refusal as sentences for the person who requests."""
    page.validates = isinstance(refusal, errors.PayloadSchemaViolation)
    if isinstance(refusal, errors.IdempotencyKeyReused):
        page.earlier = submitted_under(page.workflow.slug, token.key, ctx=ctx) or ""
        page.token = ""
        return [_("This form was sent before with other values. To request these values too, send it again.")]
    if isinstance(refusal, errors.PolicyDenied):
        page.earlier = submitted_under(page.workflow.slug, token.key, ctx=ctx) or ""
        page.token = ""
        return [_("A policy does not allow this request. Nothing was executed."), *denial_in_words(refusal)]
    if isinstance(refusal, errors.ExpressionFailed):
        said = _("The action cannot be made from these entries. Tell those who maintain the workflow.")
        return [said, f"{refusal.detail} ({refusal.reason_code})"]
    return sentences(refusal)


def _rendered(request: HttpRequest, page: _Page, frame: dict[str, Any], *, ctx: ActingContext) -> str:
    form = _form(page.workflow, page.entered)
    if page.validates:
        _errors_in(form, page.workflow, ctx=ctx)
    show_files(form, ctx=ctx)
    for pointer, said in page.refused_files.items():
        form.fields[pointer].errors[:] = [said]
    marked = _unconfirmed(page, form)
    for pointer in marked:
        form.fields[pointer].prefilled = True
    return render_to_string(
        "workitems/portal/form.html",
        {
            **frame,
            "title": page.workflow.name,
            "workflow": page.workflow,
            "form": form,
            "page": page,
            "marked": marked,
            "token": page.token or new_token(page.workflow.version_id, ctx=ctx),
            "shows_confirmation": bool(marked),
            "failing": form.with_errors,
            "takes_drafts": page.workflow.takes_drafts,
        },
        request,
    )


def _form(workflow: Requestable, entered: Entered) -> Form:
    document = workflow.document
    return build_form(
        document.payload_schema,
        entered,
        assert_format=document.assert_format,
        zone=timezone.get_current_timezone(),
    )


def _errors_in(form: Form, workflow: Requestable, *, ctx: ActingContext) -> bool:
    """Place the errors of the payload at their fields. Return True if there are any."""
    document = workflow.document
    try:
        canonical_bytes(form.payload)
        payload = with_files(form.payload, document.payload_schema, ctx=ctx)
        found = payloads.validate(document.payload_schema, payload, assert_format=document.assert_format)
    except errors.AttachmentNotUsable as refusal:
        form.place_errors(list(refusal.errors))
        return True
    except ThreadaError as refusal:
        form.errors.append(refusal.detail)
        return True
    form.place_errors(found)
    return bool(found) or not form.is_readable


def _unseen(form: Form, entered: Entered) -> bool:
    """Return True if the form has fields that the person was not shown when sending it."""
    return any(not entered.was_shown(pointer) for pointer in form.fields)


def _unconfirmed(page: _Page, form: Form) -> list[str]:
    """Return the pointers of fields that still have the value of the link."""
    fields = form.fields
    return [
        pointer
        for pointer in sorted(page.link.pointers)
        if pointer in fields and page.entered.text(pointer).strip() == page.link.entered.text(pointer).strip()
    ]


def _lost(entered: Entered, form: Form) -> tuple[tuple[str, str], ...]:
    """Return the entries of a draft that the form has no field for, as pairs of pointer and text."""
    known = form.fields
    return tuple(
        (pointer, text[:200])
        for pointer, texts in sorted(entered.texts.items())
        if pointer not in known and (text := " ".join(texts).strip())
    )


def _address(workflow: Requestable) -> str:
    return reverse("admin:request_form", args=[workflow.slug])
