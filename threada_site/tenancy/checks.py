"""Start-up checks: the login must not be able to pass by row-level security, and no tenant table may lack it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connection, models

from threada_site.tenancy.constraints import RowLevelSecurity, TenantForeignKey
from threada_site.tenancy.models import TenantRow
from threada_site.tenancy.roles import OWNER, PLATFORM


@register(Tags.models)
def tenant_models_carry_constraints(app_configs: Any, **_kwargs: Any) -> list[CheckMessage]:
    """Every tenant model declares row-level security, and every reference between tenant tables its composite key."""
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
            if field.name not in covered or field.db_constraint:
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
    """All concrete tenant tables."""
    return [model for model in apps.get_models() if issubclass(model, TenantRow)]


def isolation_problems() -> Sequence[str]:
    """What in the live database would let the login see other tenants' rows; empty when all is well.

    Asked at the start of every process (`web`, `worker`) and by `check_tenancy`.
    """
    problems = []
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT r.rolname, r.rolsuper, r.rolbypassrls, r.rolname = current_user,
                   pg_has_role(current_user, r.oid, 'USAGE')
              FROM pg_roles r
             WHERE pg_has_role(current_user, r.oid, 'MEMBER') AND r.rolname !~ '^pg_'
            """
        )
        for name, is_superuser, bypasses, is_login, is_inherited in cursor.fetchall():
            if is_superuser:
                problems.append(f"the login {'is' if is_login else 'may become'} the superuser {name}")
            elif bypasses:
                problems.append(f"the role {name} has BYPASSRLS")
            elif name in (OWNER, PLATFORM) and (is_login or is_inherited):
                problems.append(f"the login inherits {name}; it must be NOINHERIT and SET ROLE explicitly")
        tables = [model._meta.db_table for model in tenant_models()]
        cursor.execute(
            """
            SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity, pg_get_userbyid(c.relowner) = current_user,
                   EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'tenant_rows')
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')
               AND (c.relname = ANY(%s) OR EXISTS (
                    SELECT 1 FROM pg_attribute a
                     WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped))
            """,
            [tables],
        )
        rows = cursor.fetchall()
    missing = set(tables) - {row[0] for row in rows}
    problems += [f"the table {table} does not exist; run manage.py migrate" for table in sorted(missing)]
    for table, enabled, forced, is_owner, has_policy in sorted(rows):
        if not (enabled and forced and has_policy):
            problems.append(f"the table {table} has no forced row-level security policy")
        if is_owner:
            problems.append(f"the login owns the table {table}")
    return problems
