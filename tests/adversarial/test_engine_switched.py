"""A running instance is switched to the other engine and back, with work of every kind in progress.

Nothing is lost and nothing is done twice: the logs of the receiver and the mail server are the evidence.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
from kombu import Connection

from integrations.connectors.standard_webhooks import signed_headers
from tests.adversarial import waiting
from tests.adversarial.banks import FORGETS, KEEPS
from tests.adversarial.payments import Payments, running_payments
from tests.broker import require_broker, shared_broker
from tests.receivers.fixtures import Receiver
from tests.receivers.mail_server import MailServer
from threada_site import postgres
from threada_site.database.bootstrap import EMBEDDED_DATABASE
from threada_site.jobs.pools import all_pools
from threada_site.kernel import ids

pytestmark = [pytest.mark.adversarial, pytest.mark.slow, pytest.mark.timeout(900)]

CALLS_BACK: Final = "int_calls_back"
KEY: Final = "k" * 32
SLOW_S: Final = 4.0
DONE_WITHIN_S: Final = 180.0
PEOPLE: Final = ("finance-1", "finance-2")


@dataclass
class Work:
    """Work requested before a switch, by kind. `bank`, `item`: of each execution; `fixed_at`: since when the receiver
    that refused accepts requests."""

    refused: list[str] = field(default_factory=list)
    called_back: list[str] = field(default_factory=list)
    awaiting: list[str] = field(default_factory=list)
    bank: dict[str, str] = field(default_factory=dict)
    item: dict[str, str] = field(default_factory=dict)
    fixed_at: float = 0.0


@dataclass
class Instance:
    """One data directory, started with either engine."""

    folder: Path
    receiver: Receiver
    mail: MailServer
    engines: dict[str, dict[str, str]]
    tokens: dict[str, str] = field(default_factory=dict)

    @contextlib.contextmanager
    def on(self, engine: str, *, is_first: bool = False) -> Iterator[Payments]:
        own = {
            "THREADA_SMTP_URL": self.mail.url,
            "THREADA_PUBLIC_URL": "http://localhost",
            "CALLBACK_KEY": KEY,
            **self.engines[engine],
        }
        with running_payments(self.folder, again=self.receiver, **own) as payments:
            if is_first:
                payments.open_banks(self.folder, retry={"attempts": 20, "backoff": 4, "max_backoff": "PT10S"})
                payments.apply(self._calls_back())
                for person in PEOPLE:
                    payments.server.manage(
                        "shell", "-v", "0", "-c",
                        "from threada_site.tenancy.models import User; "
                        f"User.objects.filter(username={person!r}).update(email='{person}@example.org')",
                    )  # fmt: skip
                    self.tokens[person] = payments.server.manage(
                        "create_credential", "--tenant", "demo", "--principal", person, "--kind", "human",
                        "--scopes", "workitems:read decisions:decide",
                    ).strip()  # fmt: skip
            yield payments

    def query_offline(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query while no process of the instance runs."""
        cluster = postgres.ensure_running(self.folder / "data")
        try:
            with psycopg.connect(**cluster.conninfo(user=cluster.superuser, dbname=EMBEDDED_DATABASE)) as database:
                return database.execute(query.encode()).fetchall()
        finally:
            postgres.stop(self.folder / "data")

    def _calls_back(self) -> Path:
        path = self.folder / "calls-back.json"
        action = {
            "method": "POST",
            "path": "/pay",
            "body": {"amount": "${item.payload.amount_minor}"},
            "completes": "callback",
            "callback_within": "PT2H",
            "resolves": True,
        }
        spec = {
            "connector": "http",
            "base_url": f"{self.receiver.url}/{CALLS_BACK}",
            "idempotent": True,
            "timeout": "PT10S",
            "callback_secrets": [{"env": "CALLBACK_KEY"}],
            "actions": {"pay": action},
        }
        path.write_text(json.dumps({"kind": "Integration", "id": CALLS_BACK, "spec": spec}))
        return path


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    require_broker()
    broker = {**shared_broker().environment(), "THREADA_ENGINE": "celery"}
    receiver, mail = Receiver(tmp_path), MailServer()  # nothing listens on the mail server's port yet
    try:
        yield Instance(
            tmp_path, receiver, mail, {"procrastinate": {"THREADA_ENGINE": "procrastinate"}, "celery": broker}
        )
    finally:
        receiver.stop()
        postgres.stop(tmp_path / "data")


def test_all_work_is_done_once_after_switching_engines_and_back(instance: Instance) -> None:
    with instance.on("procrastinate", is_first=True) as payments:
        first = ask(payments)
        waits = explained(payments, first)
    left = dict(
        instance.query_offline(
            "SELECT task_name, count(*) FROM procrastinate_jobs WHERE queueing_lock IS NULL GROUP BY 1"
        )
    )
    print(f"\nstopped on procrastinate, left: {left}")
    assert left["workitems.run_execution"] >= 5
    assert left["workitems.send_message"] >= 2

    with instance.on("celery") as payments:
        assert "jobs were left with procrastinate: the worker takes them over" in payments.server.log.read_text()
        assert explained(payments, first) == waits
        took = finish(payments, instance, first)
        print(f"all done on Celery {took:.0f} s after it was ready")
        assert_done_once(payments, instance, first)
        assert json.loads(payments.server.manage("status", "--json"))["jobs_left_behind"] == 0
        instance.mail.stop()
        second = ask(payments)
        until(lambda: number(payments, IN_BROKER) > 0 and number(payments, IN_OUTBOX) > 0)
        in_broker, in_outbox = number(payments, IN_BROKER), number(payments, IN_OUTBOX)
        lose_power(payments)
    held = messages(instance)
    print(f"power lost on Celery: {in_broker} rows published, {in_outbox} not; the broker held {held} messages")
    assert held > 0

    with instance.on("procrastinate") as payments:
        assert "jobs were left with celery: the worker takes them over" in payments.server.log.read_text()
        took = finish(payments, instance, second)
        print(f"all done on procrastinate {took:.0f} s after it was ready")
        assert_done_once(payments, instance, first, second)
        until(lambda: number(payments, "SELECT count(*) FROM tenancy_job") == 0)
        assert messages(instance) >= held  # no worker has taken them

    with instance.on("celery") as payments:
        until(lambda: messages(instance) == 0)  # remaining messages name deleted rows
        assert_done_once(payments, instance, first, second)
        payments.server.manage("verify_receipts", "--tenant", "demo")


IN_BROKER: Final = "SELECT count(*) FROM tenancy_job WHERE published_at IS NOT NULL AND taken_at IS NULL"
IN_OUTBOX: Final = "SELECT count(*) FROM tenancy_job WHERE published_at IS NULL AND task = 'workitems.run_execution'"
MAILS_OPEN: Final = "SELECT count(*) FROM workitems_noticemessage WHERE status IN ('due', 'sending')"
OPEN: Final = "SELECT count(*) FROM integrations_execution WHERE status IN ('awaiting_approval', 'started', 'running') "
NEW: Final = "SELECT count(*) FROM workitems_workitem WHERE status = 'new'"


def ask(payments: Payments) -> Work:
    """Request work of every kind: refused for now, answered later, waiting for people, answered slowly, just
    created."""
    work = Work()
    payments.receiver.behave(
        {
            f"/{KEEPS}/pay/Umbrella": {"status": 503},
            f"/{KEEPS}/pay/Hooli": {"dedupe": True, "delay_s": SLOW_S},
            f"/{FORGETS}/pay/Hooli": {"delay_s": SLOW_S},
            f"/{CALLS_BACK}": {"dedupe": True, "status": 202, "body": {"accepted": True}},
        }
    )
    work.refused = [execute(payments, work, KEEPS, vendor="Umbrella") for _ in range(3)]
    work.called_back = [execute(payments, work, CALLS_BACK)]
    work.awaiting = [execute(payments, work, KEEPS, vendor="Stark", amount=2_000_000)]
    until(lambda: number(payments, f"{OPEN} AND waiting_until IS NOT NULL") == 1)
    until(lambda: number(payments, f"{MAILS_OPEN} AND attempts > 0") >= len(PEOPLE))
    until(lambda: {key_of(each) for each in payments.receiver.requests()} >= set(work.refused))
    for _ in range(10):
        for bank in (KEEPS, FORGETS):
            execute(payments, work, bank)
    for amount in (1, 2, 3):
        payments.hand_in({"vendor": "Hooli", "amount_minor": amount})
    return work


def finish(payments: Payments, instance: Instance, work: Work) -> float:
    """Let the receiver accept, the mail server answer, people vote, the callback arrive. Return the time until all
    ended."""
    began = time.monotonic()
    (execution,) = work.called_back
    (call,) = [each for each in payments.receiver.requests() if key_of(each) == execution]
    raw = json.dumps({"status": "succeeded"}).encode()
    signed = signed_headers(raw, message_id="msg_1", at=datetime.now(UTC), keys=[KEY.encode()])
    path = urlsplit(call["headers"]["threada-callback-url"]).path
    answer = payments.server.send("POST", path, raw, list(dict(signed).items()))
    assert answer.status == 204, answer.body
    work.fixed_at = time.time()
    payments.receiver.behave({f"/{KEEPS}": {"dedupe": True}})
    instance.mail.start()
    until(
        lambda: number(payments, MAILS_OPEN) == 0
    )  # notices must be sent before people vote, otherwise they are not needed
    for execution in work.awaiting:
        approve(payments, instance, work.item[execution])
    for query in (OPEN, NEW, MAILS_OPEN):
        until(lambda query=query: number(payments, query) == 0)
    return time.monotonic() - began


def assert_done_once(payments: Payments, instance: Instance, *works: Work) -> None:
    """Assert that every execution has ended with one terminal receipt and one effect, and every message was sent
    once."""
    banks = {execution: bank for work in works for execution, bank in work.bank.items()}
    found = rows(
        payments,
        "SELECT e.id, e.status, array_agg(r.kind::text) FROM integrations_execution e JOIN telemetry_receipt r ON "
        "r.execution_id = e.id AND r.kind IN ('execution.succeeded', 'execution.failed', 'execution.outcome_unknown') "
        "GROUP BY e.id, e.status",
    )
    ended = {ids.public_id(ids.EXECUTION, row[0]): row[1] for row in found}
    assert set(ended) == set(banks)
    assert [row for row in found if row[2] != [f"execution.{row[1]}"]] == []
    print(dict(Counter(f"{banks[execution]} {status}" for execution, status in ended.items())))
    assert {ended[execution] for execution, bank in banks.items() if bank != FORGETS} == {"succeeded"}
    assert set(ended.values()) <= {"succeeded", "outcome_unknown"}
    refused = {execution: work.fixed_at for work in works for execution in work.refused}
    seen = payments.receiver.requests()
    effects = Counter(key_of(each) for each in seen if each["effect"] and each["at"] > refused.get(key_of(each), 0.0))
    assert {execution: effects[execution] for execution in banks if ended[execution] == "succeeded"} == {
        execution: 1 for execution in banks if ended[execution] == "succeeded"
    }
    requests = Counter(map(key_of, seen))
    assert all(requests[execution] <= 1 for execution, bank in banks.items() if bank == FORGETS)
    notices = [(to, mail["Message-ID"]) for to, mail in instance.mail.taken if mail["Message-ID"].startswith("<nm_")]
    told = Counter(notices)  # not the mails to owners of accounts, about tokens issued in their name
    sent = number(payments, "SELECT count(*) FROM workitems_noticemessage WHERE status = 'sent'")
    assert set(told.values()) == {1}
    assert len(told) == sent >= len(PEOPLE) * len(works)


def execute(payments: Payments, work: Work, bank: str, *, vendor: str = "Hooli", amount: int = 5) -> str:
    item = payments.hand_in({"vendor": vendor, "amount_minor": amount})
    execution = payments.execute(item, bank)
    work.bank[execution], work.item[execution] = bank, item
    return execution


def approve(payments: Payments, instance: Instance, item: str) -> None:
    steps = payments.server.send("GET", f"/decision-steps?work_item_id={item}").json()["data"]
    (step,) = [each for each in steps if each["status"] == "pending"]
    for person in PEOPLE:
        vote = {"decision": "approve", "envelope_sha256": step["envelope_sha256"]}
        voter = replace(payments.server, token=instance.tokens[person])
        answer = voter.send("POST", f"/decision-steps/{step['decision_step_id']}/votes", json.dumps(vote).encode())
        assert answer.status == 201, answer.body


def explained(payments: Payments, work: Work) -> list[Any]:
    """Return the explanations of cases that wait for others than a worker; they do not depend on the engine."""
    items = [work.item[execution] for execution in (*work.called_back, *work.awaiting)]
    return [payments.server.send("GET", f"/work-items/{item}/explain").json() for item in items]


def lose_power(payments: Payments) -> None:
    """Kill every process of the instance except the database's at once."""
    up = psutil.Process(payments.server.process.pid)
    for process in [up, *up.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name() != "postgres":
                process.kill()


def messages(instance: Instance) -> int:
    """Return the number of untaken messages in the instance's queues at the broker."""
    own = instance.engines["celery"]
    with Connection(own["THREADA_BROKER_URL"]) as broker:
        return sum(
            broker.channel().queue_declare(f"{own['THREADA_BROKER_PREFIX']}.{pool.name}", passive=True).message_count
            for pool in all_pools(4)
        )


def key_of(request: dict[str, Any]) -> str:
    return str(request["headers"]["idempotency-key"])


def rows(payments: Payments, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(payments.server.database_url) as database:
        return database.execute(query.encode()).fetchall()


def number(payments: Payments, query: str) -> int:
    return int(rows(payments, query)[0][0])


until = partial(waiting.until, seconds=DONE_WITHIN_S)
