"""Start-up checks of tenant isolation: the login must be subject to row-level security, every tenant table must have
it, and no function or view may bypass it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.apps import apps
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connection, models

from threada_site.database.constraints import InstanceRows, RowLevelSecurity, TenantForeignKey
from threada_site.database.definer_functions import function_problems, view_problems
from threada_site.database.login_checks import login_problems
from threada_site.database.protected_columns import column_problems
from threada_site.database.roles import OWNER, PLATFORM
from threada_site.tenancy.models import TenantRow

# How PostgreSQL prints `tenant_id = <the transaction's tenant>`. With any further condition it would start differently.
_OWN_ROWS: Final = "(tenant_id = ( SELECT (NULLIF(current_setting('app.tenant'::text, true)"


@register(Tags.models)
def tenant_models_carry_constraints(**_kwargs: Any) -> list[CheckMessage]:
    """Check that tenant models declare row-level security, and references between them the composite key."""
    problems: list[CheckMessage] = []
    for model in tenant_models():
        constraints = model._meta.constraints
        if not any(isinstance(constraint, RowLevelSecurity) for constraint in constraints):
            problems.append(
                Error("has no row-level security", hint="Use tenant_constraints().", obj=model, id="tenancy.E001")
            )
        covered = {constraint.field for constraint in constraints if isinstance(constraint, TenantForeignKey)}
        for field in model._meta.local_fields:
            if not isinstance(field, models.ForeignKey) or not issubclass(field.related_model, TenantRow):
                continue
            if field.name not in covered or getattr(field, "db_constraint", True):
                problems.append(
                    Error(
                        f"{field.name} has no composite foreign key",
                        hint="Set db_constraint=False and name the field in tenant_constraints(references=…).",
                        obj=model,
                        id="tenancy.E002",
                    )
                )
    return problems


def tenant_models() -> list[type[models.Model]]:
    """Return all tenant models with a table of their own."""
    return [model for model in apps.get_models() if issubclass(model, TenantRow) and not model._meta.proxy]


def isolation_problems() -> Sequence[str]:
    """Return what would let the login see rows of other tenants. Empty if there is nothing. Called by `/readyz`."""
    return [
        *login_problems(connection),
        *_table_problems(),
        *_instance_table_problems(),
        *view_problems(connection),
    ]


def start_problems() -> Sequence[str]:
    """Return the same, functions that differ from those of this version, and columns that the web's login may change.

    Called at the start of every process (`web`, `worker`) and by `check_tenancy`. Not by `/readyz`: processes of the
    previous version keep serving after `migrate`, until each is restarted.
    """
    return [*isolation_problems(), *function_problems(connection), *column_problems(connection)]


def _table_problems() -> Iterator[str]:
    """Check tables with a `tenant_id`: forced row-level security, the two known policies and no other.

    Restrictive policies are not checked: they only take rows away.
    """
    tables = [model._meta.db_table for model in tenant_models()]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity, pg_get_userbyid(c.relowner) = current_user,
                   coalesce(array_agg(p.polname::text) FILTER (WHERE p.polname = 'tenant_rows'
                       AND starts_with(pg_get_expr(p.polqual, c.oid), %(own)s)
                       AND starts_with(pg_get_expr(p.polwithcheck, c.oid), %(own)s)), '{}'),
                   coalesce(array_agg(p.polname::text ORDER BY p.polname) FILTER (WHERE p.polpermissive
                       AND p.polname <> 'tenant_rows' AND NOT (p.polname = 'platform_rows' AND p.polroles <@ (
                           SELECT array_agg(oid) FROM pg_roles WHERE rolname IN (%(owner)s, %(platform)s)))), '{}')
              FROM pg_class c
              JOIN pg_namespace n ON n.oid = c.relnamespace
              LEFT JOIN pg_policy p ON p.polrelid = c.oid
             WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')
               AND (c.relname = ANY(%(tables)s) OR EXISTS (
                    SELECT 1 FROM pg_attribute a
                     WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped))
             GROUP BY c.oid, c.relname
            """,
            {"tables": tables, "own": _OWN_ROWS, "owner": OWNER, "platform": PLATFORM},
        )
        rows = sorted(cursor.fetchall())
    for table in sorted(set(tables) - {row[0] for row in rows}):
        yield f"the table {table} does not exist; run manage.py migrate"
    for table, is_forced, is_owned, own_policies, stray_policies in rows:
        if not (is_forced and own_policies):
            yield f"the table {table} has no forced row-level security policy"
        if is_owned:
            yield f"the login owns the table {table}"
        for policy in stray_policies:
            yield f"the table {table} has the policy {policy}, which may show other tenants' rows"


def _instance_table_problems() -> Iterator[str]:
    """Check tables with rows of the instance: forced row-level security and only the two policies of their models."""
    tables = [
        model._meta.db_table
        for model in apps.get_models()
        if any(isinstance(constraint, InstanceRows) for constraint in model._meta.constraints)
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = 'public' AND c.relname = ANY(%s) AND NOT (
                   c.relrowsecurity AND c.relforcerowsecurity AND pg_get_userbyid(c.relowner) <> current_user
                   AND (SELECT coalesce(array_agg(polname::text ORDER BY polname), '{}') FROM pg_policy
                         WHERE polrelid = c.oid) = '{platform_rows,readable_rows}')
             ORDER BY c.relname
            """,
            [tables],
        )
        for (table,) in cursor.fetchall():
            yield f"the table {table} of the instance is not closed to tenants"
