"""The hosts of an instance: their processes, and the requests that tests send from outside."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg

from tests.adversarial.banks import KEEPS
from tests.adversarial.network import Network
from tests.adversarial.server import REPOSITORY
from tests.adversarial.waiting import PATIENCE_S, until
from tests.receivers.fixtures import Receiver

PORT: Final = 8000
TENANT: Final = "acme"


class RestartedProcess:
    """A process that is restarted whenever it ends, like systemd's `Restart=always`."""

    def __init__(self, begin: Callable[[], subprocess.Popen[bytes]]) -> None:
        self._begin = begin
        self._is_over = threading.Event()
        self.starts = 0
        self.process = self._started()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def _started(self) -> subprocess.Popen[bytes]:
        self.starts += 1
        return self._begin()

    def _keep(self) -> None:
        while True:
            self.process.wait()
            if self._is_over.wait(1.0):
                return
            self.process = self._started()

    def restart(self, number: int = signal.SIGTERM) -> None:
        """End the process and wait until it has been restarted."""
        before = self.starts
        self.process.send_signal(number)
        until(lambda: self.starts > before)

    def end(self) -> None:
        self._is_over.set()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self._thread.join(30)


@dataclass
class Machine:
    """A host with its own data directory and its processes."""

    network: Network
    name: str
    address: str
    environment: dict[str, str]
    log: Path
    running: dict[str, RestartedProcess] = field(default_factory=dict)

    def keep(self, kind: str, *words: str) -> None:
        command = [sys.executable, "manage.py", kind, *words]
        self.running[kind] = RestartedProcess(lambda: self._start(command))

    def manage(self, *words: str) -> str:
        """Run a command on this host. Fail the test unless it exits with 0."""
        process = self.network.start(
            self.name, [sys.executable, "manage.py", *words],
            cwd=REPOSITORY, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        out, err = process.communicate(timeout=180)
        assert process.returncode == 0, out + err
        return str(out)

    def send(
        self, method: str, path: str, body: Any = None, *, token: str = "", key: str = "", timeout: float = 15.0
    ) -> tuple[int, Any]:
        """Send one request to the web of this host. Return status and response; status 0 if there was none."""
        headers = {"Content-Type": "application/json"}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"Idempotency-Key": key} if key else {}
        connection = http.client.HTTPConnection(self.address, PORT, timeout=timeout)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)
        finally:
            connection.close()

    def is_ready(self) -> bool:
        return self.send("GET", "/readyz", timeout=3.0)[0] == 200

    def end(self) -> None:
        for kept in self.running.values():
            kept.end()

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            return self.network.start(
                self.name, command, cwd=REPOSITORY, env=self.environment, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, process_group=0,
            )  # fmt: skip


@dataclass
class Site:
    """The whole installation, as seen from outside."""

    network: Network
    webs: tuple[Machine, Machine]
    workers: tuple[Machine, Machine]
    receiver: Receiver
    superuser_url: str
    token: str
    people: dict[str, str]

    def query(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.superuser_url) as database:
            return database.execute(statement.encode(), parameters).fetchall()

    def number(self, statement: str, *parameters: Any) -> int:
        return int(self.query(statement, *parameters)[0][0])

    def hand_in(self, machine: Machine, *, amount: int = 500, invoice: str = "") -> str:
        """Return the id of a new work item, requested under one key until it succeeds."""
        payload = {"vendor": "Hooli", "amount_minor": amount, "invoice": invoice}
        body = {"workflow_id": "payment_run", "channel_id": "web_main", "payload": payload}
        return str(self.insist(machine, "/work-items", body, expected=201)["work_item_id"])

    def execute(self, machine: Machine, item: str, integration: str = KEEPS) -> str:
        body = {"work_item_id": item, "action_id": "pay", "integration_id": integration}
        return str(self.insist(machine, "/actions/execute", body, expected=202)["execution_id"])

    def insist(self, machine: Machine, path: str, body: dict[str, Any], *, expected: int) -> dict[str, Any]:
        key, ends = uuid.uuid4().hex, time.monotonic() + PATIENCE_S
        while True:
            status, answer = machine.send("POST", path, body, token=self.token, key=key)
            if status == expected:
                return dict(answer)
            assert status in (0, 500, 503) or answer["reason_code"] == "idempotency_in_flight", (status, answer)
            assert time.monotonic() < ends, (status, answer)
            time.sleep(0.2)

    def status_of(self, execution: str) -> str:
        status, answer = self.webs[1].send("GET", f"/executions/{execution}", token=self.token)
        return str(answer["status"]) if status == 200 else ""

    def calls(self, execution: str) -> list[dict[str, Any]]:
        return [each for each in self.receiver.requests() if each["headers"]["idempotency-key"] == execution]

    def unsealed(self) -> int:
        return self.number("SELECT count(*) FROM telemetry_sealqueueentry")

    def assert_ledger_is_whole(self) -> None:
        """Assert that every receipt is sealed once and that everything can be verified."""
        until(lambda: self.unsealed() == 0)
        leaves, places, last, receipts, waiting = self.query(  # at one moment: workers may still be deciding
            "SELECT count(*), count(DISTINCT l.index), max(l.index) + 1, (SELECT count(*) FROM telemetry_receipt), "
            "(SELECT count(*) FROM telemetry_sealqueueentry) "
            "FROM telemetry_logleaf l JOIN tenancy_tenant t ON t.id = l.tenant_id WHERE t.slug = 'acme'"
        )[0]
        assert leaves == places == last
        assert leaves + waiting == receipts
        self.workers[0].manage("verify_receipts", "--tenant", TENANT)
