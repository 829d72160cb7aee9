"""Passwords of the database logins that Threada created itself, in `<data directory>/database-logins.json`.

The file maps a server to the passwords of its logins. A server is the digest of the DATABASE_URL that names it, or
`EMBEDDED`. Files of earlier versions contain one password for each server, of the login `threada_app`.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Final

from threada_site.database.role_names import APP

EMBEDDED: Final = "embedded"
_FILE: Final = "database-logins.json"


def server_of(url: str) -> str:
    """Return the key of the server that a DATABASE_URL names."""
    return hashlib.sha256(url.encode()).hexdigest()


def stored_passwords(data_dir: Path, server: str) -> dict[str, str]:
    """Return the passwords by login; {} if none are stored or the file cannot be read.

    Processes with an account of their own cannot read it: `up` gives them the URL of their login.
    """
    found = _stored(data_dir).get(server, {})
    return {APP: found} if isinstance(found, str) else found


def store_passwords(data_dir: Path, server: str, passwords: dict[str, str]) -> None:
    """Replace the passwords of a server, in a file that only this account can read."""
    path = data_dir / _FILE
    temporary = path.with_suffix(f".{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({**_stored(data_dir), server: passwords}, file)
    temporary.replace(path)


def _stored(data_dir: Path) -> dict[str, dict[str, str] | str]:
    try:
        logins: dict[str, dict[str, str] | str] = json.loads((data_dir / _FILE).read_text())
    except (FileNotFoundError, PermissionError):
        return {}
    return logins
