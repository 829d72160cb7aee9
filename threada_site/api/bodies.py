"""Bodies without a declared length: chunked ones, and those of HTTP/2."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from django.conf import settings

from threada_site.api.document_bodies import takes_document

UNDECLARED: Final = "threada.length_undeclared"

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
    return max(limit, settings.THREADA_MAX_DOCUMENT_BYTES) if takes_document(environ) else limit
