"""Requests that carry a whole document, whose bodies may be larger than others. Imports no Django."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from threada_site.kernel import tokens

_OF_API: Final = re.compile(r"/(workflows|policies)(/[^/]+/versions)?|/integrations(/[^/]+)?")
_OF_CONSOLE: Final = re.compile(r"/console/(policies|integrations)/.+")
_SESSION_COOKIE: Final = "threada_session="


def takes_document(environ: Mapping[str, Any]) -> bool:
    """Return True for a request that may carry a document and names a session or a well-formed token.

    Nothing is verified here: a sender who invents a credential is refused, and the memory for bodies is limited anyway.
    """
    path = str(environ.get("PATH_INFO", ""))
    if _OF_CONSOLE.fullmatch(path):
        return _SESSION_COOKIE in environ.get("HTTP_COOKIE", "")
    return _OF_API.fullmatch(path) is not None and names_token(environ)


def names_token(environ: Mapping[str, Any]) -> bool:
    """Return True if the request names a well-formed bearer token."""
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return scheme.lower() == "bearer" and tokens.is_well_formed(token.strip())
