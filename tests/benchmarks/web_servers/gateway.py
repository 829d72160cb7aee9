"""A call of a tool through `/mcp/{integration}`, beside the same call by the API with `Prefer: wait`, and the MCP server
alone. The three take turns in one run, with one web process and one worker."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.benchmarks.effects import running_worker
from tests.benchmarks.figures import Figure
from tests.benchmarks.servers import PRODUCT, web_server
from tests.benchmarks.world import TENANT, World
from tests.receivers.fixtures import Receiver

REQUESTS = 60
WARM = 5
AIM_MS = 40
_VERSION = "2026-07-28"
_ANNOTATIONS = {"read_only": True, "destructive": False, "idempotent": True, "open_world": True}


def measure(world: World) -> Iterator[Figure]:
    """Measure calls one after another, at rest."""
    with tempfile.TemporaryDirectory(prefix="threada-receiver-") as folder:
        upstream = Receiver(Path(folder), kind="mcp_server")
        try:
            _prepare(upstream)
            with (
                running_worker({}),
                web_server(PRODUCT, port=world.port, processes=1),
                httpx.Client(base_url=f"http://127.0.0.1:{world.port}", headers=world.headers, timeout=30) as client,
                httpx.Client(base_url=upstream.url) as bare,
            ):
                rounds = [_round(client, bare, number) for number in range(WARM + REQUESTS)][WARM:]
        finally:
            upstream.stop()
    alone, by_mcp, by_api = (sorted(times) for times in zip(*rounds, strict=True))
    alone_ms = statistics.median(alone)
    above = statistics.median(by_mcp) - alone_ms
    yield Figure(name="call of a tool, the MCP server alone, p50 / p95", value=_shown(alone))
    yield Figure(
        name="execute with Prefer: wait, the same tool, p50 / p95",
        value=_shown(by_api),
        beside=f"the call alone {alone_ms:.0f} ms",
    )
    yield Figure(
        name="allowed call through /mcp/{integration}, p50 / p95",
        value=_shown(by_mcp),
        beside=f"{above:.0f} ms above the call alone",
        aim=f"p50 <= {AIM_MS} ms above",
        is_met=above <= AIM_MS,
    )


def _prepare(upstream: Receiver) -> None:
    from django.conf import settings

    from tests.benchmarks.effects import ALLOWED
    from tests.workitems.mcp.upstream import offer_tools

    settings.THREADA_EGRESS_ALLOW = [ALLOWED]
    offer_tools(TENANT, f"{upstream.url}/mcp")


def _round(client: httpx.Client, bare: httpx.Client, number: int) -> tuple[float, float, float]:
    """Return the milliseconds of the server alone, through the gateway, and by the API."""
    arguments = {"text": f"call {number} of {time.time():.3f}"}
    alone = _timed(lambda: _called(bare, "/mcp", arguments))
    by_mcp = _timed(lambda: _called(client, "/mcp/tools", arguments))
    payload = {"integration": "tools", "tool": "look_up", "arguments": arguments, "annotations": _ANNOTATIONS}
    body: dict[str, Any] = {"workflow_id": "mcp_call", "channel_id": "mcp", "payload": payload}
    item = client.post("/work-items", json=body).raise_for_status().json()
    time.sleep(0.1)
    asked = {"work_item_id": item["work_item_id"], "integration_id": "tools", "action_id": "call_tool", "input": {}}
    by_api = _timed(lambda: _executed(client, asked))
    return alone, by_mcp, by_api


def _called(client: httpx.Client, path: str, arguments: dict[str, Any]) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": _VERSION,
        "io.modelcontextprotocol/clientInfo": {"name": "benchmark", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": "look_up", "arguments": arguments, "_meta": meta}
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": _VERSION,
        "Mcp-Method": "tools/call",
        "Mcp-Name": "look_up",
    }
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    answer = client.post(path, json=message, headers=headers).raise_for_status().json()
    if answer["result"].get("structuredContent", {}).get("text") != f"look_up: {arguments['text']}":
        raise RuntimeError(str(answer))


def _executed(client: httpx.Client, asked: dict[str, Any]) -> None:
    answer = client.post("/actions/execute", json=asked, headers={"Prefer": "wait=20"}).raise_for_status()
    if answer.status_code != 200 or answer.json()["status"] != "succeeded":
        raise RuntimeError(f"{answer.status_code}: {answer.text}")


def _timed(call: Any) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def _shown(times: list[float]) -> str:
    return f"{statistics.median(times):.0f} / {times[int(len(times) * 0.95)]:.0f} ms"
