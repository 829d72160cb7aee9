"""One MCP request: origin, credential, message, then the SDK. Loaded by the first request."""

from __future__ import annotations

from typing import IO, Any, Final, cast

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from threada_site.api.bodies import TOKENS, names_token, tokens_of
from threada_site.api.handlers import problem
from threada_site.api.parsers import StrictJSONParser
from threada_site.api.refusals import as_threada_error
from threada_site.kernel import errors
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.extras import require_extra
from threada_site.kernel.waits import MESSAGE
from threada_site.tenancy.browser_origins import is_listed
from workitems.mcp.calls import Caller, CallerRefused

_CALLING_METHODS: Final = frozenset({"tools/call", "tasks/get", "tasks/cancel", "tasks/update"})
"""Methods of the protocol that call a view of their own, which authenticates them."""
_PARSE_ERROR: Final = -32700


def serve(request: HttpRequest, integration_id: str | None = None) -> HttpResponseBase:
    """Answer one MCP request. Every request is authenticated and charged exactly like one of the API.

    `integration_id`: the integration whose tools are offered; None: Threada's own.
    """
    try:
        if request.method != "POST":
            raise errors.MethodNotAllowed("Send POST: this server opens no streams.", headers={"Allow": "POST"})
        require_extra("mcp", use="The MCP server")
        _check_origin(request)
        return _answer(request, integration_id)
    except Exception as error:  # noqa: BLE001 - answered as any other refusal
        return problem(request, as_threada_error(error))


def _answer(request: HttpRequest, integration_id: str | None) -> HttpResponseBase:
    caller = Caller(request, integration_id)
    try:
        if tokens_of(request.META) > 1:  # charged before it is read: also that of an invented token
            request.META[TOKENS] = tokens_of(request.META)
            caller.authenticate()
            del request.META[TOKENS]
        message = _message(request) if names_token(request.META) else None
        if isinstance(message, ThreadaError):
            caller.authenticate()
            return _unreadable(message)
        caller.message = message
        if not _calls_view(message, integration_id):
            caller.authenticate()
        status, headers, body = _exchanged(orjson.dumps(message), caller)
        if caller.refusal is None and not caller.is_known:
            caller.authenticate()
    except CallerRefused:
        pass
    if caller.refusal is not None:
        return caller.refusal
    return HttpResponse(
        body, status=status, content_type=headers.get("content-type", "application/json"), headers=caller.rate_headers
    )


def _exchanged(message: bytes, caller: Caller) -> tuple[int, dict[str, str], bytes]:
    from workitems.mcp.server import exchange

    if caller.integration_id is None:
        return exchange(message, caller)
    from workitems.mcp.gateway import SERVER

    return exchange(message, caller, SERVER)


def _calls_view(message: Any, integration_id: str | None) -> bool:
    method = message.get("method") if isinstance(message, dict) else None
    if integration_id is not None and method == "tools/list":
        return True
    return isinstance(method, str) and method in _CALLING_METHODS


def _message(request: HttpRequest) -> Any:
    """Return the message in the body, or the refusal of a body that is too large or no strict JSON.

    A request that was held has no body any more, but a message that stands for it.
    """
    held = request.META.get(MESSAGE)
    if held is not None:
        return orjson.loads(held)
    try:
        return StrictJSONParser().parse(cast("IO[bytes]", request), parser_context={"request": request})
    except Exception as error:  # noqa: BLE001 - answered once the caller is known
        return as_threada_error(error)


def _unreadable(refusal: ThreadaError) -> HttpResponse:
    error = {"code": _PARSE_ERROR, "message": refusal.detail, "data": {"reason_code": refusal.reason_code}}
    document = {"jsonrpc": "2.0", "id": None, "error": error}
    return HttpResponse(orjson.dumps(document), status=refusal.status, content_type="application/json")


def _check_origin(request: HttpRequest) -> None:
    """Raise unless the request comes from no web page, from one of this instance, or from a listed origin.

    A page that a browser resolves to this machine (DNS rebinding) names an origin of its own.
    """
    origin = request.META.get("HTTP_ORIGIN")
    own = {f"{request.scheme}://{request.get_host()}", settings.THREADA_PUBLIC_URL.rstrip("/")} - {""}
    if origin is None or origin in own or is_listed(origin):
        return
    raise errors.PermissionDenied(
        "Web pages of this origin may not call the MCP server. List the origin with manage.py browser_origins."
    )
