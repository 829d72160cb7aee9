"""Acting context of the current thread, for the log of configuration edits.

Services get the acting context as `ctx`. The log sees only rows and reads the context here.
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
    """Attribute edits of configuration inside the block to `ctx`; None: to the context set by `now_acting`."""
    token = _acting.set(ctx)
    try:
        yield
    finally:
        _acting.reset(token)


def now_acting(ctx: ActingContext) -> None:
    """Set the acting context inside `acting(None)`. Log lines contain it from now on."""
    _acting.set(ctx)
    structlog.contextvars.bind_contextvars(tenant=ctx.tenant_slug, actor=ctx.actor)


def edit_details(tenant_id: Any) -> dict[str, Any]:
    """Return the additional data of an entry in the log of configuration edits: tenant, actor, entry point."""
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
