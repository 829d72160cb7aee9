"""Checks of a tenant's export before anything of it is stored: members, version, signature, receipts with proofs."""

from __future__ import annotations

import csv
import tempfile
import uuid
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from django.db.migrations.loader import MigrationLoader

from telemetry.exports.evidence_archive import RECEIPT_KEYS_FILE
from telemetry.receipts.key_endorsement import endorsed_keys
from telemetry.receipts.signature import ReceiptKeys
from telemetry.tlog.checkpoint import Checkpoint
from telemetry.tlog.note import SignedNote, UntrustedNote, VerifierKey
from telemetry.tlog.texts import MalformedText
from telemetry.verifier.threada_verify import verify_complete_evidence
from threada_site.kernel import ids
from threada_site.runtime.backup.archive import Backup, BackupDamaged, Watch
from threada_site.runtime.backup.contents import FILES, KEYS
from threada_site.runtime.backup.create import known_migrations
from threada_site.runtime.backup.tenant_export import EVIDENCE, GRANTS, KIND, PRINCIPALS, ROLES, exported_tables
from threada_site.runtime.tenants.malformed import refused_as_damaged

ATTACHMENTS: Final = f"{FILES}/attachments"
_CONFIGURATION: Final = "configuration/"
_FIELD_LIMIT: Final = 256 << 20
MOST_NAMED: Final = 5
"""Number of findings that a refusal names."""


@dataclass(frozen=True, slots=True)
class CheckedExport:
    """An export whose signature and receipts were verified.

    `keys`: public keys of the exporting instance. `are_stated`: the file itself states them, nobody gave them.
    `newest`: its newest checkpoint. `is_older`: an older version made it, so that tables and columns may be missing.
    `receipt_keys`: public keys that signed its receipts, retired ones included.
    """

    backup: Backup
    tenant_id: uuid.UUID
    slug: str
    name: str
    keys: list[VerifierKey]
    are_stated: bool
    newest: Checkpoint
    is_older: bool
    receipt_keys: ReceiptKeys


def checked_export(backup: Backup, *, given: Sequence[VerifierKey], watch: Watch) -> CheckedExport:
    """Verify an export: members, version, signature, and every receipt with its proof. Raise `BackupDamaged`.

    Without `given` public keys, those that the newest checkpoint of the export states are used.
    """
    _check_kind(backup)
    with refused_as_damaged(backup.path):
        return _checked(backup, given, watch)


def _checked(backup: Backup, given: Sequence[VerifierKey], watch: Watch) -> CheckedExport:
    backup.check(watch)
    _check_members(backup)
    tenant_id, slug, name = _tenant_of(backup)
    row = _newest_checkpoint(backup)
    try:
        note = SignedNote.parse(row["note"])
        newest = Checkpoint.parse(note.text)
        stated = [VerifierKey.parse(key.strip('"')) for key in row["verifier_keys"].strip("{}").split(",") if key]
    except MalformedText as error:
        raise BackupDamaged(f"{backup.path}: the newest checkpoint cannot be read: {error}") from None
    if newest.origin.rpartition("/")[2] != ids.public_id(ids.TENANT, tenant_id):
        raise BackupDamaged(f"{backup.path}: its receipts are of {newest.origin}, which is another tenant.")
    keys = [VerifierKey(newest.origin, public) for public in {key.public_key for key in given or stated}]
    _check_note(backup.note, keys, text=backup.signed_text, what=f"{backup.path}: its manifest")
    _check_note(row["note"], keys, text=note.text, what=f"{backup.path}: its newest checkpoint")
    receipt_keys = _check_evidence(backup, keys)
    return CheckedExport(backup, tenant_id, slug, name, keys, not given, newest, is_older(backup), receipt_keys)


def csv_rows(backup: Backup, member: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a member as dictionaries. An empty value and a missing one are both the empty text."""
    csv.field_size_limit(_FIELD_LIMIT)
    try:
        yield from csv.DictReader(_lines(backup, member), strict=True)
    except (csv.Error, UnicodeDecodeError) as error:
        raise BackupDamaged(f"{backup.path}: {member} cannot be read: {error}") from None


def _lines(backup: Backup, member: str) -> Iterator[str]:
    rest = b""
    for block in backup.blocks(member):
        *lines, rest = (rest + block).split(b"\n")
        yield from (f"{line.decode()}\n" for line in lines)
    if rest:
        yield rest.decode()


def _check_kind(backup: Backup) -> None:
    if backup.manifest.get("kind") != KIND:
        raise BackupDamaged(f"{backup.path} is no export of a tenant.")
    if not _is_known(backup.manifest["schema"]):
        raise BackupDamaged(
            f"The export was made by Threada {backup.manifest.get('version')} with a schema that is not known here. "
            "Upgrade this instance to the version of the other one, then import again."
        )


def is_older(backup: Backup) -> bool:
    """Return True if an older version made the export: its newest migrations are not those of this version."""
    return bool(backup.manifest["schema"] != known_migrations())


def _is_known(schema: Any) -> bool:
    """Return True if this version has all migrations of a schema, which are those of this version or an older one."""
    migrations = MigrationLoader(None, ignore_no_migrations=True).disk_migrations
    return isinstance(schema, dict) and set(schema.items()) <= migrations.keys()


def _check_members(backup: Backup) -> None:
    tables = {f"rows/{table}.csv" for table in exported_tables()}
    needed = {*tables, PRINCIPALS, ROLES, GRANTS, f"{EVIDENCE}.zip"}
    present = {
        name for name in backup.members if not name.startswith((_CONFIGURATION, f"{ATTACHMENTS}/")) and name != KEYS
    }
    if wrong := sorted((needed ^ present) - (tables - present if is_older(backup) else set())):
        raise BackupDamaged(f"{backup.path}: {wrong[0]} is missing, or nothing of this version.")


def _tenant_of(backup: Backup) -> tuple[uuid.UUID, str, str]:
    datetime.fromisoformat(backup.manifest["made_at"])  # an invalid date must not reach the receipt of the import
    said: Any = backup.manifest.get("tenant")
    if isinstance(said, dict) and all(isinstance(said.get(name), str) for name in ("id", "slug", "name")):
        found = ids.parse_public_id(ids.TENANT, said["id"])
        if found is not None and ids.is_slug(said["slug"]) and said["name"].strip() and len(said["name"]) <= 200:
            return found, said["slug"], said["name"]
    raise BackupDamaged(f"{backup.path}: the manifest names no tenant.")


def _newest_checkpoint(backup: Backup) -> dict[str, str]:
    newest = None
    for row in csv_rows(backup, "rows/telemetry_checkpoint.csv"):
        newest = row
    if newest is None or not {"note", "verifier_keys"} <= newest.keys():
        raise BackupDamaged(f"{backup.path} has no signed checkpoint.")
    return newest


def _check_note(note: str | None, keys: Sequence[VerifierKey], *, text: str, what: str) -> None:
    """Check that a key signed `text`. Only public keys count: the manifest is signed under the name of the instance."""
    if note is None:
        raise BackupDamaged(f"{what} is not signed. Export the tenant where the sealing key is.")
    try:
        parsed = SignedNote.parse(note)
        names = {signature.name for signature in parsed.signatures}
        parsed.verified_by([VerifierKey(name, key.public_key) for name in names for key in keys])
    except (MalformedText, UntrustedNote) as error:
        raise BackupDamaged(
            f"{what} is not signed by a known key: {error}. Give the right key with --log-key."
        ) from None
    if parsed.text != text:
        raise BackupDamaged(f"{what} is not what was signed.")


def _check_evidence(backup: Backup, keys: Sequence[VerifierKey]) -> ReceiptKeys:
    """Verify every receipt of the export as the verifier for outsiders does. Return the public keys of receipts that
    the sealer of the exporting instance endorsed."""
    with tempfile.NamedTemporaryFile(prefix="threada-evidence-", suffix=".zip") as file:
        file.writelines(backup.blocks(f"{EVIDENCE}.zip"))
        file.flush()
        report = verify_complete_evidence(Path(file.name), [str(key) for key in keys])
        note = _receipt_key_note(Path(file.name))
    if report.number_of_findings:
        found = [str(finding) for finding in report.findings[:MOST_NAMED]]
        raise BackupDamaged("\n".join([f"{backup.path}: its receipts do not verify:", *found]))
    return endorsed_keys(note, [key.public_key for key in keys]) if note else ReceiptKeys(())


def _receipt_key_note(evidence: Path) -> str:
    """Return the note that endorses the keys of receipts; empty in exports of versions that did not sign."""
    with zipfile.ZipFile(evidence) as archive:
        names = [name for name in archive.namelist() if name.rpartition("/")[2] == RECEIPT_KEYS_FILE]
        return archive.read(names[0]).decode() if names else ""
