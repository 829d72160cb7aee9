"""The `webhook` connector: one signed message (https://www.standardwebhooks.com) to the integration's URL.

The request in the envelope is `{method: POST, url, headers, signed_with, body}` and optionally `files` and `files_as`:

    body           {type, timestamp, data}, sent as its canonical bytes (RFC 8785); `timestamp` is the envelope's time.
                   With files also `files`: a list of {attachment_id, name, media_type, size, sha256}
    signed_with    references of the keys; with two keys the message has both signatures
    files_as       base64: each file of the message also has its bytes as `content`; at most 5 MiB together.
                   multipart: a form with the part `message`, which is the signed text, and a part `file` for each file,
                   whose digests the message contains

A call adds webhook-id (the execution, the same for every attempt), webhook-timestamp and webhook-signature, and the
headers of every call.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.attempts.outcomes import Outcome
from integrations.connectors.attached_files import form_body, render_files, whole_file
from integrations.connectors.exchange import exchange, outbound_request, url_of
from integrations.connectors.protocol import CallTerms
from integrations.connectors.standard_webhooks import signed_headers, signing_key
from integrations.documents import ActionDocument, IntegrationDocument
from integrations.documents.templates import render
from integrations.documents.webhook_actions import WebhookCall
from integrations.secrets.references import parse_reference
from integrations.transport import StreamedBody
from threada_site.kernel.json.canonical import canonical_bytes

MOST_INLINE_BYTES: Final = 5 * 1024 * 1024
"""Size of all files that are sent inside of a message."""
MOST_STREAMED_BYTES: Final = 100 * 1024 * 1024
"""Size of all files that are sent beside a message."""


class WebhookConnector:
    """Posts only to the URL of the integration's `base_url`."""

    name: Final = "webhook"

    def build_request(
        self, integration: IntegrationDocument, action: ActionDocument, facts: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Build the request, see `Connector.build_request`."""
        call = action.call
        if not isinstance(call, WebhookCall):
            raise TypeError(f"The action {action.slug} is not one of a webhook integration.")
        most = MOST_INLINE_BYTES if call.files_as == "base64" else MOST_STREAMED_BYTES
        files = render_files(call.files, facts, most=most)
        return {
            **({"files": files, "files_as": call.files_as} if files else {}),
            "method": "POST",
            "url": url_of(integration, call.path, facts),
            "headers": {name: render(value, facts) for name, value in call.headers},
            "signed_with": [reference.as_json() for reference in integration.secrets],
            "body": {
                "type": render(call.type, facts),
                "timestamp": facts["ctx"]["now"],
                "data": render(call.data, facts),
                **({"files": files} if files else {}),
            },
        }

    def call(self, request: Mapping[str, Any], terms: CallTerms) -> Outcome:
        """Send the message, see `OutboundConnector.call`."""
        secrets: list[str] = []
        try:
            message = _message(request, terms)
            body, typed = _sent(request, message, terms)
            keys = [_key(reference, request["url"], terms, secrets) for reference in request["signed_with"]]
            signed = signed_headers(message, message_id=terms.idempotency_key, at=terms.now, keys=keys)
            outbound = outbound_request(request, body, terms, {**typed, **dict(signed)})
        except TransportFailure as failure:
            return Outcome.of_failure(failure)
        return exchange(outbound, terms, secrets=secrets)


def _message(request: Mapping[str, Any], terms: CallTerms) -> bytes:
    """Return the text that is signed. Raises `TransportFailure`, before anything is sent."""
    if request.get("files_as") != "base64":
        return canonical_bytes(request["body"])
    files = [
        {**about, "content": base64.b64encode(whole_file(about, terms)).decode()} for about in request["body"]["files"]
    ]
    return canonical_bytes({**request["body"], "files": files})


def _sent(request: Mapping[str, Any], message: bytes, terms: CallTerms) -> tuple[bytes | StreamedBody, dict[str, str]]:
    """Return the body, and the header of its type if it is a form. Raises `TransportFailure`."""
    if request.get("files_as") != "multipart":
        return message, {}
    parts = [{"name": "message", "value": message.decode()}]
    parts += [{"name": "file", "file": about} for about in request["files"]]
    body, media_type = form_body(parts, terms)
    return body, {"Content-Type": media_type}


def _key(written: Any, url: str, terms: CallTerms, secrets: list[str]) -> bytes:
    reference = parse_reference(written)
    secret = terms.secret(reference, sent_to=url).reveal()
    secrets.append(secret)
    try:
        return signing_key(secret)
    except ValueError as error:
        detail = f"The secret {reference} {error}."
        raise TransportFailure(FailureClass.CREDENTIAL_UNAVAILABLE, detail) from None
