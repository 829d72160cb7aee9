"""`/callbacks`: what receivers say later. No credential: the receiver signs what it sends."""

from __future__ import annotations

from typing import Any, Final

from rest_framework.response import Response

from threada_site.api.operations import operation
from threada_site.api.shapes import shape
from threada_site.api.system import PublicView
from threada_site.kernel import clock
from threada_site.kernel.errors import PayloadTooLarge
from threada_site.kernel.json.strict import parse_json
from workitems.executions.callbacks import Answer, named_execution, take_answer

MAX_BODY_BYTES: Final = 64 * 1024
SIGNATURE_HEADERS: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")
CALLBACK: Final = shape(
    {
        "status": {"enum": ["succeeded", "failed"]},
        "detail": {"type": "string", "maxLength": 2000, "description": "Why it failed, for people."},
        "data": {"description": "Any JSON, kept as the execution's result."},
    },
    required=("status",),
    example={"status": "succeeded", "data": {"payment_id": "p-17"}},
)


class Callback(PublicView):
    http_method_names = ["post"]

    @operation(
        "receiveCallback",
        "Report the outcome of an execution that waits for its callback",
        tag="Executions",
        body=CALLBACK,
        answers={204: None},
        reasons=("execution_in_progress",),
    )
    def post(self, request: Any, callback_id: str) -> Response:
        """Signed as Standard Webhooks has it (`webhook-id`, `webhook-timestamp`, `webhook-signature`), with one of the
        integration's `callback_secrets`. Where the signature or the id is wrong, nothing is found. What is sent again
        changes nothing."""
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
    """The bytes that were signed, as many as are read at all."""
    raw: bytes = request._request.read(MAX_BODY_BYTES + 1)
    if len(raw) > MAX_BODY_BYTES:
        raise PayloadTooLarge(f"A callback has at most {MAX_BODY_BYTES} bytes.")
    return raw
