"""`POST /actions/execute` with `Prefer: wait`, beside the receiver's own time, with one web process and one worker."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.benchmarks.effects import PAYLOAD, _put_bank, running_worker
from tests.benchmarks.figures import Figure
from tests.benchmarks.servers import PRODUCT, web_server
from tests.benchmarks.world import World
from tests.receivers.fixtures import Receiver

REQUESTS = 60
PAUSE_S = 0.1
AIM_MS = 40


def measure(world: World) -> Iterator[Figure]:
    """Measure requests one after another, at rest, and the receiver's own time for the same number of calls."""
    with tempfile.TemporaryDirectory(prefix="threada-receiver-") as folder:
        receiver = Receiver(Path(folder))
        try:
            _put_bank(receiver.url)
            with (
                running_worker({}),
                web_server(PRODUCT, port=world.port, processes=1),
                httpx.Client(base_url=f"http://127.0.0.1:{world.port}", headers=world.headers) as client,
            ):
                for _ in range(5):
                    _waited_ms(client)
                ours = sorted(_waited_ms(client) for _ in range(REQUESTS))
            bare = statistics.median(_called_ms(receiver) for _ in range(REQUESTS))
        finally:
            receiver.stop()
    above = statistics.median(ours) - bare
    yield Figure(
        name="execute with Prefer: wait, above the receiver's own time, p50 / p95",
        value=f"{above:.0f} / {ours[int(REQUESTS * 0.95)] - bare:.0f} ms",
        beside=f"the call alone {bare:.1f} ms",
        aim=f"p50 <= {AIM_MS} ms",
        is_met=above <= AIM_MS,
    )


def _waited_ms(client: httpx.Client) -> float:
    """Return the time of one request for an action, until the answer with its result."""
    body: dict[str, Any] = {"workflow_id": "payment_run", "channel_id": "web_main", "payload": PAYLOAD}
    item = client.post("/work-items", json=body).raise_for_status().json()
    time.sleep(PAUSE_S)
    asked = {"work_item_id": item["work_item_id"], "integration_id": "int_bank", "action_id": "pay", "input": {}}
    began = time.perf_counter()
    answer = client.post("/actions/execute", json=asked, headers={"Prefer": "wait=20"}, timeout=30)
    took = time.perf_counter() - began
    if answer.status_code != 200 or answer.json()["status"] != "succeeded":
        raise RuntimeError(f"{answer.status_code}: {answer.text}")
    return took * 1000


def _called_ms(receiver: Receiver) -> float:
    """Return the time of one call of the receiver on a new connection."""
    began = time.perf_counter()
    httpx.post(f"{receiver.url}/bare", json={"amount_minor": 900}).raise_for_status()
    return (time.perf_counter() - began) * 1000
