"""One trace from the request to the receiver, exported to a collector; no spans if tracing is off."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.conf import settings
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from telemetry.otlp import OtlpTracer
from tests.journeys.demo import BANK_TOKEN, LARGE, SMALL, Demo
from tests.receivers.fixtures import Receiver
from threada_site.kernel import tracing

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SENT = f"00-{TRACE}-{CALLER}-01"


class Collector:
    """Receiver of OTLP over HTTP on loopback."""

    def __init__(self) -> None:
        collector = self
        self.spans: list[Any] = []
        self.paths: set[str] = set()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                sent = ExportTraceServiceRequest.FromString(body)
                collector.paths.add(self.path)
                collector.spans += [
                    span for one in sent.resource_spans for scope in one.scope_spans for span in scope.spans
                ]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    tracer = OtlpTracer(found.url, version="test")
    tracing.install(lambda: tracer)
    found.flush = tracer.flush  # type: ignore[attr-defined]
    yield found
    tracing.install(None)
    found.server.shutdown()
    found.server.server_close()


def told(span: Any) -> dict[str, Any]:
    return {entry.key: entry.value.string_value or entry.value.int_value for entry in span.attributes}


def test_request_decision_job_and_call_are_one_trace(demo: Demo, bank: Receiver, collector: Any) -> None:
    item = demo.hand_in(SMALL)
    body = {"work_item_id": item, "action_id": "pay", "integration_id": "int_bank"}
    started = demo.client.post("/actions/execute", body, headers={"traceparent": SENT})
    execution = started.json()["execution_id"]
    demo.wait()
    assert demo.execution(execution)["status"] == "succeeded"
    collector.flush()
    assert collector.paths == {"/v1/traces"}
    mine = [span for span in collector.spans if span.trace_id.hex() == TRACE]
    by_name = {span.name: span for span in mine}
    request, decision, job = by_name["POST /actions/execute"], by_name["policy.decide"], by_name["execution.run"]
    call = by_name["call int_bank.pay"]
    assert request.parent_span_id.hex() == CALLER
    assert {decision.parent_span_id, job.parent_span_id} == {request.span_id}
    assert call.parent_span_id == job.span_id
    (paid,) = bank.requests()
    assert paid["headers"]["traceparent"] == f"00-{TRACE}-{call.span_id.hex()}-01"
    assert told(request)["http.response.status_code"] == 202
    assert told(job) == {"threada.tenant": "demo", "threada.execution": execution, "threada.outcome": "succeeded"}
    assert [request.kind, job.kind, call.kind] == [2, 5, 3]
    said = b"".join(span.SerializeToString() for span in collector.spans)
    assert BANK_TOKEN.encode() not in said
    assert b"Hooli" not in said


def test_an_approved_execution_goes_on_with_the_trace_that_asked_for_it(
    demo: Demo,
    bank: Receiver,
    collector: Any,
) -> None:
    item = demo.hand_in(LARGE)
    body = {"work_item_id": item, "action_id": "pay", "integration_id": "int_bank"}
    demo.client.post("/actions/execute", body, headers={"traceparent": SENT})
    demo.wait()
    step = demo.step_of(item)
    demo.vote("finance-1", step)
    demo.vote("finance-2", step)
    demo.wait()
    (paid,) = bank.requests()
    assert paid["headers"]["traceparent"].split("-")[1] == TRACE


def test_without_a_collector_the_trace_context_is_forwarded_unchanged(demo: Demo, bank: Receiver) -> None:
    for sent, expected in ((SENT, SENT), ("00-nonsense", None), (f"00-{'0' * 32}-{CALLER}-01", None)):
        item = demo.hand_in(SMALL)
        body = {"work_item_id": item, "action_id": "pay", "integration_id": "int_bank"}
        demo.client.post("/actions/execute", body, headers={"traceparent": sent})
        demo.wait()
        assert bank.requests()[-1]["headers"].get("traceparent") == expected


def test_a_collector_that_is_away_holds_nobody_up(demo: Demo, bank: Receiver) -> None:
    tracing.install(lambda: OtlpTracer("http://127.0.0.1:9", version="test"))
    try:
        item = demo.hand_in(SMALL)
        execution = demo.execute(item).json()["execution_id"]
        demo.wait()
        assert demo.execution(execution)["status"] == "succeeded"
    finally:
        tracing.install(None)


@pytest.mark.parametrize(("endpoint", "loaded"), [("", False), ("http://127.0.0.1:9", True)])
def test_it_is_loaded_where_it_is_asked_for(endpoint: str, loaded: bool) -> None:
    program = (
        "import django, sys; django.setup()\n"
        "from threada_site.kernel import tracing\n"
        "with tracing.span('x'): pass\n"
        "print(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    environment = {"DJANGO_SETTINGS_MODULE": "threada_site.settings", "THREADA_OTLP_ENDPOINT": endpoint}
    said = subprocess.run(
        [sys.executable, "-c", program],
        cwd=settings.THREADA_BASE_DIR,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert said.split() == [str(loaded)]
