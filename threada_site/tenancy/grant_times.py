"""Times from which people hold memberships, roles, groups and scopes, for counting votes on open steps."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, Final

import orjson

from threada_site.database.router import read_connection
from threada_site.kernel.context import Scope, with_implied

type GrantTimes = dict[str, datetime | None]
"""Grant → time from which it counts; None: confirmed or made by the operator, so it counts on every step.

Keys: `member`, `role:<slug>`, `group:<slug>`, `scope:<scope>` (on the tenant, through a role) and
`scope:<scope>@<id of the workflow or integration>`. An absent key: not held, or nothing recorded.
"""

_COLUMNS: Final = """
           g.user_id, g.kind, g.name, CASE WHEN g.confirmed_at IS NULL THEN g.effective_at END,
           s.scope, CASE WHEN s.confirmed_at IS NULL THEN s.effective_at END"""
_RECORDS: Final = """
           tenancy_grantrecord g
      LEFT JOIN tenancy_rolescoperecord s ON s.tenant_id = g.tenant_id AND g.kind = 'role' AND s.role = g.name"""
_TIMES: Final = f"""
    SELECT {_COLUMNS} FROM {_RECORDS}
     WHERE g.tenant_id = $1 AND g.user_id = ANY($2::uuid[])
"""
GRANT_TIMES_COLUMN: Final = f"""
           (SELECT jsonb_agg(jsonb_build_array({_COLUMNS})) FROM {_RECORDS}
             WHERE g.tenant_id = $1 AND g.user_id = u.id)"""
"""Column of `grant_times_of`, for a user `u` in the tenant `$1`."""


def read_grant_times(tenant_id: uuid.UUID, people: Collection[uuid.UUID]) -> dict[uuid.UUID, GrantTimes]:
    """Return the times of the grants of each of `people`. Runs one statement."""
    with read_connection().prepared_cursor() as cursor:
        cursor.execute(_TIMES, [tenant_id, list(people)])
        times = grant_times(cursor.fetchall())
    return {person: times.get(person, {}) for person in people}


def grant_times_of(person: uuid.UUID, column: Any) -> GrantTimes:
    """Return the times of the grants of a person from a row with `GRANT_TIMES_COLUMN`."""
    rows = (orjson.loads(column) if isinstance(column, str | bytes) else column) or []
    parsed = (
        (person, kind, name, _time(granted), scope, _time(widened)) for _, kind, name, granted, scope, widened in rows
    )
    return grant_times(parsed).get(person, {})


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def grant_times(rows: Iterable[Any]) -> dict[uuid.UUID, GrantTimes]:
    """Return the times that rows give: (person, kind, name, time of the grant, scope of the role, time of the scope).

    A scope through a role counts from the later of both times; through several roles, from the earliest of theirs. A
    scope counts for the scopes that it includes. Pure.
    """
    found: dict[uuid.UUID, GrantTimes] = defaultdict(dict)
    for person, kind, name, granted, scope, widened in rows:
        times = found[person]
        if kind == "scope":
            times[f"scope:{name}"] = granted
            continue
        times[f"{kind}:{name}" if name else kind] = granted
        if scope is not None:
            since = _later(granted, widened)
            for implied in with_implied(frozenset({Scope(scope)})):
                key = f"scope:{implied}"
                times[key] = _earlier(times[key], since) if key in times else since
    return dict(found)


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((time for time in (one, other) if time is not None), default=None)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return None if one is None or other is None else min(one, other)
