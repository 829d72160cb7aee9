"""Exports: rows per second beside PostgreSQL's own COPY of the same rows, and what they cost the web process."""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator

import psutil
import psycopg

from tests.benchmarks.figures import Figure
from tests.benchmarks.load import Connection, request_bytes
from tests.benchmarks.rows import TOTAL, generate
from tests.benchmarks.servers import PRODUCT, web_server
from tests.benchmarks.world import World

ROUNDS = 5


def measure(world: World) -> Iterator[Figure]:
    """Download and COPY in turn; medians of the rounds."""
    generate(world)
    with web_server(PRODUCT, port=world.port, processes=1):
        connection = Connection(world.port)
        status, body = connection.exchange(request_bytes("POST", "/telemetry/exports", world.headers, "{}"))
        assert status == 202, body
        export = json.loads(body)
        rows, _ = _download(world, export["download_url"])
        assert rows >= TOTAL - 1, rows
        worker = _web_worker(world.port)
        before = _peak_mb(worker)
        pairs = [(_download(world, export["download_url"]), _copy(world)) for _ in range(ROUNDS)]
        peak = _peak_mb(worker)
    ours = statistics.median(count / seconds for (count, seconds), _ in pairs)
    copied = statistics.median(count / seconds for _, (count, seconds) in pairs)
    yield Figure(
        name=f"export of {rows:,} receipts", value=f"{ours:,.0f}/s", beside=f"COPY {copied:,.0f}/s", ratio=ours / copied
    )
    yield Figure(
        name="export, peak memory of the web process (RSS)",
        value=f"{peak:.0f} MB",
        beside=f"after the first download {before:.0f} MB",
    )


def _download(world: World, path: str) -> tuple[int, float]:
    """Rows and seconds. Read from a raw socket: the client must not be what is measured."""
    begun = time.perf_counter()
    rows = 0
    with socket.create_connection(("127.0.0.1", world.port), timeout=60) as raw:
        raw.sendall(request_bytes("GET", path, {**world.headers, "Connection": "close"}, ""))
        received = raw.recv(65536)
        assert received.startswith(b"HTTP/1.1 200"), received[:200]
        while received:
            rows += received.count(b"}\n")
            received = raw.recv(1 << 20)
    return rows, time.perf_counter() - begun


def _copy(world: World) -> tuple[int, float]:
    """The same bodies in the same order by psycopg's fastest way: raw blocks, thrown away."""
    begun = time.perf_counter()
    with psycopg.connect(**world.superuser()) as connection, connection.cursor() as cursor:
        query = "COPY (SELECT body FROM telemetry_receipt WHERE tenant_id = %s ORDER BY id) TO STDOUT (FORMAT BINARY)"
        with cursor.copy(query, [world.tenant_id]) as copy:
            for _ in copy:
                pass
        rows = cursor.rowcount
    return rows, time.perf_counter() - begun


def _web_worker(port: int) -> psutil.Process:
    return next(
        process
        for process in psutil.Process().children(recursive=True)
        if f"--port={port}" in process.cmdline() and not process.children()
    )


def _peak_mb(process: psutil.Process) -> float:
    [line] = [
        line
        for line in subprocess.check_output(["cat", f"/proc/{process.pid}/status"], text=True).splitlines()
        if line.startswith("VmHWM")
    ]
    return int(line.split()[1]) / 1024
