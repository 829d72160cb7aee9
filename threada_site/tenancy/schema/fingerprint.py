"""Fingerprint of the schema: one line for each column, constraint, index, policy, trigger, function and type.

Names are qualified by their schema, so that the lines do not depend on the search path. Left out are what differs
between instances of one version: partitions, grants, owners, storage options, policies that `grant_tables` makes, and
objects of extensions. PostgreSQL 15 to 18 give equal lines. Imports no Django.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

_TABLES: Final = (
    "c.relnamespace = 'public'::regnamespace AND NOT c.relispartition AND NOT EXISTS (SELECT FROM pg_depend e "
    "WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')"
)
_NOT_OF_AN_EXTENSION: Final = (
    "NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '{catalog}'::regclass AND e.objid = {oid} "
    "AND e.deptype = 'e')"
)
_LINES: Final = f"""
    SELECT 'table ' || c.relname || CASE c.relkind WHEN 'p' THEN ' partition by ' || pg_get_partkeydef(c.oid)
             WHEN 'v' THEN ' view ' || pg_get_viewdef(c.oid) WHEN 'm' THEN ' materialized view' ELSE '' END
           || CASE c.relpersistence WHEN 'u' THEN ' unlogged' ELSE '' END
           || CASE WHEN c.relrowsecurity THEN ' row level security' ELSE '' END
           || CASE WHEN c.relforcerowsecurity THEN ' forced' ELSE '' END
      FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_TABLES}
    UNION ALL
    SELECT 'column ' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
           || CASE WHEN a.attcollation <> t.typcollation
                   THEN ' collate ' || (SELECT collname FROM pg_collation WHERE oid = a.attcollation) ELSE '' END
           || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
           || CASE a.attidentity WHEN 'a' THEN ' identity always' WHEN 'd' THEN ' identity' ELSE '' END
           || CASE a.attgenerated WHEN 's' THEN ' generated' WHEN 'v' THEN ' virtual' ELSE '' END
           || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
      FROM pg_class c
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      JOIN pg_type t ON t.oid = a.atttypid
      LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND {_TABLES}
    UNION ALL
    SELECT 'constraint ' || c.relname || '.' || k.conname || ' ' || pg_get_constraintdef(k.oid)
      FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
     WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND k.conparentid = 0 AND {_TABLES}
    UNION ALL
    SELECT 'index ' || c.relname || '.' || i.relname || ' ' || pg_get_indexdef(i.oid)
           || CASE WHEN x.indisvalid THEN '' ELSE ' invalid' END
      FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
     WHERE {_TABLES}
    UNION ALL
    SELECT 'policy ' || c.relname || '.' || p.polname
           || CASE WHEN p.polpermissive THEN '' ELSE ' restrictive' END || ' for ' || p.polcmd::text || ' to '
           || array_to_string(ARRAY(SELECT CASE WHEN r.oid = 0 THEN 'public' ELSE pg_get_userbyid(r.oid)::text END
                                      FROM unnest(p.polroles) r (oid) ORDER BY 1), ', ')
           || coalesce(' using ' || pg_get_expr(p.polqual, p.polrelid), '')
           || coalesce(' check ' || pg_get_expr(p.polwithcheck, p.polrelid), '')
      FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
     WHERE p.polname <> 'operator_rows' AND {_TABLES}
    UNION ALL
    SELECT 'trigger ' || c.relname || '.' || g.tgname || ' ' || pg_get_triggerdef(g.oid)
           || CASE g.tgenabled WHEN 'O' THEN '' ELSE ' enabled ' || g.tgenabled::text END
      FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
     WHERE NOT g.tgisinternal AND {_TABLES}
    UNION ALL
    SELECT 'function ' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')'
           || ' returns ' || coalesce(pg_get_function_result(p.oid), '-')
           || ' arguments ' || pg_get_function_arguments(p.oid)
           || ' language ' || l.lanname || ' kind ' || p.prokind::text
           || CASE WHEN p.prosecdef THEN ' security definer' ELSE '' END
           || ' volatility ' || p.provolatile::text || ' parallel ' || p.proparallel::text
           || CASE WHEN p.proisstrict THEN ' strict' ELSE '' END
           || CASE WHEN p.proleakproof THEN ' leakproof' ELSE '' END
           || ' cost ' || p.procost || ' rows ' || p.prorows
           || coalesce(' set ' || array_to_string(p.proconfig, '; '), '')
           || ' source ' || encode(sha256(convert_to(p.prosrc, 'UTF8')), 'hex')
           || coalesce(' body ' || pg_get_function_sqlbody(p.oid), '')
      FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
     WHERE p.pronamespace = 'public'::regnamespace AND {_NOT_OF_AN_EXTENSION.format(catalog="pg_proc", oid="p.oid")}
    UNION ALL
    SELECT 'type ' || t.typname || CASE t.typtype
             WHEN 'e' THEN ' enum ' || array_to_string(
               ARRAY(SELECT e.enumlabel FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder), ', ')
             WHEN 'd' THEN ' domain ' || format_type(t.typbasetype, t.typtypmod)
             ELSE ' ' || t.typtype::text END
      FROM pg_type t
     WHERE t.typnamespace = 'public'::regnamespace AND t.typtype IN ('e', 'd', 'r')
       AND {_NOT_OF_AN_EXTENSION.format(catalog="pg_type", oid="t.oid")}
    UNION ALL
    SELECT 'extension ' || extname FROM pg_extension
"""
_LITERAL: Final = r"'(?:[^']|'')*'::character varying"
_CAST_AS_ONE: Final = re.compile(rf"\(ARRAY\[({_LITERAL}(?:, {_LITERAL})*)\]\)::text\[\]")
_CAST_EACH: Final = re.compile(rf"\(({_LITERAL})\)::text")
_OPTIONAL: Final = ("extension", "function", "index", "type")
"""Kinds of objects that an operator may add: they change no row of the product. SECURITY DEFINER functions and views
are checked by `isolation_checks`."""


def schema_lines(cursor: Any) -> list[str]:
    """Return the lines of the database that `cursor` is connected to, sorted. Reads the catalog alone."""
    cursor.execute("SELECT current_setting('search_path')")
    (path,) = cursor.fetchone()
    cursor.execute("SELECT set_config('search_path', 'pg_catalog', false)")
    try:
        cursor.execute(_LINES)
        rows = cursor.fetchall()
    finally:
        cursor.execute("SELECT set_config('search_path', %s, false)", [path])
    return sorted(normalized(line) for (line,) in rows)


def normalized(line: str) -> str:
    """Return a line with single spaces, and without the casts of literals that a dump and restore writes differently.

    `(ARRAY['a'::character varying])::text[]` becomes `ARRAY[('a'::character varying)::text]`.
    """
    return _CAST_EACH.sub(r"\1", _CAST_AS_ONE.sub(r"ARRAY[\1]", re.sub(r"\s+", " ", line).strip()))


def missing_columns(found: Iterable[str], expected: Iterable[str]) -> list[str]:
    """Return the columns of `expected` that are not in `found`, whatever their types."""
    return sorted(name for name in _by_name(expected).keys() - _by_name(found).keys() if name.startswith("column "))


def differences(found: Iterable[str], expected: Iterable[str]) -> list[str]:
    """Return a sentence for each object that is missing, differs or does not belong there, sorted.

    Tables, indexes, functions and types that the product does not have are allowed.
    """
    there, wanted = _by_name(found), _by_name(expected)
    tables = {name.partition(" ")[2] for name in wanted if name.startswith("table ")}
    said = [f"{name} is missing" for name in wanted.keys() - there.keys()]
    said += [f"{name} differs" for name in wanted.keys() & there.keys() if there[name] != wanted[name]]
    said += [
        f"{name} does not belong there"
        for name in there.keys() - wanted.keys()
        if not name.startswith(_OPTIONAL) and name.partition(" ")[2].partition(".")[0] in tables
    ]
    return sorted(said)


def _by_name(lines: Iterable[str]) -> dict[str, str]:
    """Return the lines by kind and name of their object. The name of a function contains its arguments."""
    found = {}
    for line in lines:
        kind, _, rest = line.partition(" ")
        name = rest[: rest.index(")") + 1] if kind == "function" else rest.partition(" ")[0]
        found[f"{kind} {name}"] = line
    return found
