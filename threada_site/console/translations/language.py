"""Language of the reader: the chosen one, else the browser's, else English."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.cache import patch_vary_headers


def language_of(request: HttpRequest) -> str:
    """Return the code of the language of a page."""
    user: Any = request.user
    chosen = user.language if user.is_authenticated else ""
    return chosen if chosen in dict(settings.LANGUAGES) else translation.get_language_from_request(request)


def name_language(request: HttpRequest, response: HttpResponse, code: str) -> None:
    """Add the headers that say in which language a page is, and what the choice depended on."""
    response.headers.setdefault("Content-Language", code)
    if not request.user.is_authenticated or not getattr(request.user, "language", ""):
        patch_vary_headers(response, ("Accept-Language",))
