"""Conditions and schemas that would hold the interpreter for seconds, while other threads of the process answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from policies.documents.payload_schema import validate
from policies.documents.policy import parse_policy
from policies.language.evaluation import RulebookEntry, compile_policy, evaluate
from policies.language.facts import build_facts
from tests.policies.random_rulebooks import NOW
from tests.policies.rulebooks import rule, spec

pytestmark = pytest.mark.adversarial

SELF = "item.payload.xs == item.payload.xs"
CONDITIONS = {
    "itself": f"item.payload.xs.all(x, {' && '.join([SELF] * 80)})",
    "nested": f"item.payload.xs.all(x, item.payload.xs.all(y, {SELF}))",
    "maps": "item.payload.xs.all(x, item.payload.ms == item.payload.ms)",
    "members": "item.payload.xs.all(x, item.payload.xs.all(y, !(item.payload.xs in item.payload.rows)))",
    "text": "!item.payload.text.contains(item.payload.part)",
}
PAYLOAD = {
    "xs": list(range(1000)),
    "ms": {str(number): {"a": number} for number in range(5000)},
    "rows": [[*range(999), -number] for number in range(200)],
    "text": "a" * 400_000,
    "part": "a" * 200_000 + "b",
}
LONGEST_PAUSE_S = 1.5


def longest_pause(work: Callable[[], object]) -> float:
    """Return the longest time that a thread waits to run while `work` runs in another one."""
    thread = threading.Thread(target=work)
    longest, last = 0.0, time.monotonic()
    thread.start()
    while thread.is_alive():
        time.sleep(0.005)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    return longest


@pytest.mark.parametrize("name", CONDITIONS)
def test_other_threads_run_while_an_expensive_condition_is_evaluated(name: str) -> None:
    document = parse_policy(spec(rule("slow", "deny", CONDITIONS[name])))
    entries = [RulebookEntry("payments", "pv_1", "tenant", compile_policy(document))]
    facts = build_facts(point="intake", now=NOW, payload=PAYLOAD)
    verdicts: list[Any] = []
    pause = longest_pause(lambda: verdicts.append(evaluate(entries, facts)))
    assert verdicts[0].reason_codes == ("policy_too_slow",)
    assert [error.rule for error in verdicts[0].errors] == ["slow"]
    assert pause < LONGEST_PAUSE_S


def test_other_threads_run_while_a_payload_is_checked() -> None:
    schema = {"items": {"enum": [{"a": number} for number in range(10_000)]}}
    payload = [{"a": 9_999}] * 5_000
    validate(schema, [])
    assert longest_pause(lambda: validate(schema, payload)) < LONGEST_PAUSE_S
