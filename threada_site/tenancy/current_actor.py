"""Who acts on this thread right now: for the log of configuration edits, which is written below the services.

Services are told who acts (`ctx`); only the log, which sees rows alone, has to look it up here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import structlog

from threada_site.kernel.context import ActingContext

_acting: ContextVar[ActingContext | None] = ContextVar("threada_acting", default=None)


@contextmanager
def acting(ctx: ActingContext | None) -> Iterator[None]:
    """Have edits of configuration inside attributed to `ctx`. With None: to whom `now_acting` will name."""
    token = _acting.set(ctx)
    try:
        yield
    finally:
        _acting.reset(token)


def now_acting(ctx: ActingContext) -> None:
    """Say who acts, inside an `acting(None)` opened before anybody could know. Log lines say it from now on."""
    _acting.set(ctx)
    structlog.contextvars.bind_contextvars(tenant=ctx.tenant_slug, actor=ctx.actor)


def edit_details(tenant_id: Any) -> dict[str, Any]:
    """What an entry of the log of configuration edits says besides the change: the tenant, and who acted how."""
    ctx = _acting.get()
    if ctx is None or ctx.tenant_id != tenant_id:
        return {"tenant": str(tenant_id)}
    return {
        "tenant": str(tenant_id),
        "actor": ctx.actor,
        "actor_name": ctx.principal_name,
        "entry_point": ctx.entry_point.value,
        "correlation_id": ctx.correlation_id,
    }
