"""Verdicts of the evaluator equal those of this process, for every rulebook that the tests know."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from policies.documents.policy import parse_policy
from policies.evaluator.messages import policy_test_from_json, policy_test_json, rule_from_json, rule_json
from policies.evaluator.process import EvaluatorProcess, Limits
from policies.evaluator.sessions import SentList, Session
from policies.language.approvals import to_json
from policies.language.evaluation import RulebookEntry, Verdict, compile_policy, evaluate
from policies.language.facts import build_facts
from policies.language.rule_tests import run_tests
from tests.policies.deciding.test_same_answers import NARROW, WIDE, cases
from tests.policies.random_rulebooks import random_facts, random_rulebook
from tests.policies.rulebooks import PAYMENTS, rule, spec
from threada_site.kernel.documents.reader import load_documents

ROOT = Path(__file__).resolve().parents[3]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    process = EvaluatorProcess(Limits(10.0, 60.0, 512 * 1024 * 1024))
    yield Session(process)
    process.end()


def same(session: Session, entries: list[RulebookEntry], facts: dict[str, Any]) -> Verdict:
    lists = {name: SentList(f"{name} {items}", items) for name, items in facts["lists"].items()}
    there = session.verdict(entries, {name: value for name, value in facts.items() if name != "lists"}, lists)
    here = evaluate(entries, facts)
    assert dataclasses.replace(there, duration_us=0) == dataclasses.replace(here, duration_us=0)
    assert (there.approvals and to_json(there.approvals)) == (here.approvals and to_json(here.approvals))
    return here


def test_random_rulebooks(session: Session) -> None:
    dice = random.Random(40)
    outcomes = set()
    for _ in range(300):
        outcomes.add(same(session, random_rulebook(dice).entries(), random_facts(dice)).outcome)
    assert len(outcomes) == 4


def test_the_answers_of_every_earlier_engine(session: Session) -> None:
    entries = [
        RulebookEntry(name, f"pv_{name}", scope, compile_policy(parse_policy(document)))
        for name, scope, document in (("wide", "tenant", WIDE), ("narrow", "workflow", NARROW))
    ]
    for case in cases(300):
        point = "execute" if "action" in case else "intake"
        lists = {"sanctioned_vendors": ["Initech"]}
        same(session, entries, build_facts(point=point, now=NOW, workflow="w", lists=lists, **case))


APPROVALS: list[dict[str, Any]] = [
    {"role": "finance", "count": 2, "expires_after": "P3D", "escalate_after": "PT4H", "escalate_to": {"role": "cfo"}},
    {"any": [{"role": "finance"}, {"all": [{"role": "legal"}, {"group": "board", "count": 2}]}], "veto": 2},
    {"stages": [{"role": "finance"}, {"any": [{"role": "legal"}, {"group": "board"}]}], "step_up": True},
    {"all": [{"all": [{"role": "finance"}]}, {"role": "legal"}], "exclude": ["policy_author"]},
    {"role": "finance", "working_time": {"expires_after": "PT16H", "respond_within": "PT4H"}},
]


@pytest.mark.parametrize("number", range(len(APPROVALS)))
def test_approvals_and_their_merging(session: Session, number: int) -> None:
    chosen = APPROVALS[number:] + APPROVALS[:1]
    rules = [rule(f"asks-{place}", "require_approval", approvals=asked) for place, asked in enumerate(chosen)]
    facts = build_facts(point="execute", now=NOW, action="pay")
    for document in (spec(rules[0]), spec(*rules)):
        compiled = compile_policy(parse_policy(document))
        for own in compiled.rules:
            there = rule_from_json(orjson.loads(orjson.dumps(rule_json(own))))
            assert there == own
        verdict = same(session, [RulebookEntry("p", "pv_1", "tenant", compiled)], facts)
        assert verdict.outcome == "require_approval"


def test_every_demo_policy_and_its_tests(session: Session) -> None:
    tested = 0
    folders = (ROOT / "threada_site/runtime/demo", ROOT / "workitems/gallery/packs")
    for file in sorted(file for folder in folders for file in folder.glob("*.yaml")):
        for found in load_documents(file.read_text(), source=file.name):
            if found.value.get("kind") != "Policy":
                continue
            document = parse_policy(found.value)
            failures = {error.pointer: error.detail for error in run_tests(document, lists={})}
            key, read = session.load_tested(document.rules)
            lists = {name: SentList("empty", []) for name in read or ()}
            for test in document.tests:
                assert policy_test_from_json(orjson.loads(orjson.dumps(policy_test_json(test)))) == test
                assert session.test_failure(key, test, policy=document.id or "", lists=lists) == (
                    failures.get(test.pointer),
                    False,
                )
                tested += 1
    assert tested > 20


def test_failing_tests_say_the_same(session: Session) -> None:
    expected = {"given": {"item": {"payload": {"vendor": "x", "amount_minor": 1}}}, "expect": {"effect": "deny"}}
    document = parse_policy({**PAYMENTS, "tests": [expected, {"expect": {"effect": "allow"}}]})
    here = run_tests(document, lists={"sanctioned_vendors": ["Initech"]})
    key, _ = session.load_tested(document.rules)
    lists = {"sanctioned_vendors": SentList("failing", ["Initech"])}
    there = [session.test_failure(key, test, policy="", lists=lists)[0] for test in document.tests]
    assert there == [error.detail for error in here]
    assert len(here) == 2
