"""Accounts of an imported tenant, with their roles and scopes."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

from django.contrib.auth.models import Group, Permission
from django.db import IntegrityError, connection, transaction
from guardian.models import GroupObjectPermission, UserObjectPermission

from threada_site.identity.slugs import require_slug
from threada_site.kernel import errors
from threada_site.kernel.context import Scope
from threada_site.runtime.backup.archive import BackupDamaged
from threada_site.runtime.backup.tenant_export import GRANTS, PRINCIPALS, ROLES
from threada_site.runtime.tenants.archive import MOST_NAMED, CheckedExport, csv_rows
from threada_site.runtime.tenants.erase import erased_name
from threada_site.runtime.tenants.rows import run, staged
from threada_site.tenancy.models import User

_OBJECTS: Final = {
    "tenancy.tenant": None,
    "policies.workflow": "policies_workflow",
    "integrations.integration": "integrations_integration",
}


def create_accounts(export: CheckedExport, renamed: Mapping[str, str]) -> list[User]:
    """Create the accounts of the export, without passwords. Raise `Conflict` if one exists here.

    An account that was erased with this tenant comes back. One that another tenant left does not.
    """
    people = []
    for row in csv_rows(export.backup, PRINCIPALS):
        try:
            person = User(
                id=uuid.UUID(row["id"]),
                username=renamed.get(row["username"], row["username"]) if row["kind"] == "human" else row["username"],
                kind=row["kind"],
                home_tenant_id=None if row["kind"] == "human" else export.tenant_id,
                display_name=row["display_name"],
                email=row["email"],
                time_zone=row["time_zone"],
                language=row["language"],
                is_active=row["is_active"] == "t",
                created_at=row["created_at"],
            )
        except (KeyError, ValueError) as error:
            raise BackupDamaged(f"{export.backup.path}: {PRINCIPALS} cannot be read: {error}") from None
        person.set_unusable_password()
        people.append(person)
    if unknown := sorted(renamed.keys() - {row["username"] for row in csv_rows(export.backup, PRINCIPALS)}):
        raise errors.Conflict(f"The export has no person {unknown[0]!r} to rename.")
    known = list(User.objects.filter(id__in=[person.id for person in people]))
    if any(not _may_come_back(person, export.tenant_id) for person in known):
        raise errors.Conflict(
            "Accounts of the export exist in this instance. An import makes no account here a member of another tenant."
        )
    names = [person.username for person in people if person.kind == "human"]
    taken = sorted(User.objects.filter(home_tenant=None, username__in=names).values_list("username", flat=True))
    if taken:
        raise errors.Conflict(
            f"These names belong to other people here: {', '.join(taken[:MOST_NAMED])}. "
            "Give new ones: --rename OLD=NEW."
        )
    for person in people:
        require_slug(person.username, naming="principal")
    try:
        with transaction.atomic():
            back = {person.id for person in known}
            User.objects.bulk_create([person for person in people if person.id not in back])
            for person in people:
                if person.id in back:
                    person.save(force_update=True)
    except IntegrityError as error:
        raise BackupDamaged(
            f"{export.backup.path}: {PRINCIPALS} has accounts that no instance makes: {error}"
        ) from None
    return people


def _may_come_back(person: User, tenant_id: uuid.UUID) -> bool:
    """Return True for the empty account of a person who was erased with this very tenant. Nobody can use it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT threada_is_member_somewhere(%s)", [person.id])
        (is_member,) = cursor.fetchone()
    is_erased = person.username == erased_name(person.id, tenant_id=tenant_id)
    return is_erased and not person.is_active and not is_member


def give_scopes_and_roles(export: CheckedExport, groups: Mapping[str, Group]) -> None:
    """Give roles their scopes, and members their roles and their scopes on single objects."""
    path, tenant = export.backup.path, str(export.tenant_id)
    permissions = {
        (f"{row.content_type.app_label}.{row.content_type.model}", row.codename): row
        for row in Permission.objects.select_related("content_type")
    }
    objects = {"tenancy.tenant": {tenant}}
    for model, table in _OBJECTS.items():
        if table:
            objects[model] = {str(found) for (found,) in run("SELECT id FROM {}", staged(table))}
    members = {str(person) for (person,) in run("SELECT user_id FROM {}", staged("tenancy_membership"))}
    recorded = set(run("SELECT user_id::text, name FROM {} WHERE kind = 'scope'", staged("tenancy_grantrecord")))
    scopes = {scope.codename: scope.value for scope in Scope}
    for row in csv_rows(export.backup, GRANTS):
        permission = permissions.get((row["model"], row["codename"]))
        if permission is None or row["object_pk"] not in objects.get(row["model"], ()):
            raise BackupDamaged(f"{path}: {GRANTS} has a scope on something that is not of this tenant.")
        values: dict[str, Any] = {
            "permission": permission,
            "content_type": permission.content_type,
            "object_pk": row["object_pk"],
        }
        if row["holder_kind"] == "role" and row["holder"] in groups:
            GroupObjectPermission.objects.create(group=groups[row["holder"]], **values)
        elif row["holder_kind"] == "principal" and row["holder"] in members:
            if (row["holder"], f"{scopes.get(row['codename'])}@{row['object_pk']}") not in recorded:
                raise BackupDamaged(f"{path}: {GRANTS} has a scope without the record of its grant.")
            UserObjectPermission.objects.create(user_id=row["holder"], **values)
        else:
            raise BackupDamaged(f"{path}: {GRANTS} names a holder that is not of this tenant.")
    for row in csv_rows(export.backup, ROLES):
        if row["slug"] not in groups or row["user_id"] not in members:
            raise BackupDamaged(f"{path}: {ROLES} names somebody who is not of this tenant.")
        User.groups.through.objects.create(user_id=row["user_id"], group_id=groups[row["slug"]].pk)
