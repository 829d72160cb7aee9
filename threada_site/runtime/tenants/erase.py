"""Removal of what belongs to a tenant: keys, accounts, jobs, and the rows of every table."""

from __future__ import annotations

import uuid
from graphlib import TopologicalSorter
from typing import Final

from django.db import connection
from psycopg import sql

from telemetry.log.store import LOCK_FOR_SEALING
from threada_site.database.roles import platform_role
from threada_site.kernel.json.canonical import sha256_hex
from threada_site.tenancy.isolation_checks import tenant_models
from threada_site.tenancy.models import User

BATCH: Final = 10_000
_PASSES: Final = 5
LOG: Final = (
    "telemetry_sealqueueentry",
    "telemetry_logleaf",
    "telemetry_lognode",
    "telemetry_checkpoint",
    "telemetry_logalarm",
)
"""Deleted in one transaction under the lock of the log: the sealer would report a log that is half there."""
_KEYS: Final = (
    """UPDATE tenancy_datasubject SET lookup = NULL, reference = NULL, wrapped_key = NULL, erased_at = now()
        WHERE tenant_id = %(tenant)s AND erased_at IS NULL""",
    "DELETE FROM integrations_storedsecret WHERE tenant_id = %(tenant)s",
    "DELETE FROM integrations_accesstoken WHERE tenant_id = %(tenant)s",
    "DELETE FROM integrations_proposedsecret WHERE tenant_id = %(tenant)s",
    r"UPDATE workitems_attachment SET file_key = '\x' WHERE tenant_id = %(tenant)s",
    "UPDATE telemetry_delivery SET secret = NULL WHERE tenant_id = %(tenant)s AND secret IS NOT NULL",
    "UPDATE tenancy_credential SET revoked_at = coalesce(revoked_at, now()) WHERE tenant_id = %(tenant)s",
    "DELETE FROM procrastinate_jobs WHERE args ->> 'tenant_id' = %(tenant)s::text AND status <> 'doing'",
    "DELETE FROM tenancy_job WHERE arguments ->> 'tenant_id' = %(tenant)s::text",
    "DELETE FROM tenancy_consolesession WHERE acting_tenant_id = %(tenant)s",
    "DELETE FROM tenancy_signindomain WHERE holder_id = %(tenant)s",
    "DELETE FROM auditlog_logentry WHERE additional_data ->> 'tenant' = %(tenant)s::text",
)
_OWN: Final = "SELECT id FROM tenancy_user WHERE home_tenant_id = %(tenant)s"
_LAST: Final = (
    "DELETE FROM procrastinate_jobs WHERE args ->> 'tenant_id' = %(tenant)s::text",
    f"DELETE FROM guardian_userobjectpermission WHERE user_id IN ({_OWN})",
    "DELETE FROM guardian_userobjectpermission WHERE object_pk = %(tenant)s::text",
    "DELETE FROM guardian_groupobjectpermission WHERE object_pk = %(tenant)s::text",
    f"DELETE FROM tenancy_user_groups WHERE user_id IN ({_OWN})",
    f"DELETE FROM tenancy_user_user_permissions WHERE user_id IN ({_OWN})",
    f"UPDATE auditlog_logentry SET actor_id = NULL WHERE actor_id IN ({_OWN})",
    f"DELETE FROM django_admin_log WHERE user_id IN ({_OWN})",
    "DELETE FROM tenancy_user WHERE home_tenant_id = %(tenant)s",
)
_DELETE: Final = "DELETE FROM {0} WHERE tenant_id = %s AND id IN (SELECT id FROM {0} WHERE tenant_id = %s LIMIT %s)"
_SCOPES_ON: Final = """
DELETE FROM guardian_userobjectpermission WHERE object_pk IN (SELECT id::text FROM {} WHERE tenant_id = %s)
"""
_OF_GROUPS: Final = (
    "DELETE FROM guardian_groupobjectpermission WHERE group_id = ANY(%s)",
    "DELETE FROM tenancy_user_groups WHERE group_id = ANY(%s)",
    "DELETE FROM auth_group_permissions WHERE group_id = ANY(%s)",
    "DELETE FROM auth_group WHERE id = ANY(%s)",
)


def destroy_keys(tenant_id: uuid.UUID) -> None:
    """Destroy keys, secrets, jobs and sessions of a tenant, and edits of its configuration. Runs as the platform."""
    _run(_KEYS, tenant_id)


def forget_people(tenant_id: uuid.UUID) -> None:
    """Erase the accounts of people whom only this tenant knows. Their ids stay. Runs as the platform."""
    named = sql.SQL(" UNION ").join(
        sql.SQL("SELECT {} FROM {} WHERE tenant_id = {}").format(
            sql.Identifier(field.attname), sql.Identifier(model._meta.db_table), sql.Literal(tenant_id)
        )
        for model in tenant_models()
        for field in model._meta.local_fields
        if field.related_model is User
    )
    query = sql.SQL(
        "SELECT u.id FROM tenancy_user u WHERE u.home_tenant_id IS NULL AND u.id IN ({}) "
        "AND NOT EXISTS (SELECT FROM tenancy_membership m WHERE m.user_id = u.id AND m.tenant_id <> {}) "
        "AND NOT EXISTS (SELECT FROM tenancy_provisionedperson p WHERE p.user_id = u.id AND p.tenant_id <> {})"
    ).format(named, sql.Literal(tenant_id), sql.Literal(tenant_id))
    with connection.cursor() as cursor:
        cursor.execute(query)
        people = [person for (person,) in cursor.fetchall()]
    for person in User.objects.filter(id__in=people):
        person.username = erased_name(person.id, tenant_id=tenant_id)
        person.display_name = person.email = person.time_zone = person.language = ""
        person.is_active = False
        person.email_confirmed_at = person.last_login = None
        person.set_unusable_password()
        person.enrolled_factors.all().delete()
        person.recovery_codes.all().delete()
        person.save()


def erased_name(person_id: uuid.UUID, *, tenant_id: uuid.UUID) -> str:
    """Return the name of an account that was erased with a tenant. Only an import of this tenant fills it again."""
    return f"erased-{sha256_hex(tenant_id.bytes + person_id.bytes)[:32]}"


def delete_rows_of(tenant_id: uuid.UUID) -> int:
    """Delete all rows of a tenant, from the tables that refer to others to those that they refer to.

    Return their number. Requests and jobs that began before the tenant was closed may still add rows, so it looks again
    until there are none.
    """
    total = 0
    for _ in range(_PASSES):
        found = _delete_log(tenant_id)
        for tables in groups_of_tables():
            while deleted := _delete_batch(tables, tenant_id):
                found += deleted
        total += found
        if not found:
            break
    with platform_role():
        _run(_LAST, tenant_id)
    return total


def groups_of_tables() -> list[tuple[str, ...]]:
    """Return all tenant tables except those of the log, those that refer to others first.

    Tables that refer to each other are one group: their rows can only be deleted together.
    """
    refers: dict[str, set[str]] = {model._meta.db_table: set() for model in tenant_models()}
    for model in tenant_models():
        for field in model._meta.local_fields:
            if field.related_model is not None and field.related_model._meta.db_table in refers:
                refers[model._meta.db_table].add(field.related_model._meta.db_table)
    reach = {table: _reachable(table, refers) for table in refers}
    group = {table: tuple(sorted({table, *(one for one in reach[table] if table in reach[one])})) for table in refers}
    before: dict[tuple[str, ...], set[tuple[str, ...]]] = {found: set() for found in group.values()}
    for table, others in refers.items():
        for other in others:
            if group[other] != group[table]:
                before[group[other]].add(group[table])
    return [tables for tables in TopologicalSorter(before).static_order() if not set(tables) & set(LOG)]


def _reachable(table: str, refers: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(refers[table])
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += refers[one]
    return found


def _delete_log(tenant_id: uuid.UUID) -> int:
    """Delete the rows of the tenant's log under its lock, and what the instance log still queues of it."""
    with platform_role(), connection.cursor() as cursor:
        cursor.execute(LOCK_FOR_SEALING, [str(tenant_id)])
        cursor.execute(
            "DELETE FROM telemetry_instancequeueentry WHERE id IN "
            "(SELECT id FROM telemetry_checkpoint WHERE tenant_id = %s)",
            [tenant_id],
        )
        deleted = 0
        for table in LOG:
            cursor.execute(sql.SQL("DELETE FROM {} WHERE tenant_id = %s").format(sql.Identifier(table)), [tenant_id])
            deleted += cursor.rowcount
    return deleted


def _delete_batch(tables: tuple[str, ...], tenant_id: uuid.UUID) -> int:
    """Delete some rows of a table, or all of several, in a transaction of their own. Return their number."""
    deleted = 0
    with platform_role(), connection.cursor() as cursor:
        groups: list[int] = []
        if "tenancy_role" in tables:
            cursor.execute("SELECT group_id FROM tenancy_role WHERE tenant_id = %s", [tenant_id])
            groups = [group for (group,) in cursor.fetchall()]
        for table in tables:
            if table in ("policies_workflow", "integrations_integration"):
                cursor.execute(sql.SQL(_SCOPES_ON).format(sql.Identifier(table)), [tenant_id])
            most = BATCH if len(tables) == 1 else None
            cursor.execute(sql.SQL(_DELETE).format(sql.Identifier(table)), [tenant_id, tenant_id, most])
            deleted += cursor.rowcount
        for statement in _OF_GROUPS if groups else ():
            cursor.execute(statement, [groups])
    return deleted


def _run(statements: tuple[str, ...], tenant_id: uuid.UUID) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement, {"tenant": tenant_id})
