"""Functions and views that could show rows of all tenants: the known ones, and a check for all others.

A SECURITY DEFINER function runs with the rights of its owner, whom row-level security does not restrict. A view
without `security_invoker` reads its tables as its owner, and a materialized view stores rows that no policy protects.
Processes refuse to start if the database has one that is not known here.

To add a SECURITY DEFINER function: write it into a file of an `sql` folder, with `SET search_path = public, pg_temp`,
and add `name(type,type)` with that file to `DEFINER_FUNCTIONS`. Views need no entry: create them
`WITH (security_invoker = true)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from threada_site.database.role_names import OWNER
from threada_site.environment import BASE_DIR

_SEARCH_PATH: Final = ["search_path=public, pg_temp"]


@dataclass(frozen=True, slots=True)
class DefinerFunction:
    """A known function. `source` is the file with its body. `is_public`: every login may call it.

    `settings`: what it sets besides the search path.
    """

    source: str
    is_public: bool = True
    settings: tuple[str, ...] = ()


_LOOK_UP: Final = DefinerFunction("threada_site/tenancy/sql/functions.sql")
_MONTH: Final = DefinerFunction("threada_site/tenancy/sql/partitions.sql", is_public=False)
_PERMISSIONS: Final = DefinerFunction("threada_site/tenancy/sql/permission_changes.sql")
_RATES: Final = DefinerFunction("threada_site/tenancy/sql/rate_buckets.sql")
_WORKLOADS: Final = DefinerFunction("threada_site/tenancy/sql/workloads.sql")
DEFINER_FUNCTIONS: Final = {
    "threada_add_months(text,integer)": _MONTH,
    "threada_belongs_elsewhere(uuid,uuid)": _LOOK_UP,
    "threada_controllers(uuid,uuid)": _LOOK_UP,
    "threada_drop_month(text,integer)": _MONTH,
    "threada_enter(bytea,text,text,pg_snapshot,text)": _LOOK_UP,
    "threada_enter_workload(uuid,text,text[])": _WORKLOADS,
    "threada_forget_permission_changes()": _PERMISSIONS,
    "threada_grants(uuid,uuid)": _LOOK_UP,
    "threada_is_member_somewhere(uuid)": _LOOK_UP,
    "threada_lease_tokens(text[],double precision[],double precision[],double precision[],text[],bigint[])": _RATES,
    "threada_lookalikes(uuid[],uuid)": DefinerFunction("workitems/sql/lookalikes.sql"),
    "threada_names(uuid,uuid)": _LOOK_UP,
    "threada_note_permission_change()": _PERMISSIONS,
    "threada_search(tsquery[],uuid,uuid)": DefinerFunction(
        "workitems/sql/search.sql",
        settings=("enable_seqscan=off", "enable_sort=off", "plan_cache_mode=force_custom_plan"),
    ),
    "threada_statuses(text[],uuid[],uuid[])": DefinerFunction("workitems/sql/statuses.sql"),
    "threada_tenant_of_link(bytea)": _LOOK_UP,
    "threada_tenants_of(uuid)": _LOOK_UP,
    "threada_trusted_issuers(text,text[])": _WORKLOADS,
}


def function_problems(connection: Any) -> Iterator[str]:
    """Yield each SECURITY DEFINER function that is not known or differs from its source.

    Covers the schema `public`, and functions elsewhere that this login may call. Functions of extensions are trusted
    like PostgreSQL itself.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT CASE WHEN n.nspname <> 'public' THEN n.nspname || '.' ELSE '' END || p.proname || '('
                   || array_to_string(ARRAY(SELECT format_type(type, NULL) FROM unnest(p.proargtypes)
                                              WITH ORDINALITY AS argument(type, place) ORDER BY place), ',') || ')',
                   p.prosrc, pg_get_userbyid(p.proowner), p.proconfig,
                   EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))
                            WHERE grantee = 0 AND privilege_type = 'EXECUTE')
              FROM pg_proc p
              JOIN pg_namespace n ON n.oid = p.pronamespace
             WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema')
               AND (n.nspname = 'public'
                    OR has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE'))
               AND NOT EXISTS (SELECT FROM pg_depend
                                WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e')
             ORDER BY 1
            """
        )
        rows = cursor.fetchall()
    for signature, body, owner, settings, is_public in rows:
        known = DEFINER_FUNCTIONS.get(signature)
        if known is None:
            yield f"the SECURITY DEFINER function {signature} is not known and may show other tenants' rows; drop it"
            continue
        if owner != OWNER:
            yield f"the function {signature} belongs to {owner}, not to {OWNER}"
        if settings != [*_SEARCH_PATH, *known.settings]:
            yield f"the function {signature} has no fixed search_path"
        if is_public and not known.is_public:
            yield f"the function {signature} may be called by every login"
        if f"$${body}$$" not in _source(known.source):
            yield f"the function {signature} differs from {known.source}; run manage.py migrate, or restore it"
    for signature in sorted(DEFINER_FUNCTIONS.keys() - {row[0] for row in rows}):
        yield f"the SECURITY DEFINER function {signature} does not exist; run manage.py migrate"


def view_problems(connection: Any) -> Iterator[str]:
    """Yield each view that reads its tables as its owner, and each materialized view, that this login could read.

    Covers the schema `public`, and views elsewhere that this login may read. Views of extensions are trusted.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT CASE WHEN n.nspname <> 'public' THEN n.nspname || '.' ELSE '' END || c.relname, c.relkind = 'm'
              FROM pg_class c
              JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
               AND (c.relkind = 'm' OR c.relkind = 'v' AND NOT EXISTS (
                    SELECT FROM pg_options_to_table(c.reloptions)
                     WHERE option_name = 'security_invoker' AND option_value::boolean))
               AND (n.nspname = 'public'
                    OR has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT'))
               AND NOT EXISTS (SELECT FROM pg_depend
                                WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
             ORDER BY 1
            """
        )
        rows = cursor.fetchall()
    for name, is_stored in rows:
        if is_stored:
            yield f"the materialized view {name} stores rows without row-level security; drop it"
        else:
            yield f"the view {name} is not security_invoker and may show other tenants' rows"


@cache
def _source(name: str) -> str:
    return (BASE_DIR / name).read_text(encoding="utf-8")
