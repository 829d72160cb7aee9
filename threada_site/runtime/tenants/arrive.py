"""Import of one tenant from its export: everything in one transaction, or nothing. Its receipts are written last.

What could act is stopped: executions under way need a person, integrations are frozen, deliveries are paused.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from django.core.files.base import ContentFile, File
from django.core.files.storage import storages
from django.db import IntegrityError, connection, transaction

from integrations.configuration.secrets import secrets_by_receipts
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from telemetry.verification.findings import VerificationStats
from telemetry.verification.log import verify_log
from threada_site.database.unit_of_work import restart_age, unit_of_work
from threada_site.identity.slugs import require_slug
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, EntryPoint, system_context
from threada_site.kernel.json.canonical import sha256_hex
from threada_site.personal_data.encrypted_blob import BlobUnreadableError
from threada_site.personal_data.subject_keys import lookup_under, opened_reference, wrapped
from threada_site.runtime.backup.archive import BackupDamaged
from threada_site.runtime.backup.checks import opened_keys
from threada_site.runtime.backup.contents import KEYS
from threada_site.runtime.backup.recovery_key import RecoveryKeyProblem
from threada_site.runtime.tenants.accounts import create_accounts, give_scopes_and_roles
from threada_site.runtime.tenants.archive import ATTACHMENTS, MOST_NAMED, CheckedExport
from threada_site.runtime.tenants.documents import check_documents
from threada_site.runtime.tenants.malformed import refused_as_damaged
from threada_site.runtime.tenants.rows import forget_tokens, give_groups, insert_rows, run, stage_rows, staged
from threada_site.runtime.tenants.signing import seal_imported_queue, sign_first_checkpoint
from threada_site.runtime.tenants.stopped import stop_what_could_act
from threada_site.tenancy.models import DataSubject, Tenant, User
from workitems.attachments.models import StoredFile
from workitems.completeness.verify import verify_completeness
from workitems.file_storage.stored_files import STORAGE, discard_file
from workitems.migrations._0002.forget_unknown import forget_unknown
from workitems.retention.erasure import forget_subject

_NOT_MOVED: Final = (
    "Not moved: passwords, second factors, sessions, stored secrets, invitations, jobs, edits of the configuration "
    "log, sign-in domains, browser origins and quotas."
)
type Say = Callable[[str], None]


@dataclass(slots=True)
class Imported:
    """The imported tenant, and sentences about what did not move or has to be done."""

    tenant: Tenant
    origin: str
    receipts: int
    remarks: list[str] = field(default_factory=list)


def import_tenant(
    export: CheckedExport,
    *,
    slug: str,
    renamed: Mapping[str, str],
    recovery_key: str,
    without_keys: bool,
    say: Say,
) -> Imported:
    """Store everything of a verified export in this instance. Opens its own unit of work.

    `renamed`: new names of people whose names are taken here. `recovery_key`: private half, for the keys of people in
    cases; `without_keys` gives their contents up. Receipt `tenant.imported`. Raise `Conflict` if the tenant, one of its
    people or one of its ids exists here; `BackupDamaged`, `RecoveryKeyProblem`, `KeyFileProblem`. Then nothing is
    stored.
    """
    require_slug(slug, naming="tenant")
    with refused_as_damaged(export.backup.path):
        keys = _subject_keys(export, recovery_key)
    ctx = system_context(
        tenant_id=export.tenant_id, tenant_slug=slug, correlation_id=ids.new_uuid().hex, entry_point=EntryPoint.COMMAND
    )
    with refused_as_damaged(export.backup.path), _written_files() as written, unit_of_work(export.tenant_id):
        tenant = _new_tenant(export, slug)
        say("reading the rows")
        people = create_accounts(export, renamed)
        principals = {person.id for person in people}
        stage_rows(export.backup, tenant_id=tenant.id, principals=principals, is_older=export.is_older)
        groups = give_groups(slug)
        forget_tokens()
        lost = _rewrap(keys, ctx=ctx, without_keys=without_keys)
        insert_rows()
        if export.is_older:
            with connection.schema_editor(atomic=False) as editor:
                forget_unknown(None, editor)  # as the upgrade of that version does
        give_scopes_and_roles(export, groups)
        _check_references()
        check_documents(tenant.id)
        say("comparing the receipts with the log and with the cases")
        _verify(tenant, export, lost)
        _write_files(export, written)
        size = seal_imported_queue(tenant.id, newest=export.newest, keys=export.receipt_keys)
        restart_age()
        for subject in DataSubject.objects.filter(tenant_id=tenant.id, id__in=lost):
            forget_subject(subject, now=clock.now(), ctx=ctx)
        stopped = stop_what_could_act(ctx=ctx)
        record(
            Entry(
                kind="tenant.imported",
                inputs={
                    "manifest_sha256": sha256_hex(export.backup.manifest_bytes),
                    "exported_at": export.backup.manifest["made_at"],
                    "log": export.newest.origin,
                    "log_size": export.newest.size,
                    "log_root": export.newest.root.hex(),
                    "log_keys": sorted(map(str, export.keys)),
                    "receipt_keys": sorted(map(str, export.receipt_keys)),
                },
                outcome={**stopped.counts, "receipts": size, "subjects_without_key": len(lost)},
            ),
            ctx=ctx,
        )
        signed = sign_first_checkpoint(tenant.id, before=export.newest.origin)
    remarks = [*stopped.sentences, *_remarks(people, len(lost))]
    return Imported(tenant, signed.origin, signed.size, remarks)


def _new_tenant(export: CheckedExport, slug: str) -> Tenant:
    said = export.backup.manifest.get("settings", {})
    days = said.get("personal_token_days", 90)
    tenant = Tenant(
        id=export.tenant_id,
        slug=slug,
        name=export.name,
        personal_token_days=days if isinstance(days, int) and 1 <= days <= 3660 else 90,
        require_mfa=said.get("require_mfa") is not False,
    )
    try:
        with transaction.atomic():
            tenant.save(force_insert=True)
    except IntegrityError:
        raise errors.Conflict(
            f"The instance has a tenant {slug!r}, or this very tenant under another name. Nothing was imported."
        ) from None
    return tenant


def _subject_keys(export: CheckedExport, recovery_key: str) -> dict[str, str]:
    if not recovery_key:
        return {}
    if KEYS not in export.backup.members:
        raise RecoveryKeyProblem("The export has no keys of people in cases: it was made without --recovery-key.")
    return opened_keys(export.backup, recovery_key)


def _rewrap(keys: dict[str, str], *, ctx: ActingContext, without_keys: bool) -> list[uuid.UUID]:
    """Wrap the keys of data subjects with the key of this instance. Return the subjects without key."""
    lost: list[uuid.UUID] = []
    table = staged("tenancy_datasubject")
    for subject, sealed in run("SELECT id, reference FROM {} WHERE erased_at IS NULL", table):
        if str(subject) not in keys:
            lost.append(subject)
            continue
        key = bytes.fromhex(keys[str(subject)])
        try:
            reference = opened_reference(bytes(sealed), key)
        except BlobUnreadableError:
            raise BackupDamaged("A key of a person in cases does not open what it is for.") from None
        run(
            "UPDATE {} SET wrapped_key = %s, lookup = %s WHERE id = %s",
            table,
            parameters=[wrapped(key, subject=subject), lookup_under(0, reference, tenant_id=ctx.tenant_id), subject],
        )
    if lost and not without_keys:
        raise RecoveryKeyProblem(
            f"The keys of {len(lost)} people in cases are needed. Say --recovery-key-file FILE, or give up the "
            "contents of their cases for good with --without-keys."
        )
    run(
        "UPDATE {} SET wrapped_key = NULL, lookup = NULL, reference = NULL, erased_at = now() WHERE id = ANY(%s)",
        table,
        parameters=[lost],
    )
    return lost


def _check_references() -> None:
    try:
        run("SET CONSTRAINTS ALL IMMEDIATE")
    except IntegrityError as error:
        raise BackupDamaged(f"Rows of the export refer to rows that it does not bring: {error}") from None
    run("SET CONSTRAINTS ALL DEFERRED")


def _verify(tenant: Tenant, export: CheckedExport, lost: list[uuid.UUID]) -> None:
    """Verify the stored rows as `verify_receipts` does, with the keys of the exporting instance.

    `lost`: data subjects without key. Their receipts are written after this, with the others of the import; so are
    those of stored secrets, which no export contains.
    """
    missing = {f"{ids.public_id(ids.DATA_SUBJECT, subject)}: there is no receipt subject.erased" for subject in lost}
    missing |= {f"{slug}: there is no receipt secret.removed" for slug in secrets_by_receipts(tenant.id)}
    log = verify_log(tenant, keys=export.keys, older=[], stats=VerificationStats(), requires_signatures=False)
    found = [str(finding) for finding in islice(log, MOST_NAMED)]
    rows = (row for row in verify_completeness(tenant, only_authentic=False) if row.message not in missing)
    found += [str(finding) for finding in islice(rows, MOST_NAMED)]
    if found:
        raise BackupDamaged("\n".join(["The rows of the export are not those of its receipts:", *found]))


@contextmanager
def _written_files() -> Iterator[list[str]]:
    """Yield a list of stored paths; the files are deleted again if the import fails."""
    written: list[str] = []
    try:
        yield written
    except BaseException:
        for path in written:
            discard_file(path)
        raise


def _write_files(export: CheckedExport, written: list[str]) -> None:
    """Write the attachments into the storage. They stay encrypted with the keys in the rows."""
    known = set(StoredFile.objects.filter(tenant_id=export.tenant_id).values_list("path", flat=True))
    own = re.compile(rf"{export.tenant_id.hex}/[0-9a-f]{{2}}/[0-9a-f]{{40}}")
    storage = storages[STORAGE]
    if wrong := [path for path in known if not own.fullmatch(path)]:
        raise BackupDamaged(f"The path {wrong[0]!r} of an attachment is not of this tenant.")
    for relative in export.backup.named(ATTACHMENTS):
        path = relative.as_posix()
        if path not in known:
            raise BackupDamaged(f"The attachment {path!r} belongs to no row.")
        storage.delete(path)  # left by an import that was killed
        content = ContentFile(b"") if not export.backup.members[f"{ATTACHMENTS}/{path}"]["size"] else None
        written.append(path)
        blocks = _Blocks(export.backup.blocks(f"{ATTACHMENTS}/{path}"))
        storage.save(path, content or File(blocks, name=path))  # type: ignore[arg-type]


class _Blocks:
    """File of blocks that is read once, from its beginning to its end."""

    closed = False

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks

    def chunks(self) -> Iterator[bytes]:
        return self._blocks

    def read(self, _size: int = -1) -> bytes:
        return next(self._blocks, b"")

    def close(self) -> None:
        pass


def _remarks(people: list[User], lost: int) -> list[str]:
    humans = sum(person.kind == "human" and person.is_active for person in people)
    found = [f"{humans} people have no password here: give each a new one (manage.py reset_password).", _NOT_MOVED]
    return [*found, f"The contents of cases about {lost} people are lost for good."] if lost else found
