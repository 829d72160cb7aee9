"""Requests of the script for passkeys: where they come from, what they contain, and how they are answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from threada_site.api.problems import CONTENT_TYPE, problem_document
from threada_site.api.refusals import as_threada_error, record_refusal
from threada_site.identity.factors.passkeys.relying_party import RelyingParty, relying_party
from threada_site.identity.factors.passkeys.use import Answer
from threada_site.kernel import errors
from threada_site.kernel.errors import ThreadaError

_MOST_BYTES: Final = 16 * 1024
"""Longest answer of a passkey. Attestations with certificates, the longest, have a few thousand bytes."""


def party_of(request: HttpRequest) -> RelyingParty:
    """Return the relying party of this instance. Raise `PasskeysUnavailable`."""
    return relying_party(settings.THREADA_PUBLIC_URL, scheme=request.scheme or "http", host=request.get_host())


def correlation_of(request: HttpRequest) -> str:
    """Return the correlation id of a request."""
    return str(request.correlation_id)  # type: ignore[attr-defined]


def session_secret(request: HttpRequest) -> str:
    """Return the key of the session, which only this browser has; "" if nobody is signed in."""
    return (request.session.session_key or "") if request.user.is_authenticated else ""


def csrf_secret(request: HttpRequest) -> str:
    """Return the secret of this browser that protects its forms before there is a session; "" without its cookie."""
    return request.COOKIES.get(settings.CSRF_COOKIE_NAME, "")


def answer_of(request: HttpRequest) -> Answer:
    """Return what the page sends after a passkey was used. Raise `PasskeyInvalid`."""
    sent = request.POST.get("credential", "")
    try:
        if len(sent) > _MOST_BYTES:
            raise errors.PasskeyInvalid
        credential = orjson.loads(sent)
    except orjson.JSONDecodeError:
        raise errors.PasskeyInvalid from None
    if not isinstance(credential, dict):
        raise errors.PasskeyInvalid
    return Answer(request.POST.get("ceremony", ""), credential)


def json_answer(request: HttpRequest, work: Callable[[], dict[str, Any]]) -> HttpResponse:
    """Return the result of `work` as JSON, or its refusal as a problem document, with a receipt in the tenant."""
    try:
        return _json(work(), status=200)
    except ThreadaError as error:
        refusal = as_threada_error(error)
    record_refusal(refusal, ctx=request.acting_context, request=request)  # type: ignore[attr-defined]
    document = problem_document(refusal, correlation_id=correlation_of(request))
    response = _json(document, status=refusal.status, content_type=CONTENT_TYPE)
    for name, value in refusal.headers.items():
        response.headers[name] = value
    return response


def _json(document: dict[str, Any], *, status: int, content_type: str = "application/json") -> HttpResponse:
    response = HttpResponse(orjson.dumps(document), content_type=content_type, status=status)
    response.headers["Cache-Control"] = "no-store"
    return response
