"""One tenant evaluates expensive drafts in every way at once; another tenant's payments take their usual time."""

from __future__ import annotations

import json
import os
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from tests.adversarial.banks import KEEPS
from tests.adversarial.payments import Payments, running_payments
from tests.adversarial.server import Answer, Server
from tests.adversarial.waiting import until
from tests.policies.evaluator.slow import PAYLOAD, SCHEMA, slow_spec
from tests.policies.rulebooks import rule, spec

pytestmark = [pytest.mark.adversarial, pytest.mark.quiet, pytest.mark.timeout(900)]

EACH: Final = 6
DECISIONS: Final = 30
SECONDS: Final = 8.0
AT_MOST: Final = 4.0
"""The aim is twice; both are measured in one run on a machine with other work."""
QUICK_KILLS: Final = {"THREADA_EVALUATOR_CPU_MS": "200"}
RULES: Final = 300
PAYMENT: Final = {"vendor": "Hooli", "amount_minor": 5}


@dataclass
class Hostile:
    """A tenant with a cheap policy in force, decisions, and expensive drafts."""

    server: Server
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def post(self, path: str, body: dict[str, Any]) -> Answer:
        return self.server.send("POST", path, json.dumps(body).encode())

    def note(self, kind: str, answer: Answer) -> Answer:
        self.answers[kind, answer.status] += 1
        if answer.body:
            said = answer.json()
            for code in [said.get("reason_code"), *said.get("reason_codes", ()), *_field_codes(said)]:
                self.reasons[str(code)] += code is not None
        return answer

    def simulate(self, _number: int) -> Answer:
        body = {"facts": {"item": {"workflow": "numbers", "payload": PAYLOAD}}}
        return self.note("simulation", self.post("/policies/expensive/versions/2/simulate", body))

    def test_rules(self, number: int) -> Answer:
        given = {"item": {"payload": PAYLOAD, "id": f"wi_{number}"}}
        document = slow_spec(RULES, tests=[{"given": given, "expect": {"effect": "allow"}}])
        return self.note("rule test", self.post("/policies/expensive/versions", {"document": document}))

    def replay(self, _number: int) -> Answer:
        answer = self.post("/policies/expensive/versions/2/replay", {})
        replay = self.note("replay", answer).json().get("policy_replay_id")
        while replay and self.server.send("GET", f"/policy-replays/{replay}").json()["status"] in _UNENDED:
            time.sleep(0.5)
            if self.is_over.is_set():
                break
        return answer

    is_over: threading.Event = field(default_factory=threading.Event)


_UNENDED: Final = ("requested", "running")


def _field_codes(said: dict[str, Any]) -> list[str]:
    return [entry["code"] for entry in said.get("errors", ()) if "code" in entry]


@pytest.fixture(scope="module")
def payments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Payments]:
    limits = "credential=1000 account=100 tenant=1000 address=1000"
    with running_payments(tmp_path_factory.mktemp("hostile"), THREADA_RATE_LIMITS=limits, **QUICK_KILLS) as running:
        yield running


@pytest.fixture(scope="module")
def hostile(payments: Payments) -> Hostile:
    server = payments.server
    server.manage("create_tenant", "hostile", "--steward", "keeper-1")
    said = server.manage(
        *("create_credential", "--tenant", "hostile", "--principal", "author", "--kind", "service"),
        *("--owner", "keeper-1"),
        *("--role", "policy_author", "--role", "requester", "--scopes"),
        "workitems:read workitems:write policies:write",
    )
    token = next(word for word in said.split() if word.startswith("thr_"))
    documents = [
        {"kind": "Workflow", "id": "numbers", "spec": {"payload_schema": SCHEMA, "actions": []}},
        {"kind": "Policy", "id": "expensive", "spec": spec(rule("open", "allow"))},
        {"kind": "Overlay", "policy": "expensive", "scope": {"workflow": "numbers"}},
    ]
    path = payments.folder / "hostile.yaml"
    path.write_text("\n---\n".join(map(json.dumps, documents)))
    server.manage("apply", str(path), "--tenant", "hostile")
    found = Hostile(replace(server, token=token))
    for _ in range(DECISIONS):
        answer = found.post("/work-items", {"workflow_id": "numbers", "payload": PAYLOAD})
        assert answer.status == 201, answer.body
    answer = found.post("/policies/expensive/versions", {"document": slow_spec(RULES)})
    assert answer.status == 201, answer.body
    ends_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86_400))
    answer = found.post("/policies/expensive/versions/2/shadow", {"ends_at": ends_at})
    assert answer.status == 201, answer.body
    return found


@contextmanager
def attack(hostile: Hostile) -> Iterator[None]:
    """Run six simulations, six sets of rule tests and six replays at the same time, again and again.

    They wait for `Retry-After`: clients that do not are stopped by the rate limits.
    """
    hostile.is_over.clear()

    def insist(ask: Callable[[int], Answer], number: int) -> None:
        while not hostile.is_over.is_set():
            number += EACH
            if ask(number).status == 429:
                time.sleep(1.0)

    threads = [
        threading.Thread(target=insist, args=(ask, number))
        for ask in (hostile.simulate, hostile.test_rules, hostile.replay)
        for number in range(EACH)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        hostile.is_over.set()
        for thread in threads:
            thread.join()


def measured(payments: Payments, seconds: float) -> tuple[list[float], list[float]]:
    """Return the durations of allowed execute requests, and from each until the receiver has the payment."""
    requests, arrivals = [], []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        item = payments.hand_in(PAYMENT)
        seen = len(payments.receiver.requests())
        began = time.monotonic()
        payments.execute(item, KEEPS)
        requests.append(time.monotonic() - began)
        until(lambda seen=seen: len(payments.receiver.requests()) > seen, seconds=120)
        arrivals.append(time.monotonic() - began)
        time.sleep(0.1)
    return requests, arrivals


def test_evaluating_expensive_drafts_does_not_delay_another_tenant(payments: Payments, hostile: Hostile) -> None:
    measured(payments, 3.0)
    idle = measured(payments, SECONDS)
    with attack(hostile):
        time.sleep(2)
        hostile.post("/work-items", {"workflow_id": "numbers", "payload": PAYLOAD})  # for the shadow
        until(lambda: _evaluators(payments.server) > 0, seconds=60)  # each is killed after its time
        attacked = measured(payments, SECONDS)
    medians = [[statistics.median(each) for each in side] for side in (idle, attacked)]
    worst = [[max(each) for each in side] for side in (idle, attacked)]
    ratios = [after / before for before, after in zip(*medians, strict=True)]
    print(
        f"\nidle: execute {medians[0][0] * 1000:.0f} ms (at most {worst[0][0] * 1000:.0f}), payment "
        f"{medians[0][1] * 1000:.0f} ms (at most {worst[0][1] * 1000:.0f}); attacked: execute "
        f"{medians[1][0] * 1000:.0f} ms (at most {worst[1][0] * 1000:.0f}), payment {medians[1][1] * 1000:.0f} ms "
        f"(at most {worst[1][1] * 1000:.0f}); ratios {ratios[0]:.2f} and {ratios[1]:.2f}; load {os.getloadavg()[0]:.1f}\n"
        f"{dict(hostile.answers)} {dict(hostile.reasons)}"
    )
    replays = hostile.server.send("GET", "/policy-replays").json()["data"]
    too_slow = [replay["summary"].get("not_replayable_because", {}).get("too_slow", {}) for replay in replays]
    print(f"replays: {[replay['status'] for replay in replays]}, too slow: {too_slow}")
    assert len(replays) >= EACH
    assert hostile.reasons["evaluator_busy"] > 0
    assert max(ratios) < AT_MOST
    assert "Traceback" not in Path(payments.server.log).read_text()
    assert "internal_error" not in Path(payments.server.log).read_text()


def _evaluators(server: Server) -> int:
    children = psutil.Process(server.process.pid).children(recursive=True)
    found = 0
    for child in children:
        try:
            found += any("policies.evaluator.child" in word for word in child.cmdline())
        except psutil.Error:
            continue
    return found
