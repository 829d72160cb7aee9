"""Search: ids of matching work items, newest first, by `threada_search`. Callers read them again by a selector."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

from django.db import OperationalError
from psycopg import errors as database_errors

from threada_site.database.router import read_connection
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope, Visibility
from workitems.search.query import SearchText, as_tsqueries, parse_search
from workitems.search.words import party_lexeme, tenant_key, workflow_lexeme

MOST: Final = 200
"""Ids of one search. `threada_search` has the same limit."""
_MOST_PEOPLE: Final = 20
_TIME_LIMIT: Final = "5s"
_BEGIN: Final = """
SELECT current_setting('statement_timeout'), set_config('statement_timeout', %s, true), ARRAY(
       SELECT u.id || ' ' || n.number
         FROM unnest(%s::text[]) WITH ORDINALITY AS n(name, number)
         JOIN tenancy_membership m ON m.tenant_id = %s
         JOIN tenancy_user u ON u.id = m.user_id AND (
              u.username LIKE n.name || '%%' OR lower(u.display_name) LIKE n.name || '%%'
              OR lower(u.display_name) LIKE '%% ' || n.name || '%%')
        ORDER BY n.number, u.id LIMIT %s)
"""
_FIND: Final = """
SELECT ARRAY(SELECT threada_search(%s::text[]::tsquery[], %s, %s)), set_config('statement_timeout', %s, true)
"""


def search_items(
    text: str, below: uuid.UUID | None = None, *, ctx: ActingContext, workflow: str = ""
) -> list[uuid.UUID]:
    """Return the ids of the newest 200 work items that match `text`, newest first, by two statements.

    With `below`, those with smaller ids; with `workflow`, those of this workflow.

    Row-level security limits them to the tenant and the own cases of the open unit of work. Selectors limit further:
    read the items by one. Raise `InvalidRequest` for texts beyond the grammar, `SearchTooSlow` after five seconds.
    """
    search = parse_search(text)
    if search.is_empty:
        return []
    if workflow and not ids.is_slug(workflow):
        return []
    try:
        return _found(search, min(search.below, below or search.below), workflow, ctx)
    except OperationalError as error:
        if isinstance(error.__cause__, database_errors.QueryCanceled):
            raise errors.SearchTooSlow("The search took longer than five seconds.") from error
        raise


def _found(search: SearchText, below: uuid.UUID, workflow: str, ctx: ActingContext) -> list[uuid.UUID]:
    key = tenant_key(ctx.tenant_id)
    names = search.names
    with read_connection().cursor() as cursor:
        cursor.execute(_BEGIN, [_TIME_LIMIT, [_pattern(name) for name in names], ctx.tenant_id, _MOST_PEOPLE])
        time_limit, _, named = cursor.fetchone()
        people: dict[str, list[uuid.UUID]] = {}
        for entry in named:
            person, _, number = entry.partition(" ")
            people.setdefault(names[int(number) - 1], []).append(uuid.UUID(person))
        terms = as_tsqueries(search, key, people=people, one_of=_readable(key, ctx))
        if workflow:
            terms.append(f"'{workflow_lexeme(key, workflow)}'")
        cursor.execute(_FIND, [terms, search.above, below, time_limit])
        return list(cursor.fetchone()[0])


def _readable(key: str, ctx: ActingContext) -> Sequence[str]:
    """Return the lexemes of the workflows that the context reads, if it reads neither all items nor only its own."""
    if Scope.WORKITEMS_READ in ctx.scopes and ctx.visibility is Visibility.TENANT:
        return ()
    granted = [workflow_lexeme(key, workflow) for workflow in sorted(ctx.granted_workflows(Scope.WORKITEMS_READ))]
    if not granted:
        return ()
    return [*granted, *([party_lexeme(key, ctx.principal_id)] if Scope.WORKITEMS_READ in ctx.scopes else [])]


def _pattern(name: str) -> str:
    """Return the text with the wildcards of LIKE escaped."""
    return name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
