"""The documentation as a site at `/docs/guide/`, where it has been built.

`.zensical.toml` describes the site and names the command that builds it. Wheel and image contain it.
"""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import re
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotModified, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.http import require_safe

ROOT: Final = Path(__file__).resolve().parents[2] / "guide"
_INLINE_SCRIPT: Final = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
# The theme sets style attributes, and searches in a worker.
_POLICY: Final = (
    "default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class _File(NamedTuple):
    body: bytes
    etag: str
    policy: str


@require_safe
def guide_page(request: HttpRequest, path: str = "") -> HttpResponseBase:
    """Return a page or file of the guide; where it has not been built, return a page that says how to build it."""
    if not (ROOT / "index.html").is_file():
        return render(request, "docs/guide_missing.html", {"page": "guide"}, status=404)
    file = _inside(path)
    if file.is_dir():
        if path and not path.endswith("/"):
            return HttpResponseRedirect(f"{request.path}/")
        file /= "index.html"
    found = file.is_file() and file != _missing()
    if not found:
        file = _missing()
    contents = _read(file, file.stat().st_mtime_ns)
    headers = {"ETag": contents.etag, "Cache-Control": "max-age=60", "Content-Security-Policy": contents.policy}
    if found and request.headers.get("If-None-Match") == contents.etag:
        return HttpResponseNotModified(headers=headers)
    media_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return HttpResponse(contents.body, content_type=media_type, status=200 if found else 404, headers=headers)


def _inside(path: str) -> Path:
    """Return the file or folder of the site at `path`; for every other path, return the page "not found"."""
    file = (ROOT / path.replace("\0", "")).resolve()
    try:
        return file if file.is_relative_to(ROOT) and file.exists() else _missing()
    except OSError:  # such as a name that is too long
        return _missing()


def _missing() -> Path:
    return ROOT / "404.html"


@lru_cache(maxsize=64)
def _read(file: Path, _modified: int) -> _File:
    body = file.read_bytes()
    scripts = _INLINE_SCRIPT.findall(body) if file.suffix == ".html" else []
    allowed = {f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" for script in scripts}
    return _File(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"', _POLICY.format(scripts=" ".join(sorted(allowed))))
