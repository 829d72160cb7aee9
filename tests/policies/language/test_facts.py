from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

from policies.language.facts import CONTEXT_FACTS, ITEM_FACTS, VARIABLES, Point, build_facts
from threada_site.kernel.json.canonical import canonical_bytes

NOW = datetime(2026, 1, 31, 10, 30, tzinfo=timezone(timedelta(hours=1)))


def test_facts_are_always_complete() -> None:
    facts = build_facts(point=Point.INTAKE, now=NOW)
    assert facts == {
        "item": {
            "id": "",
            "workflow": "",
            "channel": "",
            "payload": {},
            "confidence": 1.0,
            "risk_flags": [],
            "requester": "",
            "requester_groups": [],
            "data_class": "internal",
            "version": 1,
        },
        "ctx": {
            "point": "intake",
            "action": "",
            "integration": "",
            "actor": "",
            "actor_kind": "human",
            "roles": [],
            "now": "2026-01-31T09:30:00.000Z",
        },
        "input": {},
        "lists": {},
    }
    assert tuple(facts) == VARIABLES
    assert tuple(facts["item"]) == tuple(ITEM_FACTS)
    assert tuple(facts["ctx"]) == tuple(CONTEXT_FACTS)


def test_stored_facts_round_trip() -> None:
    payload = {
        "whole": 5.0,
        "half": 2.5,
        "zero": -0.0,
        "thousand": 1e3,
        "deep": [{"a": 1.0}],
        "big": 1e21,
        "flag": True,
    }
    facts = build_facts(
        point="execute",
        now=datetime(2026, 1, 1, tzinfo=UTC),
        payload=payload,
        input=[7.0],
        confidence=1,
        roles={"b", "a"},
        lists={"l": ("x", 1)},
    )
    assert facts["ctx"]["roles"] == ["a", "b"]
    assert [type(value) for value in facts["item"]["payload"].values()] == [int, float, int, int, list, float, bool]
    assert type(facts["item"]["confidence"]) is float
    back = json.loads(canonical_bytes(facts))
    back["item"]["confidence"] = float(back["item"]["confidence"])
    assert repr(back["item"]["payload"]["deep"]) == repr(facts["item"]["payload"]["deep"])
    assert back == facts
    assert facts["lists"] == {"l": ["x", 1]}
