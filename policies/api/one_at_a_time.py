"""Requests with untried rules: one at a time for each tenant."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from policies.evaluator.runs import lock_evaluator

EVALUATOR_REFUSALS: Final = ("evaluator_busy", "evaluator_failed")
"""Reason codes of these requests."""


def one_at_a_time(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a handler to lock the evaluator of the tenant before the body is parsed. Raises `EvaluatorBusy`."""

    @functools.wraps(handler)
    def wrapper(view: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        lock_evaluator(request.auth.tenant_id)
        return handler(view, request, *args, **kwargs)

    return wrapper
