"""The `http` connector: one request built from the action's templates, one response classified by its status.

The request in the envelope is `{method, url, headers, auth}` and optionally `body`, `form`, `file` or `multipart`, and
`succeeds_when`:

    headers    an object, names as written in the document
    body       any JSON value, sent as its canonical bytes (RFC 8785)
    form       text, sent as it is, as application/x-www-form-urlencoded
    file       {attachment_id, name, media_type, size, sha256}: its bytes are the body
    multipart  a list of {name, value} and {name, file}, sent as multipart/form-data
    auth       null, {scheme: bearer, secret}, {scheme: basic, username, secret}, {scheme: header, name, secret} or
               {scheme: mtls, certificate, private_key}, secrets by reference
    succeeds_when  the condition of the action, which judges answers of 2xx

Files are read and checked as a whole before anything is sent. In addition, a call sends the header of its
authentication, Idempotency-Key, User-Agent, traceparent (if there is one), and, unless the action sets them, Accept and
(with a JSON body) Content-Type, both application/json.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from integrations.attempts.failures import TransportFailure
from integrations.attempts.outcomes import Outcome
from integrations.connectors.answer_conditions import judge_by
from integrations.connectors.attached_files import form_body, render_file, render_parts
from integrations.connectors.call_credentials import authenticated
from integrations.connectors.exchange import exchange, outbound_request, query_value, url_of
from integrations.connectors.protocol import CallTerms
from integrations.connectors.url_forms import MEDIA_TYPE, encode_form
from integrations.documents import ActionDocument, HttpCall, IntegrationDocument
from integrations.documents.templates import render
from integrations.transport import StreamedBody
from threada_site.kernel.json.canonical import canonical_bytes


class HttpConnector:
    """Uses HTTP/1.1 and calls only the host of the integration's `base_url`."""

    name: Final = "http"

    def build_request(
        self, integration: IntegrationDocument, action: ActionDocument, facts: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Build the request, see `Connector.build_request`."""
        call = action.call
        if not isinstance(call, HttpCall):
            raise TypeError(f"The action {action.slug} is not one of an http integration.")
        query = "&".join(f"{quote(name, safe='')}={query_value(name, value, facts)}" for name, value in call.query)
        request = {
            "method": call.method,
            "url": url_of(integration, call.path, facts, query),
            "headers": {name: render(value, facts) for name, value in call.headers},
            "auth": None if integration.auth is None else integration.auth.as_json(),
        }
        if call.succeeds_when is not None:
            request["succeeds_when"] = call.succeeds_when
        if call.form is not None:
            return {**request, "form": encode_form(render(call.form, facts))}
        if call.file is not None:
            return {**request, "file": render_file(call.file, facts)}
        if call.multipart:
            return {**request, "multipart": render_parts(call.multipart, facts)}
        return request if call.body is None else {**request, "body": render(call.body, facts)}

    def call(self, request: Mapping[str, Any], terms: CallTerms) -> Outcome:
        """Send the request, see `OutboundConnector.call`."""
        secrets: list[str] = []
        try:
            judge = judge_by(request.get("succeeds_when"))
            body, typed = _body(request, terms)
            terms, own = authenticated(request, terms, secrets)
            outbound = outbound_request(request, body, terms, {**own, **typed})
        except TransportFailure as failure:
            return Outcome.of_failure(failure)
        return exchange(outbound, terms, secrets=secrets, judge=judge)


def _body(request: Mapping[str, Any], terms: CallTerms) -> tuple[bytes | StreamedBody, dict[str, str]]:
    """Return the body, and the header of its type if it is a file or form. Raises `TransportFailure`."""
    if "form" in request:
        return request["form"].encode(), {"Content-Type": MEDIA_TYPE}
    if "file" in request:
        file = terms.file(request["file"])
        has_type = any(name.lower() == "content-type" for name in request["headers"])
        return StreamedBody(file.size, file.blocks), {} if has_type else {"Content-Type": request["file"]["media_type"]}
    if "multipart" in request:
        body, media_type = form_body(request["multipart"], terms)
        return body, {"Content-Type": media_type}
    return canonical_bytes(request["body"]) if "body" in request else b"", {}
