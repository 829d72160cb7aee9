"""Decisions are reproducible: equal facts and versions give an equal answer in another process or a newer engine."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from typing import Any, Final

import pytest
from django.conf import settings

from policies.deciding.decide import decide
from policies.documents.policy import parse_policy
from policies.language.evaluation import RulebookEntry, compile_policy, evaluate
from policies.language.facts import build_facts
from policies.publication.publish import upsert_policy
from tests.examples import long_run
from tests.factories import acting_system, make_tenant
from tests.journeys.worker import database_url
from tests.policies.rulebooks import TENANT, asking, put_in_force, put_payment_run, rule, spec
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from threada_site.kernel.json.canonical import canonical_sha256

ANSWERS: Final = 10_000
STORED: Final = long_run(10_000)
WIDE: Final = spec(
    rule("doubtful", "review", "item.confidence < 0.2", overridable=True),
    rule("flagged", "deny", "item.risk_flags.exists(f, f == 'fraud')"),
    rule("open", "allow"),
)
NARROW: Final = spec(
    rule("sanctioned", "deny", "item.payload.vendor in lists.sanctioned_vendors"),
    rule("large", "require_approval", "item.payload.amount_minor > 1000", approvals={"role": "finance", "count": 2}),
    rule("huge", "require_approval", "item.payload.amount_minor > 100000", approvals={"group": "board"}),
    rule("known", "allow", "item.payload.vendor == 'Hooli'", overrides=["wide/doubtful"]),
    rule("odd", "deny", "item.payload.amount_minor % 7 == 0 && ctx.action == 'pay'"),
    rule("open", "allow"),
)
# Digest of all answers below. It depends only on the evaluation, not on time, machine or process.
DIGEST: Final = "9939393bf7b9110d60b1fd3fd1f6ab4406c1cb8e471fd59a614d50e6dda22db2"


def cases(number: int) -> list[dict[str, Any]]:
    """Return requests of every kind, including failing rules, identical in every run."""
    dice = random.Random(12)
    found = []
    for _ in range(number):
        payload: dict[str, Any] = {"vendor": dice.choice(["Hooli", "Initech", "Acme"])}
        if dice.random() < 0.97:
            payload["amount_minor"] = int(10 ** dice.uniform(0, 6))
        action = dice.choice(["", "pay"])
        found.append(
            {
                "payload": payload,
                "channel": dice.choice(["", "web_main"]),
                "confidence": dice.choice([0.1, 0.19999, 0.2, 1.0]),
                "risk_flags": dice.choice([(), ("new_vendor",), ("fraud", "new_vendor")]),
                **({"action": action} if action else {}),
            }
        )
    return found


def test_answers_equal_those_of_every_earlier_engine() -> None:
    """Compare the digest of 10,000 answers with a recorded one, to detect changes caused by dependency updates."""
    entries = [
        RulebookEntry(name, f"pv_{name}", scope, compile_policy(parse_policy(document)))
        for name, scope, document in (("wide", "tenant", WIDE), ("narrow", "workflow", NARROW))
    ]
    instant = clock.now().replace(2026, 1, 1)
    answers = []
    for case in cases(ANSWERS):
        point = "execute" if "action" in case else "intake"
        facts = build_facts(point=point, now=instant, workflow="w", lists={"sanctioned_vendors": ["Initech"]}, **case)
        verdict = evaluate(entries, facts)
        answers.append([verdict.outcome, verdict.reason_codes, [error.rule for error in verdict.errors]])
    assert canonical_sha256([[str(a), list(b), c] for a, b, c in answers]) == DIGEST


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(600)
def test_stored_decisions_are_the_same_in_another_process() -> None:
    tenant = make_tenant("acme")
    ctx = acting_system(tenant)
    with unit_of_work(tenant.id):
        put_payment_run(ctx)
        put_in_force(WIDE, TENANT, ctx=ctx, policy="wide")
        put_in_force(NARROW, ctx=ctx)
    asked = cases(STORED)
    for start in range(0, STORED, 500):
        with unit_of_work(tenant.id):
            for case in asked[start : start + 500]:
                decide(asking(**case), ctx=ctx)
    for against in ("recorded", "in_force"):
        assert replayed_elsewhere(against) == {"replayed": STORED, "flipped": 0, "not_replayable": 0, "flips": []}
    with unit_of_work(tenant.id):
        upsert_policy("payments", spec(rule("no", "deny")), ctx=ctx)
    assert replayed_elsewhere("recorded", "--version", "1")["flipped"] == 0
    assert replayed_elsewhere("in_force")["flipped"] == 0


def replayed_elsewhere(against: str, *which: str) -> Any:
    """Return the output of `manage.py policy replay` in a separate process."""
    command = [sys.executable, "manage.py", "policy", "replay", "payments", "--tenant", "acme", "--json"]
    done = subprocess.run(
        [*command, "--against", against, *which],
        cwd=settings.THREADA_BASE_DIR,
        env={**os.environ, "DATABASE_URL": database_url()},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)
