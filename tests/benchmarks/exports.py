"""Exports: rows per second next to PostgreSQL's COPY of the same rows, and memory."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from tests.benchmarks.figures import Figure
from tests.benchmarks.finding.rows import generate_receipts
from tests.benchmarks.load import request_bytes
from tests.benchmarks.servers import PRODUCT, web_server
from tests.benchmarks.world import TENANT, World

ROUNDS = 5
FILE_ROUNDS = 3
FEW = 10_000
MANY = 1_000_000
AIM = 0.8
MEMORY_AIM = 1.2


def measure(world: World) -> Iterator[Figure]:
    """Measure each way of export in turn with COPY of the same rows: streamed, written to a file, downloaded."""
    generate_receipts(world, MANY)
    streamed = [(_made(MANY, "stream"), _copy(world)) for _ in range(ROUNDS)]
    rows = streamed[0][0].rows
    assert rows >= MANY - 1, rows
    yield _next_to_copy(f"NDJSON of {rows:,} receipts, handed on", streamed, aim=AIM)
    file = world.data_dir / "copied"
    made = [(_made(MANY, "file"), _copy(world, file)) for _ in range(FILE_ROUNDS)]
    file.unlink()
    yield _next_to_copy(f"NDJSON of {rows:,} receipts, made into a durable file", made, what="COPY into one")
    few, many = _made(FEW, "file").peak_mb, max(ours.peak_mb for ours, _ in made)
    yield Figure(
        name=f"peak memory (RSS) of the process that makes {rows:,}",
        value=f"{many:.0f} MB",
        beside=f"{FEW:,}: {few:.0f} MB",
        ratio=many / few,
        aim=f"<= {MEMORY_AIM}",
        is_met=many / few <= MEMORY_AIM,
    )
    path = f"/telemetry/exports/{made[-1][0].export_id}/download"
    with web_server(PRODUCT, port=world.port, processes=1):
        _download(world, path)
        worker = _web_worker(world.port)
        before = _peak_mb(worker)
        yield _next_to_copy(
            f"download of {rows:,} receipts", [(_download(world, path), _copy(world)) for _ in range(ROUNDS)]
        )
        yield Figure(
            name="peak memory of the web process (RSS)",
            value=f"{_peak_mb(worker):.0f} MB",
            beside=f"after the first download {before:.0f} MB",
        )


@dataclass(frozen=True, slots=True)
class Taken:
    """Rows and their duration."""

    rows: int
    seconds: float
    peak_mb: float = 0.0
    export_id: str = ""

    @property
    def speed(self) -> float:
        return self.rows / self.seconds


def _next_to_copy(
    name: str, pairs: list[tuple[Taken, Taken]], *, aim: float | None = None, what: str = "COPY"
) -> Figure:
    """Return the medians and the median ratio of the rounds."""
    ratios = [ours.speed / copied.speed for ours, copied in pairs]
    ratio = statistics.median(ratios)
    return Figure(
        name=f"{name} (rounds {min(ratios):.2f} to {max(ratios):.2f})",
        value=f"{statistics.median(ours.speed for ours, _ in pairs):,.0f}/s",
        beside=f"{what} {statistics.median(copied.speed for _, copied in pairs):,.0f}/s",
        ratio=ratio,
        aim=f">= {aim}" if aim else "",
        is_met=ratio >= aim if aim else None,
    )


def _made(rows: int, way: str) -> Taken:
    """Export the newest rows in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.export_maker", TENANT, str(rows), way]
    count, seconds, peak_mb, export_id = subprocess.check_output(command, text=True).split()
    return Taken(int(count), float(seconds), float(peak_mb), export_id)


def _download(world: World, path: str) -> Taken:
    """Download with a raw socket, so that the client is not the bottleneck."""
    begun = time.perf_counter()
    rows = 0
    with socket.create_connection(("127.0.0.1", world.port), timeout=60) as raw:
        raw.sendall(request_bytes("GET", path, {**world.headers, "Connection": "close"}, ""))
        received = raw.recv(65536)
        assert received.startswith(b"HTTP/1.1 200"), received[:200]
        while received:
            rows += received.count(b"}\n")
            received = raw.recv(1 << 20)
    return Taken(rows, time.perf_counter() - begun)


def _copy(world: World, into: Path | None = None) -> Taken:
    """Copy the same bodies in the same order with psycopg as raw blocks, discarded or written to a file."""
    begun = time.perf_counter()
    with psycopg.connect(**world.superuser()) as connection, connection.cursor() as cursor:
        query = "COPY (SELECT body FROM telemetry_receipt WHERE tenant_id = %s ORDER BY id) TO STDOUT (FORMAT BINARY)"
        with cursor.copy(query, [world.tenant_id]) as copy:
            if into is None:
                for _ in copy:
                    pass
            else:
                with into.open("wb", buffering=262_144) as file:
                    file.writelines(copy)
                    file.flush()
                    os.fsync(file.fileno())
        rows = cursor.rowcount
    return Taken(rows, time.perf_counter() - begun)


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
