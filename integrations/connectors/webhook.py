"""The `webhook` connector: one signed message (https://www.standardwebhooks.com) to the integration's URL.

The request in the envelope is `{method: POST, url, headers, signed_with, body}`:

    body           {type, timestamp, data}, sent as its canonical bytes (RFC 8785); `timestamp` is the envelope's time
    signed_with    references of the keys; with two keys the message has both signatures

A call adds webhook-id (the execution, the same for every attempt), webhook-timestamp and webhook-signature, and the
headers of every call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.attempts.outcomes import Outcome
from integrations.connectors.exchange import exchange, outbound_request, url_of
from integrations.connectors.protocol import CallTerms
from integrations.connectors.standard_webhooks import signed_headers, signing_key
from integrations.documents import ActionDocument, IntegrationDocument
from integrations.documents.templates import render
from integrations.documents.webhook_actions import WebhookCall
from integrations.secrets.references import parse_reference
from threada_site.kernel.json.canonical import canonical_bytes


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
        return {
            "method": "POST",
            "url": url_of(integration, call.path, facts),
            "headers": {name: render(value, facts) for name, value in call.headers},
            "signed_with": [reference.as_json() for reference in integration.secrets],
            "body": {
                "type": render(call.type, facts),
                "timestamp": facts["ctx"]["now"],
                "data": render(call.data, facts),
            },
        }

    def call(self, request: Mapping[str, Any], terms: CallTerms) -> Outcome:
        """Send the message, see `OutboundConnector.call`."""
        secrets: list[str] = []
        body = canonical_bytes(request["body"])
        try:
            keys = [_key(reference, request["url"], terms, secrets) for reference in request["signed_with"]]
            signed = signed_headers(body, message_id=terms.idempotency_key, at=terms.now, keys=keys)
            outbound = outbound_request(request, body, terms, dict(signed))
        except TransportFailure as failure:
            return Outcome.of_failure(failure)
        return exchange(outbound, terms, secrets=secrets)


def _key(written: Any, url: str, terms: CallTerms, secrets: list[str]) -> bytes:
    reference = parse_reference(written)
    secret = terms.secret(reference, sent_to=url).reveal()
    secrets.append(secret)
    try:
        return signing_key(secret)
    except ValueError as error:
        detail = f"The secret {reference} {error}."
        raise TransportFailure(FailureClass.CREDENTIAL_UNAVAILABLE, detail) from None
