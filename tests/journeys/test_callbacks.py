"""Executions with callbacks: pending, answered, late, forged, repeated."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from pytest_django import Settings

from integrations.connectors.standard_webhooks import signed_headers
from integrations.models import Execution
from tests.journeys.demo import SMALL, Demo
from tests.receivers.fixtures import Receiver
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from workitems.executions.callbacks import callback_id
from workitems.sweeps import enqueue_due_executions

KEY, OTHER = "k" * 32, "o" * 32
DONE = {"status": "succeeded", "data": {"payment_id": "p-17"}}


@pytest.fixture
def waiting(demo: Demo, bank: Receiver, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """Create an execution that was accepted and waits for its callback. Return its id."""
    settings.THREADA_PUBLIC_URL = "https://threada.example"
    monkeypatch.setenv("CALLBACK_KEY", KEY)
    monkeypatch.setenv("CALLBACK_KEY_BEFORE", OTHER)
    put(demo, bank)
    bank.behave(status=202, body={"accepted": True})
    item = demo.hand_in(SMALL)
    execution = demo.execute(item).json()["execution_id"]
    demo.wait()
    return str(execution)


def put(demo: Demo, bank: Receiver, **changes: Any) -> None:
    from integrations.models import Integration

    with unit_of_work(demo.tenant.id):
        current = Integration.objects.select_related("current_version").get(slug="int_bank").current_version
        assert current is not None
        actions = current.spec["actions"]
    pay = {**actions["pay"], "completes": "callback", "callback_within": "PT2H"}
    secrets = [{"env": "CALLBACK_KEY"}, {"env": "CALLBACK_KEY_BEFORE"}]
    demo.put_bank(bank.url, actions={**actions, "pay": pay}, callback_secrets=secrets, **changes)
    demo.wait()


def path_in(bank: Receiver) -> str:
    url = bank.requests()[-1]["headers"]["threada-callback-url"]
    assert url.startswith("https://threada.example/callbacks/")
    return url.removeprefix("https://threada.example")


def send(path: str, body: Any = DONE, *, key: str = KEY, message: str = "msg_1", age_s: int = 0, **changes: str) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    at = clock.now() - timedelta(seconds=age_s)
    headers = dict(signed_headers(raw, message_id=message, at=at, keys=[key.encode()]))
    return Client().post(path, raw, content_type="application/json", headers={**headers, **changes})


def rows(demo: Demo) -> list[int]:
    with platform_role(), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM telemetry_receipt")
        return [row[0] for row in cursor.fetchall()]


def test_it_waits_and_its_callback_ends_it(demo: Demo, bank: Receiver, waiting: str) -> None:
    shown = demo.execution(waiting)
    assert (shown["status"], shown["result"]["status"], shown["attempts_made"]) == ("running", 202, 1)
    assert shown["callback_due_at"] is not None
    with unit_of_work(demo.tenant.id):
        assert Execution.objects.get(status="running").lease_until is None
    assert enqueue_due_executions(now=clock.now() + timedelta(minutes=90)) == 0
    answer = send(path_in(bank))
    assert (answer.status_code, answer.content) == (204, b"")
    shown = demo.execution(waiting)
    assert (shown["status"], shown["callback_due_at"]) == ("succeeded", None)
    assert shown["result"] == {"callback": "succeeded", "body": {"payment_id": "p-17"}}
    assert demo.item(shown["work_item_id"])["status"] == "resolved"
    kinds = [kind for kind in demo.kinds(shown["work_item_id"]) if kind.startswith("execution.")]
    assert kinds == ["execution.proposed", "execution.executed", "execution.accepted", "execution.succeeded"]
    assert len(bank.requests()) == 1


def test_the_older_key_signs_too_and_a_failure_is_one(demo: Demo, bank: Receiver, waiting: str) -> None:
    assert send(path_in(bank), {"status": "failed", "detail": "Account closed."}, key=OTHER).status_code == 204
    shown = demo.execution(waiting)
    assert (shown["status"], shown["failure"], shown["failure_detail"]) == (
        "failed", "rejected_by_receiver", "Account closed.",
    )  # fmt: skip
    assert demo.item(shown["work_item_id"])["status"] == "failed"
    assert len(bank.requests()) == 1


def test_what_is_sent_again_changes_nothing(demo: Demo, bank: Receiver, waiting: str) -> None:
    path = path_in(bank)
    send(path)
    before = rows(demo)
    assert send(path).status_code == 204
    assert send(path, message="msg_2").status_code == 204
    assert rows(demo) == before
    assert demo.execution(waiting)["status"] == "succeeded"


def test_a_contradiction_is_refused_and_recorded_a_few_times(demo: Demo, bank: Receiver, waiting: str) -> None:
    path = path_in(bank)
    send(path)
    answers = [send(path, {"status": "failed"}, message=f"msg_{number}") for number in range(5)]
    assert {answer.status_code for answer in answers} == {409}
    assert answers[0].json()["reason_code"] == "callback_contradicted"
    assert "failed" in answers[0].json()["detail"]
    shown = demo.execution(waiting)
    assert (shown["status"], shown["result"]["callback"]) == ("succeeded", "succeeded")
    assert demo.kinds(shown["work_item_id"]).count("execution.callback_refused") == 3


def test_a_replayed_failure_does_not_end_the_next_attempt(demo: Demo, bank: Receiver, waiting: str) -> None:
    path = path_in(bank)
    assert send(path, {"status": "failed"}).status_code == 204
    with unit_of_work(demo.tenant.id):
        Execution.objects.filter(status="failed").update(
            status="running", waiting_until=clock.now() + timedelta(hours=1)
        )
    assert send(path, {"status": "failed"}).status_code == 204
    assert demo.execution(waiting)["status"] == "running"
    assert send(path, DONE, message="msg_2").status_code == 204
    assert demo.execution(waiting)["status"] == "succeeded"


def test_a_bad_signature_and_an_unknown_id_are_answered_alike(demo: Demo, bank: Receiver, waiting: str) -> None:
    path = path_in(bank)
    before = rows(demo)
    with unit_of_work(demo.tenant.id):
        execution = Execution.objects.get(status="running")
    nobody = callback_id(demo.tenant.id, demo.tenant.id)
    abroad = callback_id(execution.id, execution.id)
    answers = [
        send(path, key="x" * 32),
        send(path, age_s=600),
        send(path, age_s=-600),
        send(path, **{"webhook-signature": ""}),
        send(path, **{"webhook-signature": "v1,AAAA v2,x nonsense"}),
        send(path, **{"webhook-id": "msg_2"}),
        send(path, **{"webhook-timestamp": "yesterday"}),
        send(path[:-1] + ("A" if path[-1] != "A" else "B")),
        send(f"/callbacks/{nobody}"),
        send(f"/callbacks/{abroad}"),
        send("/callbacks/nonsense"),
        send(f"/callbacks/{'a' * 5000}"),
        Client().post(path, b"not json", content_type="text/plain"),
    ]
    assert {answer.status_code for answer in answers} == {404}
    bodies = [{**answer.json(), "correlation_id": ""} for answer in answers]
    assert all(body == bodies[0] for body in bodies)
    assert rows(demo) == before
    assert demo.execution(waiting)["status"] == "running"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b'{"status": "succeeded", "status": "failed"}', 400),
        (b'{"status": "perhaps"}', 422),
        (b'{"status": "succeeded", "more": 1}', 422),
        (b'{"status": "succeeded", "data": "' + b"x" * 70_000 + b'"}', 413),
    ],
)
def test_a_body_is_held_to_its_shape_and_size(
    demo: Demo, bank: Receiver, waiting: str, body: bytes, status: int
) -> None:
    assert send(path_in(bank), body).status_code == status
    assert demo.execution(waiting)["status"] == "running"


def test_result_is_unknown_after_the_callback_deadline(demo: Demo, bank: Receiver, waiting: str) -> None:
    path = path_in(bank)
    with unit_of_work(demo.tenant.id):
        Execution.objects.filter(status="running").update(waiting_until=clock.now() - timedelta(seconds=1))
    assert enqueue_due_executions(now=clock.now()) == 1
    demo.wait()
    shown = demo.execution(waiting)
    assert (shown["status"], shown["failure"]) == ("outcome_unknown", "timeout")
    assert send(path).json()["reason_code"] == "callback_contradicted"
    assert demo.execution(waiting)["status"] == "outcome_unknown"
    assert len(bank.requests()) == 1


def test_one_that_is_faster_than_the_call_is_asked_to_come_again(demo: Demo, bank: Receiver, waiting: str) -> None:
    path = path_in(bank)
    with unit_of_work(demo.tenant.id):
        Execution.objects.filter(status="running").update(waiting_until=None)
    answer = send(path)
    assert (answer.status_code, answer.json()["reason_code"]) == (409, "execution_in_progress")
    assert answer.headers["Retry-After"] == "1"
    with unit_of_work(demo.tenant.id):
        Execution.objects.filter(status="running").update(waiting_until=clock.now() + timedelta(hours=1))
    assert send(path).status_code == 204


def test_an_answer_that_refuses_is_no_reason_to_wait(demo: Demo, bank: Receiver, waiting: str) -> None:
    send(path_in(bank))
    bank.behave(status=422)
    item = demo.hand_in(SMALL)
    execution = demo.execute(item).json()["execution_id"]
    demo.wait()
    assert demo.execution(execution)["status"] == "failed"
