"""Pages of the catalogue, of a person's requests and drafts, and of one request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.contrib import messages
from django.contrib.admin import site
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from threada_site.admin.actions import Call, Done, carry_out, sentences
from threada_site.admin.confirmation import REASON, Effects, confirmation_page, is_confirmed, with_reason
from threada_site.admin.lists import list_page
from threada_site.database.joint_reads import fetch_together
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope, Visibility
from workitems import selectors
from workitems.api.shapes import CLOSE_WORK_ITEM
from workitems.executions.close_item import cancel_work_item
from workitems.explain.gather import explain_work_item
from workitems.items.erasable_fields import erased_by
from workitems.items.receipts import subject_of
from workitems.items.requester_questions import waits_for_requester
from workitems.items.sensitive import record_reading
from workitems.items.titles import title_of
from workitems.models import RequestDraft
from workitems.portal.catalogue import catalogue
from workitems.portal.drafts import delete_draft, drafts
from workitems.portal.entered import entered_from_json
from workitems.portal.requests import (
    denial_in_words,
    executions_of,
    locked_request,
    may_start,
    may_withdraw,
    own_request,
    own_requests,
    rows_of,
    start_request,
    tone_of,
    words_of,
    workflow_names,
)

LATEST: Final = 5
_PREVIEW: Final = 60
_OF_REQUESTERS: Final = frozenset({Scope.WORKITEMS_READ, Scope.WORKITEMS_WRITE, Scope.ACTIONS_EXECUTE})


@dataclass(frozen=True, slots=True)
class DraftRow:
    """Draft in a list; `name` is that of its workflow."""

    id: str
    workflow: str
    name: str
    preview: str
    saved_at: datetime


def is_requester_only(ctx: ActingContext) -> bool:
    """Return True for a person who requests, and neither decides, operates nor reads other people's cases."""
    held = set(ctx.scopes).union(*ctx.grants.workflows.values(), *ctx.grants.integrations.values())
    reads_all = ctx.has_scope_anywhere(Scope.WORKITEMS_READ) and ctx.row_visibility is Visibility.TENANT
    return ctx.has_scope_anywhere(Scope.WORKITEMS_WRITE) and held <= _OF_REQUESTERS and not reads_all


def home_context(ctx: ActingContext) -> dict[str, Any]:
    """Return the context of the catalogue on the first page: workflows, and the latest own requests.

    Requests that wait for an answer of the reader come first.
    """
    entries = catalogue(ctx)
    if not entries:
        return {"catalogue": (), "latest": (), "requests_only": is_requester_only(ctx)}
    newest = own_requests(ctx).order_by("-id")
    asked = [item for item in newest.filter(open_questions__gt=0)[:LATEST] if waits_for_requester(item)]
    others = [item for item in newest[:LATEST] if item not in asked]
    latest = [*asked, *others][:LATEST]
    return {
        "catalogue": entries,
        "latest": rows_of(latest, ctx=ctx) if latest else (),
        "requests_only": is_requester_only(ctx),
    }


@require_safe
def catalogue_page(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """Show the workflows that the reader may request."""
    ctx: ActingContext = request.acting_context  # type: ignore[attr-defined]
    sought = request.GET.get("q", "").strip()[:200]
    context = {**frame, "title": _("Make a request"), "catalogue": catalogue(ctx, sought=sought), "sought": sought}
    return HttpResponse(render_to_string("workitems/portal/catalogue.html", context, request))


@require_safe
def requests_page(request: HttpRequest, frame: dict[str, Any]) -> HttpResponse:
    """Show the reader's requests and drafts."""
    ctx: ActingContext = request.acting_context  # type: ignore[attr-defined]
    listed = list_page(
        own_requests(ctx), request.GET, ctx=ctx, filters=(), filterset=None, search=lambda rows, _text: rows, key="-id"
    )
    context = {
        **frame,
        "title": _("My requests"),
        "page": listed,
        "requests": rows_of(listed.rows, ctx=ctx) if listed.rows else (),
        "drafts": _draft_rows(ctx),
        "may_request": ctx.has_scope_anywhere(Scope.WORKITEMS_WRITE),
    }
    return HttpResponse(render_to_string("workitems/portal/requests.html", context, request))


@require_safe
def own_request_page(request: HttpRequest, key: str, frame: dict[str, Any]) -> HttpResponse:
    """Show one request of the reader."""
    ctx: ActingContext = request.acting_context  # type: ignore[attr-defined]
    # Pages of models register themselves at the site, which imports this module.
    from workitems.admin.contents import payload_of
    from workitems.admin.conversation import conversation_of, conversation_rows

    item = own_request(key, ctx=ctx)
    if item is None:
        raise Http404(_("You have no such request."))
    record_reading(item, ctx=ctx)
    conversation = conversation_rows(item, request.GET, ctx=ctx)
    fetch_together(*conversation.parts)
    context = {
        **frame,
        "title": title_of(item),
        "contents": payload_of(item, whole=request.GET.get("whole") == "1", ctx=ctx),
        **conversation_of(
            item,
            conversation,
            ctx=ctx,
            back=reverse("admin:own_request", args=[item.public_id]),
        ),
        "item": item,
        "workflow_name": item.workflow_version.workflow.name or item.workflow,
        "status": words_of(item),
        "tone": tone_of(item),
        "explanation": explain_work_item(item, ctx=ctx),
        "rejections": selectors.rejecting_comments(item, ctx=ctx),
        "executions": executions_of(item),
        "erased_by": erased_by(item),
        "may_withdraw": may_withdraw(item, ctx=ctx),
        "may_start": may_start(item, ctx=ctx),
    }
    return HttpResponse(render_to_string("workitems/portal/request.html", context, request))


@require_POST
def withdraw(request: HttpRequest, key: str) -> HttpResponse:
    """Withdraw a request of the acting person, after a page that asks for confirmation and a reason."""
    call = Call(request, request.acting_context, key)  # type: ignore[attr-defined]
    back = reverse("admin:own_request", args=[key])

    def effects_now(call: Call) -> Effects:
        item = own_request(key, ctx=call.ctx)
        if item is None:
            raise Http404(_("You have no such request."))
        said = _("{title} ends. What was executed stays; decisions and executions that are open end with it.")
        return Effects([said.format(title=title_of(item))])

    def work(call: Call) -> Done:
        item = locked_request(key, ctx=call.ctx)
        call.subject = subject_of(item)
        body = CLOSE_WORK_ITEM.check({"reason": call.sent(REASON)})
        cancel_work_item(item, ctx=call.ctx, reason=body["reason"])
        return Done(_("Your request is withdrawn."))

    if is_confirmed(call):
        return _pressed(request, with_reason(effects_now, work), back=back)
    with unit_of_work(call.ctx.tenant_id, actor=call.ctx):
        return confirmation_page(_OwnRequests, call, _("Withdraw request"), effects_now(call), back=back)


@require_POST
def start(request: HttpRequest, key: str) -> HttpResponse:
    """Start the action of a request about which people have decided."""

    def work(call: Call) -> Done:
        item = locked_request(key, ctx=call.ctx)
        call.subject = subject_of(item)
        start_request(item, ctx=call.ctx)
        return Done(_("Your request is sent on."))

    return _pressed(request, work, back=reverse("admin:own_request", args=[key]))


@require_POST
def discard_draft(request: HttpRequest, key: str) -> HttpResponse:
    """Delete a draft of the acting person."""

    def work(call: Call) -> Done:
        parsed = ids.parse_public_id(ids.REQUEST_DRAFT, key)
        if parsed is None:
            raise errors.NotFound(_("You have no such draft."))
        delete_draft(parsed, ctx=call.ctx)
        return Done(_("The draft is deleted."))

    return _pressed(request, work, back=reverse("admin:own_requests"))


class _OwnRequests:
    """List of own requests, to which the confirmation page leads back."""

    admin_site = site
    list_title = gettext_lazy("My requests")

    @staticmethod
    def list_url() -> str:
        return reverse("admin:own_requests")


def _pressed(request: HttpRequest, work: Any, *, back: str) -> HttpResponse:
    ctx: ActingContext = request.acting_context  # type: ignore[attr-defined]
    outcome = carry_out(Call(request, ctx, ""), None, work)
    if isinstance(outcome, Done):
        messages.success(request, outcome.message)
        return HttpResponseRedirect(back)
    said = (
        [outcome.detail, *denial_in_words(outcome)] if isinstance(outcome, errors.PolicyDenied) else sentences(outcome)
    )
    for sentence in said:
        messages.error(request, sentence)
    return HttpResponseRedirect(back)


def _draft_rows(ctx: ActingContext) -> list[DraftRow]:
    """Return the reader's drafts, each with its longest text as preview. Runs at most two statements."""
    rows = list(drafts(ctx))
    names = workflow_names({row.workflow for row in rows}, ctx=ctx) if rows else {}
    return [DraftRow(row.public_id, row.workflow, names[row.workflow], _preview(row), row.saved_at) for row in rows]


def _preview(row: RequestDraft) -> str:
    texts = [text.strip() for values in entered_from_json(row.entered).texts.values() for text in values]
    return max(texts, key=len, default="")[:_PREVIEW]
