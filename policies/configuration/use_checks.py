"""Checks of other apps before a configuration object is removed."""

from __future__ import annotations

from collections.abc import Callable

from threada_site.kernel.context import ActingContext

type UseCheck = Callable[[str, str, ActingContext], None]

_use_checks: list[UseCheck] = []


def register_use_check(check: UseCheck) -> None:
    """Register the function that raises `InUse` if cases need a workflow or channel; the app `workitems` supplies it.

    It is called with the kind (`workflow` or `channel`), the slug and the acting context.
    """
    _use_checks[:] = [check]


def run_use_checks(kind: str, slug: str, *, ctx: ActingContext) -> None:
    """Raise `InUse` if a registered check finds a use of the object."""
    for check in _use_checks:
        check(kind, slug, ctx)
