"""Checks of a backup before anything of it is used: members, signature, version, keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from django.db.migrations.loader import MigrationLoader

from telemetry.log.key_file import KeyFileProblem, SigningKey
from telemetry.tlog.note import NoKnownSigner, SignedNote, UntrustedNote, VerifierKey
from telemetry.tlog.texts import MalformedText
from threada_site.runtime.backup.archive import Backup, BackupDamaged
from threada_site.runtime.backup.contents import KEYS, NAMES, SEALING_KEY
from threada_site.runtime.backup.create import DUMP
from threada_site.runtime.backup.recovery_key import RecoveryKeyProblem, decrypt, fingerprint, public_half
from threada_site.runtime.sealer.process import sealing_key_file

_OF_BACKUP: Final = (
    "That key comes from the backup itself, and whoever knows the public recovery key can make such a backup."
)
_UNVERIFIED: Final = (
    "PostgreSQL runs the contents of a dump as a superuser, also with --verify, so nothing was done. Give the public "
    "sealing key that you keep beside the recovery key (--key). --although-unverified restores a file that anybody may "
    "have made."
)


def check_signature(
    backup: Backup, *, given: Sequence[VerifierKey], keys: dict[str, str], although_unverified: bool = False
) -> str:
    """Return a sentence about the signature. Raise `BackupDamaged` unless a trusted key signed, and nothing differs.

    Trusted are the given public keys; without them the sealing keys that this machine has or had. The sealing key in
    the backup (`keys`) is not: it only says who signed. `although_unverified`: accept a backup without a signature, and
    one whose signature no trusted key can verify.
    """
    if backup.note is None:
        if given or not although_unverified:
            raise BackupDamaged(f"NOT VERIFIED: {backup.path} is not signed. {_UNVERIFIED}")
        return "NOT VERIFIED: the backup is not signed."
    trusted = list(given) or sealing_keys_of_this_machine()
    try:
        note = SignedNote.parse(backup.note)
        signed_by = note.verified_by([*trusted, *_public_halves(keys.get(SEALING_KEY, ""))])
    except NoKnownSigner as error:
        signed_by, said = (), f"{error}."
    except (UntrustedNote, MalformedText) as error:
        raise BackupDamaged(f"{backup.path}: the signature is not valid: {error}") from None
    else:
        said = f"the signature is by {_names(signed_by)}. {_OF_BACKUP}"
    if note.text != backup.signed_text:
        raise BackupDamaged(f"{backup.path}: the signature is of another manifest.")
    known = [key for key in signed_by if key in trusted]
    if known:
        return f"Signed with {_names(known)}."
    if given or not although_unverified:
        raise BackupDamaged(f"NOT VERIFIED: {said} {_UNVERIFIED}")
    return f"NOT VERIFIED: {said}"


def sealing_keys_of_this_machine() -> list[VerifierKey]:
    """Return the public sealing keys that this machine has, and those that it had before."""
    file = sealing_key_file()
    found = file.held()
    with suppress(KeyFileProblem):
        current = file.keys()
        found += [key.verifier_key(key.name) for key in current]
    return list(dict.fromkeys(found))


def key_line() -> str | None:
    """Return the option of `restore` that names the sealing key of this machine; None without a key."""
    try:
        signing = sealing_key_file().keys()[-1]
    except KeyFileProblem:
        return None
    return f"--key '{signing.verifier_key(signing.name)}'"


def _names(keys: Sequence[VerifierKey]) -> str:
    return ", ".join(map(str, keys))


def check_version(backup: Backup) -> bool:
    """Return True if the schema has to be migrated after a restore. Raise `BackupDamaged` if this code is too old."""
    if DUMP not in backup.members:
        raise BackupDamaged(f"{backup.path} contains no database. It is no backup of an instance.")
    loader = MigrationLoader(None, ignore_no_migrations=True)
    known = {(app, name) for app, name in loader.disk_migrations}
    newer = sorted(f"{app}.{name}" for app, name in backup.manifest["schema"].items() if (app, name) not in known)
    if newer:
        raise BackupDamaged(
            f"The backup was made by Threada {backup.manifest['version']}, whose schema is newer than this code "
            f"({', '.join(newer)}). Restore it with that version."
        )
    return bool(dict(sorted(loader.graph.leaf_nodes())) != backup.manifest["schema"])


def opened_keys(backup: Backup, private: str) -> dict[str, str]:
    """Return the keys in the backup, decrypted with the private recovery key. Raise `RecoveryKeyProblem`."""
    wanted = backup.manifest["recovery_key"]
    if KEYS not in backup.members:
        raise RecoveryKeyProblem("The backup contains no keys.")
    if fingerprint(public_half(private)) != wanted:
        raise RecoveryKeyProblem(f"The keys are encrypted to the recovery key {wanted}, which is another one.")
    plain = decrypt(backup.read(KEYS), private=private, bound_to=backup.binding(without=KEYS))
    keys: dict[str, str] = json.loads(plain)
    return keys


def known_keys(keys: dict[str, str]) -> dict[str, str]:
    """Return the keys of a backup. Raise `BackupDamaged` for a name that is not that of a key of the instance."""
    unknown = sorted(keys.keys() - set(NAMES))
    if unknown:
        raise BackupDamaged(f"The backup contains keys of unknown names: {', '.join(map(repr, unknown))}.")
    return keys


def _public_halves(sealing_key: str) -> list[VerifierKey]:
    keys = [SigningKey.parse(line) for line in sealing_key.split()]
    return [key.verifier_key(key.name) for key in keys]
