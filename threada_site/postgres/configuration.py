"""Configuration of the server: small, durable, without payloads in its log, reachable by two operating system users
only."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from threada_site.postgres.account import Account
from threada_site.postgres.socket_directory import PORT

POSTGRESQL_CONF = """\
include 'threada.conf'    # rewritten at every start
# Your own settings go below this line and take precedence.
"""

THREADA_CONF = f"""\
# Rewritten at every start. Your own settings go into postgresql.conf, below the include.
listen_addresses = ''
port = {PORT}
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = 64MB
huge_pages = off
io_method = sync                        # no extra processes for reading ahead
max_logical_replication_workers = 0
jit = off
fsync = on
full_page_writes = on
synchronous_commit = on
min_wal_size = 32MB
max_wal_size = 512MB
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
logging_collector = on
log_directory = 'log'
log_filename = 'server-%Y%m%d-%H%M%S.log'
log_rotation_age = 0
log_rotation_size = 2MB                 # the launcher keeps the newest ten
log_min_messages = warning
log_min_error_statement = panic         # statements and details would write payloads to the log
log_error_verbosity = terse
log_checkpoints = off
log_line_prefix = '%m [%p] %q%u@%d '
"""

PG_HBA_CONF = """\
# Rewritten at every start. The kernel identifies the connecting user; pg_ident.conf lists who may connect.
local all all peer map=threada
local replication all peer map=threada
"""

PG_HBA_CONF_OF_GROUP = """\
# Rewritten at every start. Processes with accounts of their own prove by a password which login is theirs.
local all postgres peer map=threada
local replication all peer map=threada
local all all scram-sha-256
"""

LOGS_KEPT = 10


def write_configuration(data_dir: Path, account: Account, *, for_group: bool) -> None:
    """Write the configuration before every start, so that an upgrade of Threada changes the settings of an old
    cluster.

    `for_group`: other accounts may connect too, with passwords.
    """
    settings = THREADA_CONF.replace("unix_socket_permissions = 0700", "unix_socket_permissions = 0777")
    allowed = "".join(f'threada "{name}" all\n' for name in sorted({account.name, "root"}))
    account.write(data_dir / "threada.conf", settings if for_group else THREADA_CONF)
    account.write(data_dir / "pg_hba.conf", PG_HBA_CONF_OF_GROUP if for_group else PG_HBA_CONF)
    account.write(data_dir / "pg_ident.conf", f"# Rewritten at every start.\n{allowed}")


def prune_logs(data_dir: Path) -> None:
    """Keep the newest ten log files of 2 MB each. The server only adds files; processes that start or attach remove
    them."""
    with contextlib.suppress(OSError):
        log = os.open(data_dir / "log", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            for name in sorted(name for name in os.listdir(log) if name.startswith("server-"))[:-LOGS_KEPT]:  # noqa: PTH208  (a descriptor, not a path)
                os.unlink(name, dir_fd=log)
        finally:
            os.close(log)


def log_tail(home: Path, lines: int = 12) -> str:
    """Return the last lines of the server's log, for an error message."""
    files = [home / "startup.log", *sorted((home / "data" / "log").glob("server-*"))[-1:]]
    said = [line for file in files if file.is_file() for line in file.read_text(errors="replace").splitlines()]
    return "\n".join(f"    {line}" for line in said[-lines:])
