"""`/attachments`: upload of files, their description and their bytes."""

from __future__ import annotations

from typing import IO, Any, cast

import orjson
from django.core.exceptions import SuspiciousOperation
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import MemoryFileUploadHandler, TemporaryFileUploadHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.http.response import HttpResponseBase
from rest_framework.decorators import action
from rest_framework.parsers import BaseParser
from rest_framework.response import Response

from threada_site.api.bodies import UNDECLARED, body_limit
from threada_site.api.idempotency import idempotent
from threada_site.api.models import IdempotencyRecord
from threada_site.api.negotiation import AnyNegotiation
from threada_site.api.operations import operation
from threada_site.api.stored_answers import opened_answer
from threada_site.api.viewsets import TenantViewSet
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import FieldError, ThreadaError
from workitems.api.resources.attachments import ATTACHMENT, ATTACHMENT_CONTENT
from workitems.api.shapes import UPLOAD_ATTACHMENT
from workitems.attachments.download import download_headers
from workitems.attachments.selectors import open_file, stored_path
from workitems.attachments.upload import Upload, announce, announced_again, check_upload, store
from workitems.conversation.files import ReadableAttachment, attachment_named, path_to_read
from workitems.items.receipts import subject_of
from workitems.items.sensitive import record_reading
from workitems.models import Attachment


class UploadParser(BaseParser):
    """Parser of forms with one file, `file`. Its data is what is known of the file; the file is `request.upload`."""

    media_type = "multipart/form-data"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> Any:
        request = (parser_context or {})["request"]
        limit = body_limit(request.META)
        declared = "" if UNDECLARED in request.META else request.META.get("CONTENT_LENGTH", "")
        if declared.isdigit() and int(declared) > limit:
            raise errors.PayloadTooLarge(f"The body has {declared} bytes; {limit} are allowed.")
        handlers = [MemoryFileUploadHandler(request), TemporaryFileUploadHandler(request)]
        try:
            fields, files = MultiPartParser(
                {**request.META, "CONTENT_TYPE": media_type}, cast("Any", stream), handlers
            ).parse()
        except (MultiPartParserError, SuspiciousOperation) as error:
            raise errors.BadRequest(f"The form cannot be read: {error}") from None
        unknown = [name for name in (*fields, *files) if name != "file"]
        if unknown or len(files.getlist("file")) != 1:
            raise errors.InvalidRequest(
                "Send a form with one file under the name file.",
                errors=[FieldError("/file", "is required, once and alone", "required")],
            )
        sent = cast("UploadedFile", files["file"])
        request.upload = check_upload(sent, name=sent.name or "", declared=sent.content_type or "")
        return request.upload.as_json()


class AttachmentViewSet(TenantViewSet):
    id_prefix = ids.ATTACHMENT
    lookup_url_kwarg = "attachment_id"
    parser_classes = [UploadParser]
    resource = ATTACHMENT
    tag = "Attachments"
    announced: Attachment | None = None
    to_read: tuple[Attachment, str] | None = None

    def replayed(self, request: Any, record: IdempotencyRecord) -> HttpResponseBase:
        """Return the first answer. If its file was not written, because the instance stopped, write it now."""
        found = ids.parse_public_id(ids.ATTACHMENT, str(orjson.loads(opened_answer(record)).get("attachment_id", "")))
        self.announced = announced_again(found, ctx=request.auth) if found is not None else None
        return super().replayed(request, record)

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Write or read the file after the transaction that announces or finds it, and before the answer."""
        self.announced = self.to_read = None
        response = super().dispatch(request, *args, **kwargs)
        try:
            if self.announced is not None and response.status_code == 201:
                store(self.announced, self.request.upload, ctx=request.acting_context)
            elif self.to_read is not None and response.status_code == 200:
                file = open_file(*self.to_read)
                return StreamingHttpResponse(file.blocks(), headers=dict(response.items()))
        except ThreadaError as refusal:
            self._forget_answer()
            return self._refused(refusal)
        return response

    @operation(
        "uploadAttachment",
        "Upload a file",
        scope=Scope.WORKITEMS_READ,
        body=UPLOAD_ATTACHMENT,
        body_media_type=UploadParser.media_type,
        answers={201: ATTACHMENT},
        headers=("Location",),
        reasons=("attachment_too_large", "attachment_type_refused", "attachment_unavailable", "quota_exceeded"),
    )
    @idempotent
    def create(self, request: Any) -> Response:
        """Store a file for a payload or a comment. Only its uploader uses it, once; it is deleted if unused for a day.

        Needs `workitems:write` or `decisions:decide` on any workflow.

        The type follows from the ending of the name, and must agree with the bytes.
        """
        if not request.data:  # there is no body, so nothing was parsed
            raise errors.InvalidRequest(errors=[FieldError("/file", "is required", "required")])
        upload: Upload = request.upload
        self.announced = announce(upload, ctx=request.auth)
        return self.created(self.announced)

    @operation("readAttachment", "Read what is known of a file", scope=Scope.WORKITEMS_READ, answers={200: ATTACHMENT})
    def retrieve(self, request: Any, attachment_id: str) -> Response:
        """Return a file's name, size, type and digest. Readers are those of its work item or comment."""
        return self.shown(self.get_object().row)

    @action(detail=True, content_negotiation_class=AnyNegotiation)
    @operation(
        "downloadAttachment",
        "Download a file",
        scope=Scope.WORKITEMS_READ,
        answers={200: ATTACHMENT_CONTENT},
        headers=("ETag",),
        reasons=("attachment_erased", "attachment_unavailable"),
    )
    def content(self, request: Any, attachment_id: str) -> HttpResponseBase:
        """Return the bytes that were uploaded, after checking their digest. Never shown inside of a page."""
        found = self.get_object()
        headers = download_headers(found.row)
        if request.method == "HEAD":  # the file itself is not read: a short request must not cost that
            stored_path(found.row)
        else:
            self.to_read = (found.row, path_to_read(found, ctx=request.auth))
        return HttpResponse(headers=headers)

    def get_object(self) -> ReadableAttachment:
        """Return the file that the path names, and record the reading of its work item. Raise `NotFound`."""
        found = attachment_named(self.row_id, ctx=self.request.auth)
        if found is None:
            raise errors.NotFound
        if found.item is not None:
            self.subject = subject_of(found.item)
            record_reading(found.item, ctx=self.request.auth)  # the name of a file is contents, too
        return found

    def _forget_answer(self) -> None:
        """Delete the stored answer of an upload whose file could not be written."""
        reservation, self.key_reservation = self.key_reservation, None
        if reservation is not None:
            ctx = reservation.context
            with unit_of_work(ctx.tenant_id, actor=ctx):
                IdempotencyRecord.objects.filter(
                    tenant_id=ctx.tenant_id, principal_id=ctx.principal_id, path=reservation.path, key=reservation.key
                ).delete()
