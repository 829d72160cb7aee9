"""Script of the service worker. Its text changes with every change of a static file, so that browsers replace it."""

from __future__ import annotations

import hashlib
from functools import cache

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string


def service_worker(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 (signature of Django)
    """Return the script. It is the same for everybody and contains no data."""
    script = render_to_string(
        "console/service_worker.js", {"version": static_version(), "static_url": settings.STATIC_URL}
    )
    return HttpResponse(script, content_type="text/javascript", headers={"Cache-Control": "no-cache"})


@cache
def static_version() -> str:
    """Return a digest of the names and contents of all static files."""
    digest = hashlib.sha256()
    for finder in get_finders():
        for path, storage in finder.list([]):
            digest.update(path.encode() + b"\0")
            with storage.open(path) as file:
                digest.update(hashlib.sha256(file.read()).digest())
    return digest.hexdigest()[:16]
