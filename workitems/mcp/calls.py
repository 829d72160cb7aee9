"""Calls of API views from within one MCP request."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http.response import HttpResponseBase

from threada_site.api.authentication import ENTRY_POINT
from threada_site.api.bodies import UNDECLARED
from threada_site.api.idempotency import REPLAYED
from threada_site.api.views import TenantView
from threada_site.kernel.context import EntryPoint
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.waits import OFFER, WAITED
from workitems.mcp.views import REFUSAL, Connection

_KEPT_HEADERS: Final = frozenset(
    {
        "HTTP_AUTHORIZATION",
        "HTTP_HOST",
        "HTTP_THREADA_CORRELATION_ID",
        "HTTP_THREADA_ROLE",
        "HTTP_THREADA_TENANT",
        "HTTP_TRACEPARENT",
        "HTTP_USER_AGENT",
        "HTTP_X_FORWARDED_FOR",
        "HTTP_X_FORWARDED_HOST",
        "HTTP_X_FORWARDED_PROTO",
    }
)
"""Headers of an MCP request that reach the views. Cookies and preconditions do not."""
_DROPPED: Final = frozenset({OFFER, WAITED, UNDECLARED, "CONTENT_LENGTH", "CONTENT_TYPE"})
_OF_THE_CALLER: Final = frozenset({401, 429, 500, 503})
"""Statuses of refusals that do not depend on the call. They are answered as by the API, not as results of tools."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer of a view: status, JSON body, headers."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_refusal(self) -> bool:
        return self.status >= 400

    @property
    def is_repeated(self) -> bool:
        return self.headers.get(REPLAYED) == "true"


class CallerRefused(Exception):
    """A view refused the caller, whatever is called. Its response answers the MCP request."""


class Caller:
    """Caller of one MCP request. Each view that it calls authenticates, charges and records it.

    `integration_id` names the integration whose tools are called, None for Threada's own. `message` is the message of
    the request. `refusal` is the response of a view that refused the caller, or None.
    """

    def __init__(self, request: Any, integration_id: str | None = None) -> None:
        self.request = request
        self.integration_id = integration_id
        self.message: Any = None
        self.refusal: HttpResponseBase | None = None
        self.is_known = False
        self.rate_headers: dict[str, str] = {}

    def call(
        self,
        view: type[TenantView],
        method: str,
        path: str,
        *,
        action: str = "",
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        key: str | None = None,
        environment: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Answer:
        """Call `view` as a request for `path` would. Raise `CallerRefused` if it refuses the caller.

        `action` is that of a viewset. `kwargs` are named in the path. `environment` is for views of the MCP server.
        """
        raw = orjson.dumps(body) if body is not None else b""
        inner = WSGIRequest(
            {
                **self._kept_environment(),
                "REQUEST_METHOD": method,
                "PATH_INFO": path,
                "QUERY_STRING": urlencode(query or {}, doseq=True),
                "CONTENT_TYPE": "application/json",
                "CONTENT_LENGTH": str(len(raw)),
                "wsgi.input": io.BytesIO(raw),
                ENTRY_POINT: EntryPoint.MCP,
                **(environment or {}),
                **({"HTTP_IDEMPOTENCY_KEY": key} if key is not None else {}),
            }
        )
        inner.correlation_id = self.request.correlation_id  # type: ignore[attr-defined]
        serve = view.as_view(actions={method.lower(): action}) if action else view.as_view()
        response = serve(inner, **kwargs)
        self._remember(inner, response)
        is_about_caller = view is Connection and not environment and response.status_code >= 400
        if is_about_caller or response.status_code in _OF_THE_CALLER:
            self.refusal = response
            raise CallerRefused
        is_rendered = not hasattr(response, "data")
        data = orjson.loads(response.content) if is_rendered and response.content else getattr(response, "data", None)
        return Answer(response.status_code, data, dict(response.headers))

    def authenticate(self, refusal: ThreadaError | None = None) -> Answer:
        """Authenticate and charge a request that calls no other view, then record and answer `refusal`."""
        environment = {REFUSAL: refusal} if refusal is not None else None
        named: dict[str, Any] = {"integration_id": self.integration_id} if self.integration_id is not None else {}
        return self.call(Connection, "POST", self.request.path, body={}, environment=environment, **named)

    def console_url(self, work_item_id: str) -> str:
        """Return the address of the page of a work item, for people."""
        base = settings.THREADA_PUBLIC_URL.rstrip("/") or f"{self.request.scheme}://{self.request.get_host()}"
        return f"{base}/console/workitems/workitem/{work_item_id}/"

    def _kept_environment(self) -> dict[str, Any]:
        return {
            name: value
            for name, value in self.request.META.items()
            if name not in _DROPPED and (not name.startswith("HTTP_") or name in _KEPT_HEADERS)
        }

    def _remember(self, inner: Any, response: HttpResponseBase) -> None:
        """Hand what the view found out to the outer request, for its middleware and headers."""
        self.is_known = True
        context = getattr(inner, "acting_context", None)
        if context is not None:
            self.request.acting_context = context
        self.rate_headers = {
            name: value for name, value in response.headers.items() if name.lower().startswith("ratelimit-")
        }
