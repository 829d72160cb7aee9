"""Files of request forms, and the download of attachments in the console."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from threada_site.admin.actions import detail_of, sentences
from threada_site.api.refusals import record_refusal
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import ThreadaError
from workitems import selectors
from workitems.attachments.download import download_headers
from workitems.attachments.payload_files import complete_files
from workitems.attachments.selectors import open_file, stored_path, unused_of
from workitems.attachments.upload import check_upload, receive
from workitems.conversation.files import ReadableAttachment, attachment_named, path_to_read
from workitems.display.file_values import described
from workitems.display.formats import locale_named
from workitems.models import WorkItem
from workitems.portal.build import Form
from workitems.portal.entered import Entered
from workitems.portal.requests import own_request

FILE: Final = "file"
WITHOUT: Final = "_without"
"""Name of the box that removes the file of an optional field."""


def receive_files(
    request: HttpRequest, form: Form, entered: Entered, *, ctx: ActingContext
) -> tuple[Entered, dict[str, str]]:
    """Store the files that a form sent. Return the entries with their ids, and the errors of refused ones by pointer.

    Files are kept if the form is shown again. Opens its own units of work.
    """
    placed = dict.fromkeys(request.POST.getlist(WITHOUT), "")
    refused: dict[str, str] = {}
    for pointer, node in form.fields.items():
        sent = request.FILES.get(node.name) if node.kind == FILE else None
        if sent is None:
            continue
        limits = {name: node.attributes[name] for name in ("types", "most")}
        try:
            upload = check_upload(sent, name=sent.name or "", declared=sent.content_type or "", **limits)
            placed[pointer] = receive(upload, ctx=ctx).public_id
        except ThreadaError as refusal:
            record_refusal(refusal, ctx=ctx, request=request)
            refused[pointer] = detail_of(refusal)
    known = {pointer: text for pointer, text in placed.items() if pointer in form.fields}
    return (entered.with_texts(known) if known else entered), refused


def show_files(form: Form, *, ctx: ActingContext) -> None:
    """Describe the chosen files at their fields. Forget those that no longer exist. One statement if there are any."""
    nodes = [node for node in form.fields.values() if node.kind == FILE and node.text]
    parsed = {node.pointer: ids.parse_public_id(ids.ATTACHMENT, node.text) for node in nodes}
    rows = {row.id: row for row in unused_of(ctx).filter(id__in=[key for key in parsed.values() if key])}
    locale = locale_named(get_language())
    for node in nodes:
        key = parsed[node.pointer]
        row = rows.get(key) if key else None
        chosen = described(str(row.name), row.size, locale) if row is not None else ""
        node.attributes = {**node.attributes, "chosen": chosen}


def with_files(payload: Any, schema: Any, *, ctx: ActingContext) -> Any:
    """Return a payload with complete files, for its validation. Raise `AttachmentNotUsable`."""
    with unit_of_work(ctx.tenant_id, actor=ctx):
        return complete_files(payload, schema, ctx=ctx)[0]


@require_safe
def attachment_file(request: HttpRequest, key: str, frame: dict[str, Any]) -> HttpResponseBase:
    """Send the bytes of an attachment to a reader of its work item or comment. Opens its own unit of work."""
    ctx: ActingContext = request.acting_context  # type: ignore[attr-defined]
    parsed = ids.parse_public_id(ids.ATTACHMENT, key)
    with unit_of_work(ctx.tenant_id, actor=ctx):
        found = attachment_named(parsed, ctx=ctx, find_item=lambda item: _item(item, ctx=ctx)) if parsed else None
        if found is None:
            raise Http404(_("You have no such file."))
        outcome = _path(found, is_read=request.method != "HEAD", ctx=ctx)
    if request.method != "HEAD" and isinstance(outcome, str):
        outcome = _opened(found, outcome)
    if isinstance(outcome, ThreadaError):
        context = {**frame, "title": _("File"), "sentences": sentences(outcome)}
        return render(request, "workitems/portal/file_unavailable.html", context, status=outcome.status)
    headers = download_headers(found.row)
    if request.method == "HEAD":
        return HttpResponse(headers=headers)
    return StreamingHttpResponse(outcome.blocks(), headers=headers)


def _path(found: ReadableAttachment, *, is_read: bool, ctx: ActingContext) -> Any:
    try:
        return path_to_read(found, ctx=ctx) if is_read else stored_path(found.row)
    except errors.AttachmentErased as refusal:
        return refusal


def _opened(found: ReadableAttachment, path: str) -> Any:
    """Return the file, read outside of any transaction."""
    try:
        return open_file(found.row, path)
    except errors.AttachmentUnavailable as refusal:
        return refusal


def _item(item_id: uuid.UUID, *, ctx: ActingContext) -> WorkItem | None:
    """Return a work item that the reader sees in the queue, or among the own requests."""
    found = selectors.work_item(item_id, ctx=ctx)
    return found or own_request(ids.public_id(ids.WORK_ITEM, item_id), ctx=ctx)
