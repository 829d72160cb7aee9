"""Receivers that try to exhaust the worker: every call keeps its deadline and the worker's memory is bounded.

Worker and receivers run in processes of their own. Cases: a body of 10 GB, endless bodies and headers, a gzip bomb, one
byte at a time, and a mail server that never ends its greeting.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Self

import psutil
import pytest
from pytest_django import Settings

from tests.journeys.demo import BANK_TOKEN, SMALL, Demo
from tests.journeys.worker import running_worker
from tests.receivers.fixtures import Receiver, receiver
from threada_site.runtime.prepare import seed_demo
from threada_site.tenancy.models import Tenant

__all__ = ["receiver"]
pytestmark = [pytest.mark.adversarial, pytest.mark.django_db(transaction=True)]

TIMEOUT_S = 4
MOST_GROWTH = 50 * 2**20
SETTLING_S = 2.0
TOO_MUCH_OR_TOO_LONG = {"bad_response", "timeout"}
FAULTS = {
    "huge": TOO_MUCH_OR_TOO_LONG,
    "huge_chunked": TOO_MUCH_OR_TOO_LONG,
    "endless_head": TOO_MUCH_OR_TOO_LONG,
    "endless_continue": TOO_MUCH_OR_TOO_LONG,
    "gzip_bomb": TOO_MUCH_OR_TOO_LONG,  # whichever comes first: the receiver needs time to compress it
    "drip": {"timeout"},
    "drip_head": {"timeout"},
}


class Memory:
    """The highest resident memory of a process, sampled every 20 ms."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._done = threading.Event()
        self.peak = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self.before = self._process.memory_info().rss
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.peak = max(self.peak, self._process.memory_info().rss)


@pytest.fixture
def demo(transactional_db: None, settings: Settings) -> Demo:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    secrets = seed_demo()
    return Demo(Tenant.objects.get(slug="demo"), secrets)


def ended(demo: Demo, execution: str, *, within_s: float) -> dict[str, object]:
    """Return the execution once it is neither running nor queued."""
    ends = time.monotonic() + within_s
    while True:
        shown = demo.execution(execution)
        if shown["status"] not in ("started", "running"):
            return shown
        assert time.monotonic() < ends, f"still {shown['status']} after {within_s} s"
        time.sleep(0.05)


def run_one(demo: Demo) -> dict[str, object]:
    execution = demo.execute(demo.hand_in(SMALL)).json()["execution_id"]
    return ended(demo, execution, within_s=30)


def test_worker_survives_endless_and_huge_responses(demo: Demo, receiver: Receiver) -> None:
    pay = {"method": "POST", "path": "/pay", "timeout": TIMEOUT_S, "idempotent": False, "resolves": True}
    demo.put_bank(receiver.url, actions={"pay": pay})
    with running_worker(THREADA_EGRESS_ALLOW="127.0.0.1/32", BANK_TOKEN=BANK_TOKEN) as worker:
        receiver.behave(body={"ok": True})
        assert run_one(demo)["status"] == "succeeded"  # modules loaded at the first call do not count as growth
        growth = []
        for fault, failures in FAULTS.items():
            receiver.behave(fault=fault, drip_s=0.05, status=200)
            with Memory(worker.pid) as memory:
                shown = run_one(demo)
            (attempt,) = shown["attempts"]  # type: ignore[misc]
            assert shown["status"] == "outcome_unknown", fault
            assert attempt["failure"] in failures, fault
            took = datetime.fromisoformat(attempt["finished_at"]) - datetime.fromisoformat(attempt["started_at"])
            assert took.total_seconds() < TIMEOUT_S + SETTLING_S, fault
            growth.append((fault, round((memory.peak - memory.before) / 2**20, 1), took.total_seconds()))
            assert memory.peak - memory.before < MOST_GROWTH, growth
        receiver.behave(body={"ok": True})
        assert run_one(demo)["status"] == "succeeded"
    print(f"growth in MB, seconds: {growth}")


@pytest.fixture
def endless_mail_server() -> Iterator[int]:
    """Run a mail server that sends an endless first line."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            while True:
                try:
                    caller, _ = listener.accept()
                    while True:
                        caller.sendall(b"220-still here\r\n" * 4096)
                except OSError:
                    if listener.fileno() < 0:
                        return

        threading.Thread(target=talk, daemon=True).start()
        yield listener.getsockname()[1]


def test_mail_server_with_an_endless_greeting_is_abandoned(demo: Demo, endless_mail_server: int) -> None:
    from integrations.connectors import CallTerms, connector_named
    from integrations.documents import read_integration
    from integrations.transport import EgressPolicy

    spec = {
        "connector": "mail",
        "server": f"smtp://127.0.0.1:{endless_mail_server}",
        "from": "a@example.com",
        "actions": {"tell": {"to": "b@example.com", "subject": "s", "text": "t"}},
    }
    document, connector = read_integration(spec), connector_named("mail")
    request = connector.build_request(document, document.action("tell"), {"item": {}, "ctx": {}, "input": {}})
    terms = CallTerms(idempotency_key="ex_1", timeout_s=3, egress=EgressPolicy(["127.0.0.1"]), user_agent="x")
    started = time.monotonic()
    outcome = connector.call(request, terms)  # type: ignore[attr-defined]
    assert time.monotonic() - started < 4
    assert (outcome.failure.value, outcome.ambiguous) == ("bad_response", False)
