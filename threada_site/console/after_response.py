"""Work after the response, so that its duration tells the client nothing. It runs on the thread of the request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from django.http import HttpRequest, HttpResponse

_ATTRIBUTE: Final = "work_after_response"

log = structlog.get_logger("threada.console")

type Work = Callable[[], None]


def after_response(request: HttpRequest, work: Work) -> None:
    """Call `work` once the response to `request` was given to the client. An error is logged."""
    waiting: list[Work] = request.__dict__.setdefault(_ATTRIBUTE, [])
    waiting.append(work)


def attach_work(request: HttpRequest, response: HttpResponse) -> None:
    """Let `response` do the work that waits for it when the server closes it. Called by the console's middleware."""
    waiting: list[Work] = request.__dict__.pop(_ATTRIBUTE, [])
    if not waiting:
        return
    close = response.close

    def work_and_close() -> None:
        try:
            for work in waiting:
                work()
        except Exception:
            log.exception("work_after_response_failed", path=request.path)
        finally:
            close()

    response.close = work_and_close  # type: ignore[method-assign]
