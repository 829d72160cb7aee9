"""Numbers of a dry run: what is due by each rule."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from time import monotonic
from typing import Any, Final

from django.db import OperationalError, connection, transaction

from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from workitems.retention.due import count_due, rules_in_force
from workitems.retention.rules import Rule

LONGEST_S: Final = 10.0
"""Longest duration of the counts in a request. Jobs and commands have no limit."""


def rules_with_counts(*, now: datetime, ctx: ActingContext) -> list[dict[str, Any]]:
    """Return the rules in force with the numbers of contents and cases that are due at `now`.

    Raise `Conflict` if a request of a principal would count for longer than `LONGEST_S`.
    """
    rules = rules_in_force(ctx.tenant_id)
    if ctx.is_system:
        return [_shown(rule, rules, now=now, ctx=ctx) for rule in rules]
    ends, found = monotonic() + LONGEST_S, []
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            for rule in rules:
                left = ends - monotonic()
                if left <= 0:
                    raise _too_long()
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{int(left * 1000) + 1}ms"])
                found.append(_shown(rule, rules, now=now, ctx=ctx))
            cursor.execute("SET LOCAL statement_timeout TO DEFAULT")
    except OperationalError:
        raise _too_long() from None
    return found


def _shown(rule: Rule, rules: Sequence[Rule], *, now: datetime, ctx: ActingContext) -> dict[str, Any]:
    counts = {
        "contents": count_due(rule, rules, "remove_contents", as_of=now, tenant_id=ctx.tenant_id),
        "cases": count_due(rule, rules, "remove_case", as_of=now, tenant_id=ctx.tenant_id),
    }
    return {"rule": rule.slug, "version_id": rule.version_id, "number": rule.number, "then": rule.then, **counts}


def _too_long() -> errors.Conflict:
    return errors.Conflict(
        "The tenant has too much to count in a request. Use manage.py retention or the automatic run."
    )
