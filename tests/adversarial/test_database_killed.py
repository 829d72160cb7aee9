"""PostgreSQL is killed under a running instance: the worker exits with an error and `up` restarts it; with a broker, it
reconnects."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.adversarial.server import Server, running_server
from tests.adversarial.waiting import until

pytestmark = [pytest.mark.adversarial, pytest.mark.slow]

WITHIN_S = 60


def eventually_decided(server: Server, item: str) -> str:
    ends = time.monotonic() + WITHIN_S
    status = "new"
    while status == "new" and time.monotonic() < ends:
        time.sleep(0.3)
        answer = server.send("GET", f"/work-items/{item}")
        status = answer.json()["status"] if answer.status == 200 else "new"
    return status


def hand_in(server: Server) -> str:
    body = b'{"workflow_id": "policy_review", "channel_id": "web_main", "payload": {"question": "May we?"}}'
    ends = time.monotonic() + WITHIN_S
    while (answer := server.send("POST", "/work-items", body)).status != 201 and time.monotonic() < ends:
        time.sleep(0.5)
    assert answer.status == 201, answer.body
    return str(answer.json()["work_item_id"])


def test_worker_reports_a_lost_database_and_is_restarted(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        assert eventually_decided(server, hand_in(server)) != "new"
        first = server.own_worker()
        assert first is not None
        server.kill_the_database()
        item = hand_in(server)
        assert eventually_decided(server, item) != "new"
        if os.environ.get("THREADA_ENGINE") == "celery":
            assert server.own_worker() == first  # its processes have reconnected
            assert eventually_decided(server, hand_in(server)) != "new"
            return
        until(lambda: server.own_worker() not in (None, first), seconds=WITHIN_S)
        said = server.log.read_text()
        assert "worker ended with status 1; it is started again." in said
        assert "The queue was lost. A supervisor should start the worker again." in said
