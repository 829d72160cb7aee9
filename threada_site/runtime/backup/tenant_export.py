"""Export of one tenant: configuration, rows, files and receipts with proofs, for the tenant to keep or take along.

Rows are read with row-level security, in one snapshot, so that no row of another tenant can be among them.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.files.storage import storages
from django.db import connection
from psycopg import sql

from telemetry.exports.evidence import evidence_of
from telemetry.models import Checkpoint
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from telemetry.selectors import newest_checkpoint
from telemetry.verification.snapshot import snapshot, stream
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from threada_site.personal_data.subject_keys import unwrapped
from threada_site.runtime.backup.archive import ArchiveWriter, Watch, blocks_of, new_archive
from threada_site.runtime.backup.contents import FILES, KEYS
from threada_site.runtime.backup.create import Created, known_migrations, signing
from threada_site.runtime.backup.recovery_key import encrypt, fingerprint
from threada_site.tenancy.isolation_checks import tenant_models
from threada_site.tenancy.models import DataSubject, Tenant, User
from workitems.attachments.models import StoredFile
from workitems.configuration.export import configuration_files
from workitems.file_storage.stored_files import STORAGE

KIND: Final = "tenant"
EVIDENCE: Final = "evidence"
PRINCIPALS: Final = "principals.csv"
ROLES: Final = "roles.csv"
GRANTS: Final = "grants.csv"
_LEFT_OUT: Final = (
    "api_idempotencyrecord",
    "integrations_accesstoken",
    "integrations_proposedsecret",
    "integrations_storedsecret",
    "telemetry_signinfailures",
    "tenancy_accountlink",
)
_RECEIPTS: Final = """
SELECT r.body FROM telemetry_receipt r JOIN telemetry_logleaf l ON l.id = r.id AND l.tenant_id = r.tenant_id
 WHERE r.tenant_id = %s AND l."index" < %s ORDER BY l."index"
"""
_PRINCIPALS: Final = """
SELECT id, username, kind, display_name, email, time_zone, language, is_active, created_at
  FROM tenancy_user WHERE home_tenant_id = {tenant} OR id IN ({named}) ORDER BY id
"""
_ROLES: Final = """
SELECT ug.user_id, r.slug FROM tenancy_role r JOIN tenancy_user_groups ug ON ug.group_id = r.group_id
 WHERE r.tenant_id = {tenant} ORDER BY ug.user_id, r.slug
"""
_GRANTS: Final = """
SELECT 'role' AS holder_kind, r.slug::text AS holder, c.app_label || '.' || c.model AS model, g.object_pk, p.codename
  FROM tenancy_role r
  JOIN guardian_groupobjectpermission g ON g.group_id = r.group_id
  JOIN auth_permission p ON p.id = g.permission_id
  JOIN django_content_type c ON c.id = g.content_type_id
 WHERE r.tenant_id = {tenant}
UNION ALL
SELECT 'principal', g.user_id::text, c.app_label || '.' || c.model, g.object_pk, p.codename
  FROM guardian_userobjectpermission g
  JOIN auth_permission p ON p.id = g.permission_id
  JOIN django_content_type c ON c.id = g.content_type_id
 WHERE g.object_pk = {tenant}::text
    OR g.object_pk IN (SELECT id::text FROM policies_workflow WHERE tenant_id = {tenant}
                       UNION ALL SELECT id::text FROM integrations_integration WHERE tenant_id = {tenant})
 ORDER BY 1, 2, 3, 4, 5
"""


def exported_tables() -> list[str]:
    """Return the tables whose rows an export contains."""
    return sorted({model._meta.db_table for model in tenant_models()} - set(_LEFT_OUT))


def export_tenant(path: Path, *, recovery_key: str, ctx: ActingContext, watch: Watch) -> Created:
    """Write everything of the tenant to `path`. `recovery_key`: public half, to which keys of data subjects are
    encrypted; without it they are left out.

    Receipt `tenant.exported`. Opens its own units of work. Raise `Conflict` if nothing is sealed yet, and the errors of
    `create_backup`; then there is no file.
    """
    with unit_of_work(ctx.tenant_id):
        checkpoint = newest_checkpoint(ctx.tenant_id)
        if checkpoint is None:
            raise errors.Conflict("Nothing of this tenant is sealed yet. Run the sealer, then export it.")
        tenant = Tenant.objects.get(id=ctx.tenant_id)
        record(Entry(kind="tenant.exported", inputs={"has_keys": bool(recovery_key)}), ctx=ctx)
    left_out = ["Passwords, second factors, sessions and stored secrets are not in an export: they are set again."]
    facts: dict[str, Any] = {
        "kind": KIND,
        "tenant": {"id": ids.public_id(ids.TENANT, tenant.id), "slug": tenant.slug, "name": tenant.name},
        "settings": {"personal_token_days": tenant.personal_token_days, "require_mfa": tenant.require_mfa},
        "made_at": rfc3339(clock.now()),
        "version": settings.THREADA_VERSION,
        "schema": known_migrations(),
        "recovery_key": fingerprint(recovery_key) if recovery_key else None,
    }
    with new_archive(path, watch) as writer:
        with snapshot(ctx.tenant_id):
            for file, text in configuration_files(ctx).items():
                writer.add(f"configuration/{file.as_posix()}", [text.encode()], is_compressed=True)
            _add_rows(writer, ctx)
            paths = list(StoredFile.objects.filter(tenant_id=ctx.tenant_id).values_list("path", flat=True))
            keys = _subject_keys(ctx) if recovery_key else b""
        _add_files(writer, paths, left_out)
        _add_evidence(writer, checkpoint)
        if recovery_key:
            writer.add(KEYS, [encrypt(keys, public=recovery_key, bound_to=writer.binding(facts))])
        else:
            left_out.append("Keys of people in cases are not in it (--recovery-key): their contents cannot be read.")
        writer.finish(facts, signing(left_out))
    return Created(path, path.stat().st_size, left_out)


def _add_rows(writer: ArchiveWriter, ctx: ActingContext) -> None:
    """Add a CSV file for each table with rows of the tenant, for its principals and for their roles."""
    tenant = sql.Literal(ctx.tenant_id)
    named: list[sql.Composed] = []
    for model in sorted(tenant_models(), key=lambda found: found._meta.db_table):
        table = model._meta.db_table
        rows = sql.SQL("FROM {} WHERE tenant_id = {}").format(sql.Identifier(table), tenant)
        if table not in _LEFT_OUT:
            _add_query(writer, f"rows/{table}.csv", sql.SQL("SELECT * {} ORDER BY id").format(rows))
        named += [
            sql.SQL("SELECT {} {}").format(sql.Identifier(field.attname), rows)
            for field in model._meta.local_fields
            if field.related_model is User
        ]
    query = sql.SQL(_PRINCIPALS).format(tenant=tenant, named=sql.SQL(" UNION ").join(named))
    _add_query(writer, PRINCIPALS, query)
    _add_query(writer, ROLES, sql.SQL(_ROLES).format(tenant=tenant))
    _add_query(writer, GRANTS, sql.SQL(_GRANTS).format(tenant=tenant))


def _add_query(writer: ArchiveWriter, name: str, query: sql.Composed) -> None:
    with connection.cursor():
        own = connection.connection
    with own.cursor() as cursor, cursor.copy(sql.SQL("COPY ({}) TO STDOUT (FORMAT csv, HEADER)").format(query)) as rows:
        writer.add(name, (bytes(block) for block in rows), is_compressed=True)


def _add_files(writer: ArchiveWriter, paths: list[str], left_out: list[str]) -> None:
    missing = 0
    for path in paths:
        try:
            file = storages[STORAGE].open(path, "rb")
        except FileNotFoundError:
            missing += 1
            continue
        with file:
            writer.add(f"{FILES}/attachments/{path}", blocks_of(file))
    if missing:
        left_out.append(f"{missing} attachments are missing in the storage.")


def _add_evidence(writer: ArchiveWriter, checkpoint: Checkpoint) -> None:
    """Add every receipt under the checkpoint with its proof, as a file that the verifier for outsiders reads."""
    with tempfile.NamedTemporaryFile(prefix="threada-receipts-") as file:
        file.writelines(_receipt_lines(checkpoint))
        file.flush()
        evidence = evidence_of(Path(file.name), name=EVIDENCE, checkpoint=checkpoint, is_in_log_order=True)
        writer.add(f"{EVIDENCE}.zip", evidence)


def _receipt_lines(checkpoint: Checkpoint) -> Iterator[bytes]:
    with snapshot(checkpoint.tenant_id):
        for (body,) in stream(_RECEIPTS, [checkpoint.tenant_id, checkpoint.size]):
            yield bytes(body) + b"\n"


def _subject_keys(ctx: ActingContext) -> bytes:
    rows = DataSubject.objects.filter(tenant_id=ctx.tenant_id, erased_at=None).values_list("id", "wrapped_key")
    return json.dumps({str(subject): unwrapped(bytes(key or b"")).hex() for subject, key in rows}).encode()
