"""Restore of a backup into this instance."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from io import StringIO

from django.core.management import call_command
from django.db import connection, transaction

from telemetry.instance_log.acknowledge import acknowledge_instance_log
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from telemetry.tlog.checkpoint import INSTANCE
from telemetry.verification.acknowledge import acknowledge_log
from threada_site.api.models import IdempotencyRecord
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, EntryPoint, system_context
from threada_site.kernel.json.canonical import sha256_hex
from threada_site.runtime.backup.archive import Backup
from threada_site.runtime.backup.contents import (
    CHECKPOINTS,
    FILES,
    files_in,
    known_logs,
    stored_folders,
    write_checkpoints,
    write_key,
    write_stored_file,
)
from threada_site.runtime.backup.create import DUMP, records_in
from threada_site.runtime.backup.database import check_roles, clients, database, put_in_place, restored
from threada_site.runtime.sealer.process import sealing_anchor
from threada_site.tenancy.models import Tenant

type Say = Callable[[str], None]


def contents_here() -> list[str]:
    """Return what this instance contains already. Empty if a restore replaces nothing."""
    found = []
    if Tenant._meta.db_table in connection.introspection.table_names() and (tenants := Tenant.objects.count()):
        found.append(f"{tenants} tenants")
    if logs := len(known_logs()):
        found.append(f"signed checkpoints of {logs} logs")
    for name, folder in stored_folders().items():
        if next(files_in(folder), None) is not None:
            found.append(name)
    return found


def clients_here() -> list[str]:
    """Return the programs that are connected to the database. They must be stopped before a restore."""
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]
    return clients(database())


def restore(backup: Backup, *, keys: dict[str, str], keeps_log_names: bool, say: Say) -> None:
    """Replace the instance by the backup: stored files, then the database in one step, then keys and checkpoints.

    Checkpoints of logs that this machine knows stay, so that the sealer notices that the database is older.
    `keeps_log_names`: seal under the old names of the logs; otherwise each log continues under a new one. Every tenant
    gets a receipt `instance.restored`. May be repeated after a crash. Raise `DatabaseProblem` and `BackupDamaged`.
    """
    target = database()
    check_roles(target)
    for name, folder in stored_folders().items():
        for relative in backup.named(f"{FILES}/{name}"):
            write_stored_file(folder, relative, backup.blocks(f"{FILES}/{name}/{relative}"))
    say("restoring the database")
    name = f"threada_restored_{secrets.token_hex(6)}"
    with restored(target, name, backup.blocks(DUMP), records=records_in(backup)):
        put_in_place(target, name)
    for key, value in keys.items():
        write_key(key, value)
    known = known_logs()
    for relative in backup.named(CHECKPOINTS):
        if relative.parts[0] not in known:
            write_checkpoints(relative, backup.read(f"{CHECKPOINTS}/{relative}"))
    say("bringing the schema up to date")
    call_command("upgrade", stdout=StringIO())
    with transaction.atomic(), platform_role():
        # Backups of earlier versions contain the answers. The work is never done again under these keys.
        IdempotencyRecord.objects.update(response=b"")
    _record(backup, keeps_log_names=keeps_log_names, say=say)


def _record(backup: Backup, *, keeps_log_names: bool, say: Say) -> None:
    reason = f"Restored the backup of {backup.manifest['made_at']}."
    signed = known_logs()
    for tenant in Tenant.objects.order_by("slug"):
        ctx = _context(tenant)
        with unit_of_work(tenant.id):
            record(
                Entry(
                    kind="instance.restored",
                    inputs={
                        "backup_made_at": backup.manifest["made_at"],
                        "backup_version": backup.manifest["version"],
                        "manifest_sha256": sha256_hex(backup.manifest_bytes),
                    },
                    outcome={"log_name": "kept" if keeps_log_names else "new"},
                ),
                ctx=ctx,
            )
            if not keeps_log_names and ids.public_id(ids.TENANT, tenant.id) in signed:
                checkpoint = acknowledge_log(sealing_anchor(), reason=reason, ctx=ctx, although_it_matches=True)
                say(f"{checkpoint.origin} goes on from {checkpoint.size} receipts.")
    if not keeps_log_names and INSTANCE in signed:
        try:
            acknowledge_instance_log(sealing_anchor(), reason=reason, although_it_matches=True)
        except errors.Conflict as error:
            say(error.detail)


def _context(tenant: Tenant) -> ActingContext:
    return system_context(
        tenant_id=tenant.id,
        tenant_slug=tenant.slug,
        correlation_id=ids.new_uuid().hex,
        entry_point=EntryPoint.COMMAND,
    )
