"""`Prefer: wait=…` (RFC 7240): a request whose answer comes when a status has changed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from threada_site.api.conditional_requests.tags import was_read
from threada_site.kernel.waits import OFFER, RESUMED, WAITED, Offer, Watched, preferred_wait


def wait_for_change(request: Any, watched: Watched, *, is_final: bool, etag: str = "") -> dict[str, str]:
    """Return the headers of the answer to a request about `watched`. The server may hold the request instead.

    Nothing is waited for if the status is final, or if the client names another version of the resource in
    `If-None-Match` than `etag` ("": not known yet). If the server holds too many requests already, the answer comes at
    once, without `Preference-Applied`.
    """
    waited: int | None = request.META.get(WAITED)
    if waited is not None:
        return _applied(waited)
    seconds = preferred_wait(request.META.get("HTTP_PREFER", ""))
    if not seconds:
        return {}
    known = request.META.get("HTTP_IF_NONE_MATCH")
    is_outdated = known is not None and etag != "" and not was_read(known, etag)
    if is_final or is_outdated:
        return _applied(seconds)
    offer: Offer | None = request.META.get(OFFER)
    if offer is not None:
        offer.take(watched, seconds)
    return {}


def resumed_by(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a handler that changes something and whose request may be held: it must not run a second time.

    After the wait, the method `name` of the view makes the answer. It is called with the request, which has no body any
    more, and the `Watched`.
    """

    def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(handler)
        def wrapper(view: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            watched = request.META.get(RESUMED)
            if watched is None:
                return handler(view, request, *args, **kwargs)
            return getattr(view, name)(request, watched)

        return wrapper

    return decorate


def _applied(seconds: int) -> dict[str, str]:
    return {"Preference-Applied": f"wait={seconds}"} if seconds else {}
