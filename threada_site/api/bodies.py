"""Bodies whose length is not declared: chunked ones, and those of HTTP/2."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from django.conf import settings

UNDECLARED: Final = "threada.length_undeclared"

type Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


def reading_undeclared(application: Application) -> Application:
    """WSGI middleware: Django takes a body without `Content-Length` for empty, which would drop in silence what it
    says. Where the server marks the body's end itself, one byte more than may be sent is declared in its place; no
    more is ever read, and nothing before somebody asks for it."""

    def wrapped(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        is_undeclared = not environ.get("CONTENT_LENGTH") or "HTTP_TRANSFER_ENCODING" in environ
        if is_undeclared and environ.get("wsgi.input_terminated") and environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            environ["CONTENT_LENGTH"] = str(settings.THREADA_MAX_BODY_BYTES + 1)
            environ[UNDECLARED] = True
        return application(environ, start_response)

    return wrapped
