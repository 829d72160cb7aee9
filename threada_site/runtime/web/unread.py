"""Requests that the product refuses whatever their body says, so that the body need not be read."""

from __future__ import annotations

from typing import Any, Final

from threada_site.api.bodies import names_token, tokens_of
from threada_site.kernel.errors import RateLimited
from threada_site.tenancy.request_limits import refusal_unread
from workitems.executions.callbacks import is_callback_id

_CALLBACKS: Final = "/callbacks/"
_CONSOLE: Final = "/console/"
_EXCHANGE: Final = "/token"
_WITHOUT_CREDENTIAL: Final = (
    "/.well-known/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/schemas",
    "/static/",
    _CALLBACKS,
    "/console",
)


def answers_unread(environ: dict[str, Any]) -> bool:
    """Return True for a callback whose id is not signed, and for a call of the API without a well-formed token."""
    path = environ["PATH_INFO"]
    if path.startswith(_CALLBACKS):
        return not is_callback_id(path.removeprefix(_CALLBACKS))
    if path.startswith(_CONSOLE) or path == _EXCHANGE:
        return False
    return not names_token(environ)


def refuse(environ: dict[str, Any]) -> RateLimited | None:
    """Return the refusal of a call of the API beyond its rate limits, if it is known without a statement."""
    path = environ["PATH_INFO"]
    needs_none = path.startswith(_WITHOUT_CREDENTIAL) or path == _EXCHANGE
    return None if needs_none else refusal_unread(environ, tokens_of(environ))
