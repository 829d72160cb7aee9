"""A stored secret is sent with a call and stored nowhere in plain text."""

from __future__ import annotations

from django.db import connection

from tests.journeys.demo import BANK_TOKEN, SMALL, Demo
from tests.receivers.fixtures import Receiver
from threada_site.database.roles import platform_role

STORED = "stored-canary-5512"
AUTH = {"scheme": "bearer", "secret": {"stored": "bank_token"}}


def store(demo: Demo, origin: str, value: str = STORED, status: int = 201) -> None:
    manager = demo.join("ivy", roles=("integration_manager",))
    answer = manager.post("/secrets", {"secret_id": "bank_token", "value": value, "origins": [origin]})
    assert answer.status_code == status, answer.content


def test_a_call_bears_the_value_of_the_moment(demo: Demo, bank: Receiver) -> None:
    store(demo, bank.url, value="before")
    demo.put_bank(bank.url, auth=AUTH)
    demo.wait()
    item = demo.hand_in(SMALL)
    execution = demo.execute(item).json()["execution_id"]
    store(demo, bank.url, status=200)
    demo.wait()
    assert demo.execution(execution)["status"] == "succeeded"
    assert [call["headers"]["authorization"] for call in bank.requests()] == [f"Bearer {STORED}"]


def test_a_secret_for_another_origin_is_not_sent(demo: Demo, bank: Receiver) -> None:
    store(demo, bank.url)
    demo.put_bank(bank.url, auth=AUTH)
    demo.wait()
    store(demo, "https://elsewhere.example", status=200)
    item = demo.hand_in(SMALL)
    execution = demo.execute(item).json()["execution_id"]
    demo.wait()
    shown = demo.execution(execution)
    assert (shown["status"], shown["failure"]) == ("failed", "secret_origin_refused")
    assert bank.requests() == []


def test_no_column_and_no_answer_holds_a_secret(demo: Demo, bank: Receiver) -> None:
    """Check answers that repeat secrets, every column of every table, and the API."""
    store(demo, bank.url)
    demo.put_bank(bank.url, auth=AUTH)
    demo.wait()
    bank.behave(status=422, body={"you_sent": f"Bearer {STORED}", "also": STORED})
    item = demo.hand_in(SMALL)
    execution = demo.execute(item).json()["execution_id"]
    demo.wait()
    shown = demo.client.get(f"/executions/{execution}").content.decode()
    assert "[redacted]" in shown
    bank.behave(status=422, body={"you_sent": f"Bearer {BANK_TOKEN}"})
    demo.put_bank(bank.url, auth={"scheme": "bearer", "secret": {"env": "BANK_TOKEN"}})
    demo.wait()
    second = demo.hand_in(SMALL)
    again = demo.execute(second).json()["execution_id"]
    demo.wait()
    shown += demo.client.get(f"/executions/{again}").content.decode()
    shown += demo.client.get("/telemetry/events").content.decode()
    texts = [shown, *every_column()]
    assert [text for text in texts if STORED in text or BANK_TOKEN in text] == []


def every_column() -> list[str]:
    """Return the rows of all tables as text; bytes unchanged and as PostgreSQL prints them."""
    with platform_role(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') "
            "AND NOT relispartition"
        )
        tables = [name for (name,) in cursor.fetchall()]
        found = []
        for table in tables:
            cursor.execute(f'SELECT * FROM "{table}"')
            for row in cursor.fetchall():
                found += [bytes(v).decode("latin-1") if isinstance(v, bytes | memoryview) else str(v) for v in row]
    assert len(tables) >= 90
    assert len(found) > 1000
    return found
