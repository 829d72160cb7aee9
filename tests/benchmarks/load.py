"""Load: processes that each keep one connection open and send the same prepared bytes repeatedly.

A raw socket costs the client about a twentieth of the server's time per request. `python -m tests.benchmarks.load` is
one such client: it reads its orders from stdin and writes JSON.
"""

from __future__ import annotations

import json
import math
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Orders:
    """Orders of one client: the request, its target, duration and expected status."""

    port: int
    method: str
    path: str
    headers: dict[str, str]
    body: str
    seconds: float
    status: int


@dataclass(frozen=True, slots=True)
class Round:
    """Results of all clients in one round. Latencies in milliseconds."""

    per_second: float
    p50: float
    p99: float


def run(orders: Orders, *, clients: int) -> Round:
    """Send from `clients` processes that start at the same time."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(clients)
    ]
    spoken = json.dumps(asdict(orders)) + "\n"
    for process in processes:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(spoken)
        process.stdin.flush()
        assert process.stdout.readline() == "connected\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [json.loads(process.communicate()[0]) for process in processes]
    latencies = sorted(latency for answer in answers for latency in answer["latencies"])
    return Round(
        per_second=sum(len(answer["latencies"]) / answer["seconds"] for answer in answers),
        p50=statistics.median(latencies) * 1000,
        p99=latencies[math.ceil(len(latencies) * 0.99) - 1] * 1000,
    )


def request_bytes(method: str, path: str, headers: Mapping[str, str], body: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body.encode())}"]
    return "\r\n".join([*lines, "", body]).encode()


class Connection:
    """Persistent connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and read its answer. Return status and body."""
        self._socket.sendall(request)
        received = self._socket.recv(65536)
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        head, body = received[:end].lower() + b"\r\n", received[end + 4 :]
        if (start := head.find(b"content-length:")) >= 0:
            length = int(head[start + 15 : head.index(b"\r\n", start)])
            while len(body) < length:
                body += self._more()
        else:
            while not body.endswith(b"0\r\n\r\n"):
                body += self._more()
            body = _unchunked(body)
        return int(received[9:12]), body

    def _more(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data


def _unchunked(body: bytes) -> bytes:
    parts: list[bytes] = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        parts.append(rest[: int(size, 16)])
        body = rest[int(size, 16) + 2 :]
    return b"".join(parts)


def _client() -> None:
    orders = Orders(**json.loads(sys.stdin.readline()))
    request = request_bytes(orders.method, orders.path, orders.headers, orders.body)
    connection = Connection(orders.port)
    print("connected", flush=True)
    sys.stdin.readline()
    latencies: list[float] = []
    begun = now = time.perf_counter()
    while now - begun < orders.seconds:
        status, body = connection.exchange(request)
        if status != orders.status:
            raise SystemExit(f"answered {status}: {body[:500]!r}")
        ended = time.perf_counter()
        latencies.append(ended - now)
        now = ended
    answer: dict[str, Any] = {"latencies": latencies, "seconds": now - begun}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    _client()
