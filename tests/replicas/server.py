"""A streaming replica of the embedded server: a copy by `pg_basebackup`, on its own socket, deleted afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg

from threada_site import postgres
from threada_site.postgres.account import account_for, environment
from threada_site.postgres.binaries import binaries_for

PORT: Final = 5433
SECONDS: Final = 120


class Replica:
    """A replica with `start`, `stop` and `kill`; `sql` queries it as superuser."""

    def __init__(self, root: Path, *, dbname: str) -> None:
        cluster = postgres.status(root)
        assert cluster is not None
        self._primary, self._dbname = cluster, dbname
        self._account = account_for(cluster.data_dir)
        self._programs = binaries_for(self._account, cluster.data_dir.parent).install / "bin"
        self.directory = Path(tempfile.mkdtemp(prefix="threada-replica-", dir="/tmp"))
        self._account.own(self.directory)
        self._server: subprocess.Popen[bytes] | None = None
        self._slot = f"killed_{os.getpid()}"
        self._log = (self.directory / "log").open("ab")

    @property
    def address(self) -> dict[str, Any]:
        return {"host": str(self.directory), "port": PORT}

    def make(self) -> None:
        """Copy the primary and configure the copy to follow it."""
        where = ["-h", self._primary.socket_dir, "-p", str(self._primary.port), "-U", self._primary.superuser]
        copy = [self._programs / "pg_basebackup", "-D", self.directory / "data", "-R", "-X", "stream", "-c", "fast"]
        subprocess.run([*copy, "--no-sync", *where], check=True, cwd="/", env=environment(), **self._account.identity)

    def start(self) -> None:
        """Start following, and wait until queries are accepted."""
        command = [
            self._programs / "postgres", "-D", self.directory / "data", "-k", self.directory, "-h", "",
            "-c", f"port={PORT}", "-c", "max_standby_streaming_delay=1s", "-c", "wal_receiver_create_temp_slot=on",
        ]  # fmt: skip
        deadline = time.monotonic() + SECONDS
        while True:  # until the processes of the killed server are gone
            self._server = subprocess.Popen(
                command, cwd="/", env=environment(), stdout=subprocess.DEVNULL, stderr=self._log,
                start_new_session=True, **self._account.identity,
            )  # fmt: skip
            while self._server.poll() is None:
                with suppress(psycopg.OperationalError):
                    self.sql("SELECT 1")
                    return
                assert time.monotonic() < deadline, "the replica does not answer"
                time.sleep(0.05)
            assert time.monotonic() < deadline, "the replica does not start"
            time.sleep(0.1)

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(
            **self.address, user=self._primary.superuser, dbname=self._dbname, autocommit=True
        ) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def stop(self) -> None:
        if self._server is not None and self._server.poll() is None:
            psutil.Process(self._server.pid).send_signal(2)  # SIGINT: a fast shutdown
            self._server.wait(SECONDS)

    def kill(self) -> None:
        """Kill all its processes at once, as if its machine failed. The primary keeps what it misses meanwhile."""
        assert self._server is not None
        self._on_primary("SELECT pg_create_physical_replication_slot(%s, true)")
        server = psutil.Process(self._server.pid)
        for process in [server, *server.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._server.wait(SECONDS)

    def remove(self) -> None:
        self.stop()
        self._forget_slot()
        self._log.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def catch_up(self) -> None:
        """Wait until it has replayed everything the primary has written."""
        [position] = self._on_primary("SELECT pg_current_wal_flush_lsn()::text")
        deadline = time.monotonic() + SECONDS
        while self.sql(f"SELECT pg_last_wal_replay_lsn() >= '{position[0]}'::pg_lsn") != [(True,)]:
            assert time.monotonic() < deadline, f"The replica does not follow: {self._last_lines()}"
            time.sleep(0.01)
        self._forget_slot()

    def _forget_slot(self) -> None:
        self._on_primary(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s AND NOT active"
        )

    def _on_primary(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement, in which `%s` is the name of the slot, and return its rows."""
        primary = self._primary.conninfo(user=self._primary.superuser, dbname=self._dbname)
        slot = [self._slot] if "%s" in statement else None
        with psycopg.connect(**primary) as connection:  # type: ignore[arg-type]
            return connection.execute(statement, slot).fetchall()  # type: ignore[arg-type]

    def _last_lines(self) -> str:
        return (self.directory / "log").read_text()[-2000:]
