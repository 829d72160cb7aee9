"""`/callbacks`: outcomes that receivers report later. The receiver signs the request; it needs no credential."""

from __future__ import annotations

from typing import Any, Final

from rest_framework.response import Response

from threada_site.api.operations import operation
from threada_site.api.shapes import shape
from threada_site.api.system import PublicView
from threada_site.kernel import clock
from threada_site.kernel.errors import NotFound, PayloadTooLarge
from threada_site.kernel.json.strict import parse_json
from workitems.executions.callbacks import Answer, is_callback_id, named_execution, take_answer

MAX_BODY_BYTES: Final = 64 * 1024
CALLBACK: Final = shape(
    {
        "status": {"enum": ["succeeded", "failed"]},
        "detail": {"type": "string", "maxLength": 2000, "description": "Reason of the failure, for people."},
        "data": {"description": "Any JSON, stored as the result of the execution."},
    },
    required=("status",),
    example={"status": "succeeded", "data": {"payment_id": "p-17"}},
)


class Callback(PublicView):
    http_method_names = ["post"]

    @operation(
        "receiveCallback",
        "Report the outcome of an execution",
        tag="Executions",
        body=CALLBACK,
        answers={204: None},
        reasons=("execution_in_progress", "callback_contradicted"),
    )
    def post(self, request: Any, callback_id: str) -> Response:
        """Report the outcome of an execution that waits for a callback.

        Signed as in Standard Webhooks (`webhook-id`, `webhook-timestamp`, `webhook-signature`) with one of the
        integration's `callback_secrets`. A wrong signature and an unknown id both answer `not_found`. A repeated
        callback changes nothing. One that contradicts the recorded outcome answers `callback_contradicted` and leaves
        a receipt.
        """
        if not is_callback_id(callback_id):
            raise NotFound
        raw = _body_of(request)
        headers = {
            name: request.headers.get(name, "") for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
        }
        named = named_execution(callback_id, headers, raw, now=clock.now())
        sent = CALLBACK.check(parse_json(raw))
        answer = Answer(sent["status"], sent.get("detail", ""), sent.get("data"))
        take_answer(named, answer, message_id=headers["webhook-id"])
        return Response(status=204)


def _body_of(request: Any) -> bytes:
    """Return the signed bytes. Raise `PayloadTooLarge` above the size limit."""
    raw: bytes = request.read(MAX_BODY_BYTES + 1)
    if len(raw) > MAX_BODY_BYTES:
        raise PayloadTooLarge(f"The body of a callback must not exceed {MAX_BODY_BYTES} bytes.")
    return raw
