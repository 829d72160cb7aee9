"""A real instance, run by `manage.py up` in a temporary data directory, and a client on plain sockets."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil
import psycopg
from psycopg import sql

from tests.broker import engine_environment
from tests.databases.new_instance import LOG, copy_new_instance
from tests.ports import free_port
from threada_site import postgres

REPOSITORY = Path(__file__).resolve().parents[2]
CHECKOUT = (sys.executable, "manage.py")


@dataclass(frozen=True)
class Answer:
    """A response; status 0 if the connection was closed without one."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass(frozen=True)
class Server:
    """A running instance with the demo tenant."""

    process: subprocess.Popen[bytes]
    port: int
    token: str
    database_url: str
    log: Path
    environment: dict[str, str]
    program: tuple[str, ...]

    def send(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: Sequence[tuple[str, str]] = (),
        *,
        chunked: bool = False,
        media_type: str = "application/json",
    ) -> Answer:
        """Send one request on a connection of its own. `target` is put into the request line unchanged."""
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close"]
        lines += [f"Authorization: Bearer {self.token}", f"Content-Type: {media_type}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if chunked:
            lines.append("Transfer-Encoding: chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body or b""), body)
        elif body is not None:
            lines.append(f"Content-Length: {len(body)}")
        return self.exchange("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b""))

    def exchange(self, *parts: bytes, pause: float = 0.0, timeout: float = 30.0) -> Answer:
        """Send bytes, with a pause between parts, and read until the server closes or its response is complete."""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as connection:
            try:
                for part in parts:
                    connection.sendall(part)
                    time.sleep(pause)
            except OSError:
                pass  # refused before everything was sent: the response says why
            return _read(connection)

    def manage(self, *words: str) -> str:
        """Run a command against the instance. Fail the test unless it exits with 0."""
        return _manage(self.program, self.environment, *words)

    def process_of_up(self) -> psutil.Process:
        return psutil.Process(self.process.pid)

    def own_worker(self) -> psutil.Process | None:
        """Return the worker that `up` runs now."""
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if "worker" in process.cmdline():
                    return process
        return None

    def kill_the_database(self) -> None:
        """Kill the embedded server and wait until it has ended: until then it may still answer."""
        cluster = postgres.status(Path(self.environment["THREADA_DATA_DIR"]))
        assert cluster is not None
        server = psutil.Process(cluster.pid)
        server.send_signal(signal.SIGQUIT)  # like pg_ctl -m immediate
        server.wait(60)

    def rows(self) -> dict[str, int]:
        """Return the number of rows of every table."""
        with psycopg.connect(self.database_url) as database:
            tables = database.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') "
                "AND NOT relispartition"
            )
            names = [name for (name,) in tables]
            return {name: self._count(database, name) for name in names}

    @staticmethod
    def _count(database: psycopg.Connection[Any], table: str) -> int:
        row = database.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
        return row[0] if row else 0

    def web_processes(self) -> list[psutil.Process]:
        """Return the web server's processes, including its workers."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # ended, or not waited for yet
                if "threada_site.runtime.web.server" in process.cmdline():
                    found.append(process)
        return found

    def web_memory(self) -> int:
        """Return the private memory of the web processes in bytes."""
        return sum(process.memory_full_info().uss for process in self.web_processes())


@contextmanager
def running_server(
    directory: Path, *, program: tuple[str, ...] = CHECKOUT, is_copied: bool = True, **own: str
) -> Iterator[Server]:
    """Run `manage.py up` in `directory` and end it by Ctrl-C afterwards, unless it has ended.

    The same directory gives the same instance again. `own`: additional environment variables. `program`: command line
    in front of the name of a command; another than that of the checkout runs in `directory`. `is_copied`: begin with a
    copy of a new instance, if the directory has none and the engine is the first one; False creates the instance.
    """
    port, log = free_port(), directory / LOG
    environment = _environment(directory) | engine_environment() | own
    is_first_engine = environment.get("THREADA_ENGINE", "procrastinate") == "procrastinate"
    if is_copied and is_first_engine and program == CHECKOUT and not (directory / "data").exists():
        copy_new_instance(directory, _make, port=port)
    with _up(directory, port, environment, program) as process:
        match = re.search(r"token (thr_\w+)", log.read_text())
        assert match is not None, log.read_text()
        url = _manage(program, environment, "database_url", "--superuser").strip()
        yield Server(process, port, match[1], url, log, environment, program)


def _environment(directory: Path) -> dict[str, str]:
    inherited = {"DATABASE_URL", "THREADA_PROCESS"}  # the WSGI module, which other tests import, sets the second
    environment = {name: value for name, value in os.environ.items() if name not in inherited}
    return environment | {"THREADA_DATA_DIR": str(directory / "data"), "THREADA_LOG_LEVEL": "WARNING"}


def _make(directory: Path) -> None:
    """Create an instance in `directory` and stop it."""
    with _up(directory, free_port(), _environment(directory), CHECKOUT):
        pass


@contextmanager
def _up(
    directory: Path, port: int, environment: dict[str, str], program: tuple[str, ...]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `up` from the moment at which it is ready, until Ctrl-C."""
    log = directory / LOG
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*program, "up", "--port", str(port)],
            cwd=REPOSITORY if program == CHECKOUT else directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_ready(process, port, log)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(60)


def _manage(program: tuple[str, ...], environment: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        [*program, *words],
        check=False,
        cwd=REPOSITORY if program == CHECKOUT else Path(environment["THREADA_DATA_DIR"]).parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 240  # creating the schema takes up to a minute on a busy machine
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())


def _read(connection: socket.socket) -> Answer:
    raw = b""
    try:
        while chunk := connection.recv(65_536):
            raw += chunk
    except OSError:
        pass
    while raw.startswith(b"HTTP/1.1 1"):  # 100 Continue
        raw = raw.partition(b"\r\n\r\n")[2]
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ")[1]) if lines[0] else 0
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return Answer(status, headers, _dechunked(body) if headers.get("transfer-encoding") == "chunked" else body)


def _dechunked(body: bytes) -> bytes:
    parts = []
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size or b"0", 16)
        parts.append(body[:length])
        body = body[length + 2 :]
    return b"".join(parts)
