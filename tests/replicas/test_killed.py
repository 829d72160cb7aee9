"""A replica is killed under load and comes back: no request fails and no read is stale."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from django.db import connections

from tests.client import Api
from tests.factories import make_principal, make_tenant, make_token
from tests.replicas.server import Replica
from threada_site.database import replicas

pytestmark = pytest.mark.slow

CLIENTS = 4
BEFORE_S, GONE_S, AFTER_S = 2.0, 3.0, 8.0


@pytest.mark.slow
def test_no_request_fails_while_the_replica_is_killed_and_comes_back(
    replica: Replica, asked: Any, caplog: pytest.LogCaptureFixture
) -> None:
    acme = make_tenant("acme")
    token = make_token(acme, make_principal(acme, "ada", roles=["tenant_admin"]))
    stop = threading.Event()
    answers: list[tuple[int, bool, float]] = []

    def load(number: int) -> None:
        client = Api(token)
        seen = 0
        try:
            while not stop.is_set():
                name = f"c{number}-{seen}"
                created = client.post("/channels", {"channel_id": name}).status_code
                begun = time.monotonic()
                listed = client.get("/channels", {"limit": 200})
                took = time.monotonic() - begun
                seen += 1
                is_there = listed.status_code == 200 and name in listed.content.decode()
                answers.append((max(created, listed.status_code), is_there, took))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=load, args=(number,)) for number in range(CLIENTS)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        time.sleep(BEFORE_S)
        replica.kill()
        time.sleep(GONE_S)
        replica.start()
        time.sleep(AFTER_S)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    lasted = time.monotonic() - began
    assert len(answers) > 100
    assert {status for status, _, _ in answers} == {201}
    assert {is_there for _, is_there, _ in answers} == {True}
    assert max(took for _, _, took in answers) < 5
    lines = [record for record in caplog.records if "replica_left_out" in record.getMessage()]
    assert 1 <= len(lines) <= 1 + lasted / replicas.SECONDS_BETWEEN_LINES
    replica.catch_up()
    time.sleep(replicas.FAILED_BACKOFF_S)
    client = Api(token)
    client.get("/channels")
    with asked() as statements:
        assert client.get("/channels").status_code == 200
    assert [sql for sql in statements.replica if "policies_channel" in sql] != []
