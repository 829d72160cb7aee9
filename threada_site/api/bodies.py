"""Sizes of bodies: those without a declared length, and documents and files, which may be larger than others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from typing import Any, Final

from django.conf import settings

from threada_site.kernel import tokens

UNDECLARED: Final = "threada.length_undeclared"
TOKENS: Final = "threada.tokens"
"""Key of the WSGI environment: tokens of a request that another one stands for."""

_OF_API: Final = re.compile(
    r"/(workflows|policies)(/[^/]+/versions)?|/integrations(/[^/]+)?|/configuration/(plan|apply)"
)
_OF_CONSOLE: Final = re.compile(r"/console/(policies|integrations)/.+")
_FILE_OF_API: Final = "/attachments"
_FILES_OF_CONSOLE: Final = re.compile(r"/console/(request/[^/]+/?|workitems/workitem/[^/]+/comment/)")
BYTES_PER_TOKEN: Final = 64 * 1024
_MOST_DIGITS: Final = 18
"""Digits of a declared size that are read: more than any limit has, and few enough for `int`."""
_OVERHEAD: Final = 65_536
"""Bytes of a form with one file that are not the file."""
_FILES_AT_ONCE: Final = 2
"""Largest files that one form of the console can carry together."""
_SESSION_COOKIE: Final = "threada_session="

type Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


def reading_undeclared(application: Application) -> Application:
    """Wrap a WSGI application so that it reads bodies without `Content-Length`.

    Django treats such a body as empty and would silently ignore it. If the server marks the end of the body itself,
    one byte more than the maximum is declared. No more is ever read, and nothing is read before it is needed.
    """

    def wrapped(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        is_undeclared = not environ.get("CONTENT_LENGTH") or "HTTP_TRANSFER_ENCODING" in environ
        if is_undeclared and environ.get("wsgi.input_terminated") and environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            environ["CONTENT_LENGTH"] = str(body_limit(environ) + 1)
            environ[UNDECLARED] = True
        return application(environ, start_response)

    return wrapped


def body_limit(environ: Mapping[str, Any]) -> int:
    """Return the largest size of the body of this request in bytes."""
    limit: int = settings.THREADA_MAX_BODY_BYTES
    files = settings.THREADA_MAX_ATTACHMENT_BYTES * largest_files(environ)
    if files:
        return max(limit, files + _OVERHEAD)
    return max(limit, settings.THREADA_MAX_DOCUMENT_BYTES) if takes_document(environ) else limit


def largest_files(environ: Mapping[str, Any]) -> int:
    """Return how many files of the largest size this request may carry.

    Like a document, only a request that names a session or a well-formed token carries files.
    """
    path = str(environ.get("PATH_INFO", ""))
    if path == _FILE_OF_API:
        return int(names_token(environ))
    is_form = _FILES_OF_CONSOLE.fullmatch(path) and _SESSION_COOKIE in environ.get("HTTP_COOKIE", "")
    return _FILES_AT_ONCE if is_form else 0


def takes_document(environ: Mapping[str, Any]) -> bool:
    """Return True for a request that may carry a document and names a session or a well-formed token.

    Nothing is verified here: a sender who invents a credential is refused, and the memory for bodies is limited anyway.
    """
    path = str(environ.get("PATH_INFO", ""))
    if _OF_CONSOLE.fullmatch(path):
        return _SESSION_COOKIE in environ.get("HTTP_COOKIE", "")
    return _OF_API.fullmatch(path) is not None and names_token(environ)


def body_size(environ: Mapping[str, Any]) -> int:
    """Return the size of the body that was declared; without a declaration the largest one allowed, and one more."""
    declared = str(environ.get("CONTENT_LENGTH") or "0")
    return int(declared[:_MOST_DIGITS]) if declared.isascii() and declared.isdigit() else 0


def tokens_of(environ: Mapping[str, Any]) -> int:
    """Return the tokens that a request draws from its buckets: one for each started 64 KB of its body, at least one.

    Reading a large body takes the interpreter from others, as many small bodies do. Files are stored as they are.
    """
    if TOKENS in environ:
        return int(environ[TOKENS])
    if largest_files(environ):
        return 1
    stream = environ.get("wsgi.input")
    size = len(stream.getbuffer()) if type(stream) is BytesIO else body_size(environ)
    return max(1, -(-size // BYTES_PER_TOKEN))


def names_token(environ: Mapping[str, Any]) -> bool:
    """Return True if the request names a well-formed bearer token."""
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return scheme.lower() == "bearer" and tokens.may_be_accepted(token.strip())
