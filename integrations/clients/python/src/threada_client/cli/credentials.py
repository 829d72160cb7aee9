"""Address and token: from the environment, or from a file that its owner alone may read."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from pathlib import Path
from tempfile import NamedTemporaryFile

import click

from threada_client import Threada


def credentials_file() -> Path:
    """Return the path of the file of `threada login`."""
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "threada" / "credentials.json"


def store(url: str, token: str) -> Path:
    """Write the file with mode 0600."""
    path = credentials_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:  # has mode 0600
        json.dump({"url": url, "token": token}, file)
    Path(file.name).replace(path)
    return path


def forget() -> None:
    """Remove the file."""
    credentials_file().unlink(missing_ok=True)


def client() -> Threada:
    """Return a client with THREADA_URL and THREADA_TOKEN, or those of the file. Both come from the same place."""
    url, token = os.environ.get("THREADA_URL"), os.environ.get("THREADA_TOKEN")
    if bool(url) != bool(token):
        raise click.UsageError("Set both THREADA_URL and THREADA_TOKEN, or neither: a token is for one address.")
    if not url or not token:
        url, token = _stored()
    return connected(url, token)


def connected(url: str, token: str) -> Threada:
    """Return a client, or refuse an address that would expose the token."""
    try:
        return Threada(url, token, insecure=os.environ.get("THREADA_INSECURE") == "1")
    except ValueError as wrong:
        raise click.UsageError(str(wrong).replace("insecure=True", "THREADA_INSECURE=1")) from None


def _stored() -> tuple[str, str]:
    path = credentials_file()
    with contextlib.suppress(FileNotFoundError), path.open(encoding="utf-8") as file:
        state = os.fstat(file.fileno())
        if state.st_uid != os.getuid() or state.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise click.UsageError(f"{path} can be read by others. Run: chmod 600 {path}; or log in again.")
        with contextlib.suppress(ValueError, KeyError, TypeError):
            found = json.load(file)
            return str(found["url"]), str(found["token"])
    raise click.UsageError("Run `threada login`, or set THREADA_URL and THREADA_TOKEN.")
