"""Keys, signed checkpoints and stored files of this machine: what a backup contains besides the database."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from django.conf import settings

from telemetry.receipts.keyring import PUBLIC_FILE, private_file
from telemetry.receipts.signature import ROLES
from telemetry.receipts.signing import receipt_keyring
from threada_site.environment import text
from threada_site.kernel.files import give_to_owner_of, is_shared, sync_directory
from threada_site.runtime.backup.archive import BackupDamaged
from threada_site.runtime.sealer.process import sealing_anchor, sealing_key_file

KEYS: Final = "keys.hpke"
CHECKPOINTS: Final = "checkpoints"
FILES: Final = "files"
SEALING_KEY: Final = "sealing_key"
SECRETS_KEY: Final = "secrets_key"
RECEIPT_KEYS: Final = (PUBLIC_FILE, *map(private_file, ROLES))
NAMES: Final = (
    "secret_key",
    "cursor_key",
    "metrics_token",
    SECRETS_KEY,
    "people_key",
    "promise_key",
    *RECEIPT_KEYS,
    SEALING_KEY,
)


def keys_here() -> dict[str, str]:
    """Return the keys that this machine has, by name: those of the environment, otherwise those of the files."""
    found = {}
    given = receipt_keyring().given()
    for name in NAMES:
        value = given.get(name, "") if name in (*RECEIPT_KEYS, SEALING_KEY) else text(f"THREADA_{name.upper()}")
        path = key_path(name)
        if value or path.is_file():
            found[name] = value or path.read_text()
    return found


def key_path(name: str) -> Path:
    """Return the file of a key. It need not exist."""
    if name == SEALING_KEY:
        return sealing_key_file().path
    if name == SECRETS_KEY and settings.THREADA_SECRETS_KEY_FILE:
        return Path(settings.THREADA_SECRETS_KEY_FILE)
    return Path(settings.THREADA_DATA_DIR / "keys" / name)


def write_key(name: str, value: str) -> None:
    """Replace the file of a key atomically, with mode 0600 or that of the file before."""
    path = key_path(name)
    if name == SEALING_KEY:
        sealing_key_file().keep_public_halves()
    before = path.stat().st_mode & 0o640 if path.exists() and not path.stat().st_mode & 0o007 else 0o600
    _write(path, [value.encode()], mode=before if name != SEALING_KEY else 0o600)


def stored_folders() -> dict[str, Path]:
    """Return the folders of stored files by name. Attachments in a storage outside of this machine are not among
    them."""
    folders = {"exports": Path(settings.THREADA_EXPORT_DIR)}
    options = settings.STORAGES["attachments"].get("OPTIONS", {})
    return folders | ({"attachments": Path(options["location"])} if "location" in options else {})


def files_in(folder: Path) -> Iterator[Path]:
    """Yield the regular files below a folder, in order, without following links."""
    for directory, names, files in os.walk(folder):
        names.sort()
        for name in sorted(files):
            path = Path(directory, name)
            if path.is_file() and not path.is_symlink() and not name.startswith("."):
                yield path


def write_stored_file(folder: Path, relative: PurePosixPath, blocks: Iterable[bytes]) -> None:
    """Write a stored file. Raise `BackupDamaged` if a link in `folder`, to which processes write, leads out of it."""
    if not (folder / relative).parent.resolve().is_relative_to(folder.resolve()):
        raise BackupDamaged(f"{folder / relative.parent} leads out of {folder}. Remove that link.")
    _write(folder / relative, blocks, mode=0o640 if is_shared(folder) else 0o600)


def known_logs() -> set[str]:
    """Return the logs of which this machine has signed checkpoints."""
    anchor = sealing_anchor()
    found = anchor.directory.iterdir() if anchor.directory.is_dir() else iter(())
    return {folder.name for folder in found if anchor.last(folder.name) is not None}


def write_checkpoints(relative: PurePosixPath, content: bytes) -> None:
    _write(sealing_anchor().directory / relative, [content], mode=0o600)


def keys_as_bytes(keys: Mapping[str, str]) -> bytes:
    return json.dumps(keys).encode()


def _write(path: Path, blocks: Iterable[bytes], *, mode: int) -> None:
    """Replace a file atomically. New files and folders belong to the owner of the folder above them."""
    missing = [folder for folder in path.parents if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o2770 if mode == 0o640 else 0o700)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            give_to_owner_of(descriptor, folder.parent)
        finally:
            os.close(descriptor)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            give_to_owner_of(file.fileno(), path if path.exists() else path.parent)
            file.writelines(blocks)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)
