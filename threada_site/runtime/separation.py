"""Decision whether web, worker and sealer get accounts of their own, and what they need for that."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import connection

from telemetry.log.store import LogStore
from threada_site import postgres
from threada_site.database.bootstrap import EMBEDDED_DATABASE, prepare
from threada_site.database.logins import new_passwords
from threada_site.database.stored_logins import EMBEDDED, store_passwords, stored_passwords
from threada_site.runtime.accounts import Accounts, ProcessAccount, accounts_of, hand_over
from threada_site.runtime.sealer.process import make_key_of_new_instance, sealing_anchor, sealing_key_file

_IMPORTS: Final = "import threada_site.environment, django, psycopg"
_UNPRIVILEGED: Final = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


def separated(port: int, warn: Callable[[str], None]) -> dict[str, dict[str, Any]]:
    """Give each process an account and its files. Return the accounts by process; {} if all run as root.

    Called by root. Changes no directory above the data directory and none outside of it. Where an account cannot read
    or write what it needs, `warn` is called with the reasons and nothing is changed.
    """
    accounts = accounts_of(settings.THREADA_DATA_DIR)
    problems = list(_problems(accounts, port))
    if problems:
        warn(
            "web, worker and sealer run as root, not under accounts of their own: "
            + "; ".join(problems)
            + ". docs/operations/keys.md says what they need."
        )
        return {}
    _make_sealing_key()
    hand_over(settings.THREADA_DATA_DIR, accounts)
    if not settings.DATABASE_URL:
        _admit(accounts)
    return {name: asdict(account) for name, account in accounts.by_process.items()}


def local_url(login: str) -> str:
    """Return the URL of a login on the embedded server, with its password."""
    cluster = postgres.ensure_running(settings.THREADA_DATA_DIR)
    return cluster.url(
        user=login,
        dbname=EMBEDDED_DATABASE,
        password=stored_passwords(settings.THREADA_DATA_DIR, EMBEDDED).get(login, ""),
    )


def _problems(accounts: Accounts, port: int) -> Iterator[str]:
    data_dir, base = settings.THREADA_DATA_DIR, settings.THREADA_BASE_DIR
    web, worker, sealer = (accounts.by_process[name] for name in ("web", "worker", "sealer"))
    if not _runs(web, [sys.executable, "-B", "-c", _IMPORTS], cwd=base):
        yield f"they cannot read the code in {base} or its environment in {sys.prefix}"
    if not _can(web, 'cd "$1"', data_dir):
        yield f"they cannot enter the data directory {data_dir}"
    for name, account, path, test in (
        ("THREADA_SECRETS_KEY_FILE", web, settings.THREADA_SECRETS_KEY_FILE, "-r"),
        ("THREADA_SECRETS_KEY_FILE", worker, settings.THREADA_SECRETS_KEY_FILE, "-r"),
        ("THREADA_SEALING_KEY_FILE", sealer, sealing_key_file().path, "-r"),
        ("THREADA_ANCHOR_DIR", sealer, sealing_anchor().directory, "-w"),
        ("THREADA_EXPORT_DIR", web, settings.THREADA_EXPORT_DIR, "-w"),
        ("THREADA_EXPORT_DIR", worker, settings.THREADA_EXPORT_DIR, "-w"),
        ("THREADA_DELIVERY_DIR", worker, settings.THREADA_DELIVERY_DIR, "-w"),
        ("THREADA_ARCHIVE_DIR", worker, settings.THREADA_ARCHIVE_DIR, "-w"),
        ("THREADA_ARCHIVE_OPTIONS_FILE", worker, settings.THREADA_ARCHIVE_OPTIONS_FILE, "-r"),
        ("THREADA_ARCHIVE_SPOOL_DIR", worker, settings.THREADA_ARCHIVE_SPOOL_DIR, "-w"),
    ):
        if path and not Path(path).is_relative_to(data_dir) and not _can(account, f'test {test} "$1"', Path(path)):
            verb = "write to" if test == "-w" else "read"
            yield f"user id {account.user} cannot {verb} {path} ({name})"
    if port < int(_UNPRIVILEGED.read_text() if _UNPRIVILEGED.exists() else 1024):
        yield f"only root may listen on port {port}"


def _can(account: ProcessAccount, script: str, path: Path) -> bool:
    return _runs(account, ["/bin/sh", "-c", script, "sh", str(path)], cwd=Path("/"))


def _runs(account: ProcessAccount, command: list[str], *, cwd: Path) -> bool:
    """Return True if a command succeeds as the account. Trying it is more reliable than reading mode bits and ACLs."""
    try:
        return subprocess.run(command, check=False, capture_output=True, cwd=cwd, **asdict(account)).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def _make_sealing_key() -> None:
    """Create the first sealing key as root: the sealer's account may not create files next to the other keys."""
    connection.ensure_connection()
    store = LogStore(connection.connection)
    make_key_of_new_instance(store, sealing_key_file(), sealing_anchor())


def _admit(accounts: Accounts) -> None:
    """Let the accounts connect to the embedded server, each login with its own password."""
    data_dir = settings.THREADA_DATA_DIR
    if not stored_passwords(data_dir, EMBEDDED):
        passwords = new_passwords()
        cluster = postgres.ensure_running(data_dir)
        superuser = cluster.conninfo(user=cluster.superuser, dbname="postgres")
        prepare(superuser, database=EMBEDDED_DATABASE, passwords=passwords)
        store_passwords(data_dir, EMBEDDED, passwords)
    postgres.admit_group(data_dir, accounts.everybody)
