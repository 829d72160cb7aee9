"""Votes name the envelope that was shown. A vote on another envelope is refused with the difference."""

from __future__ import annotations

from typing import Any

import pytest

from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.office import BANK, RULES, Office
from threada_site.kernel import errors
from workitems.executions.close_item import edit_payload
from workitems.models import DecisionStep, Vote

pytestmark = pytest.mark.django_db

STRICTER = {**RULES[1], "when": "ctx.action == 'pay'", "reason": "EVERY"}


def vote(office: Office, step: DecisionStep, sha256: str) -> Any:
    body = {"decision": "approve", "envelope_sha256": sha256}
    return office.api("fay").post(f"/decision-steps/{step.public_id}/votes", body)


def test_the_error_contains_the_difference_to_the_envelope_that_was_shown(office: Office) -> None:
    item, old, _ = office.awaiting()
    office.on_item(item, lambda locked, ctx: edit_payload(locked, {"amount": 700, "vendor": "Hooli"}, ctx=ctx))
    office.put_bank(base_url="http://127.0.0.1:10")
    started = office.execute(item)
    new = started.step
    assert new is not None
    answer = vote(office, new, old.envelope_sha256)
    assert (answer.status_code, answer.json()["reason_code"]) == (409, "envelope_changed")
    assert answer.json()["current_decision_step_id"] == new.public_id
    assert answer.json()["envelope_sha256"] == new.envelope_sha256
    changes = {change["pointer"]: change for change in answer.json()["difference"]["changes"]}
    assert sorted(changes) == [
        "/idempotency_key",
        "/integration/version_id",
        "/request/body/amount",
        "/request/url",
        "/work_item/payload_sha256",
        "/work_item/version",
    ]
    assert changes["/request/body/amount"] == {"pointer": "/request/body/amount", "from": 500, "to": 700}
    assert changes["/request/url"] == {
        "pointer": "/request/url",
        "from": "http://127.0.0.1:9/payments",
        "to": "http://127.0.0.1:10/payments",
    }
    assert changes["/work_item/version"] == {"pointer": "/work_item/version", "from": 1, "to": 2}
    assert answer.json()["difference"]["omitted"] == 0
    assert office.count(Vote) == 0


def test_an_envelope_of_another_item_gives_no_difference(office: Office) -> None:
    _, step, _ = office.awaiting()
    _, other, _ = office.awaiting(987_654_321)
    for sha256 in (other.envelope_sha256, "0" * 64):
        answer = vote(office, step, sha256)
        assert (answer.status_code, answer.json()["reason_code"]) == (409, "envelope_changed")
        assert answer.json()["difference"] is None
    assert "987654321" not in vote(office, step, other.envelope_sha256).content.decode()


def test_who_decides_on_a_superseded_step_is_shown_its_successor(office: Office) -> None:
    office.put_rules(
        {"id": "all", "when": "true", "effect": "require_approval", "at": "intake", "reason": "ALL"}
        | {"approvals": {"role": "finance"}}
    )
    item = office.decided(5)
    old = office.pending_step(item)
    office.on_item(item, lambda locked, ctx: edit_payload(locked, {"amount": 7}, ctx=ctx))
    assert vote(office, old, old.envelope_sha256).json()["reason_code"] == "step_closed"  # nothing is decided yet
    run_jobs()
    new = office.pending_step(item)
    answer = vote(office, old, old.envelope_sha256).json()
    assert (answer["reason_code"], answer["current_decision_step_id"]) == ("envelope_changed", new.public_id)
    assert [change["pointer"] for change in answer["difference"]["changes"]] == [
        "/work_item/payload_sha256",
        "/work_item/version",
    ]
    assert vote(office, old, new.envelope_sha256).json()["reason_code"] == "step_closed"
    assert vote(office, new, new.envelope_sha256).status_code == 201
    assert vote(office, new, old.envelope_sha256).json()["reason_code"] == "step_closed"


def test_secrets_are_never_in_it(office: Office, bank: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFICE_SECRET", "hush-hush")
    monkeypatch.setenv("OFFICE_OTHER", "hush-too")
    office.put_bank(auth={"scheme": "bearer", "secret": {"env": "OFFICE_SECRET"}})
    item, old, _ = office.awaiting()
    office.on_item(item, lambda locked, ctx: edit_payload(locked, {"amount": 700}, ctx=ctx))
    office.put_bank(auth={"scheme": "basic", "username": "t", "secret": {"env": "OFFICE_OTHER"}})
    new = office.execute(item).step
    assert new is not None
    answer = vote(office, new, old.envelope_sha256)
    pointers = {change["pointer"] for change in answer.json()["difference"]["changes"]}
    assert {"/request/auth/scheme", "/request/auth/secret/env"} <= pointers
    assert "hush" not in answer.content.decode()
    (refused,) = office.bodies("request.refused")
    assert "700" not in str(refused)


def test_sealing_the_same_again_gives_the_same_envelope(office: Office) -> None:
    """Building the same envelope again gives the same bytes, so nothing differs."""
    _, step, _ = office.awaiting()
    office.put_bank(**BANK)
    with pytest.raises(errors.EnvelopeChanged) as refused:
        office.vote(step, "fay", envelope_sha256="f" * 64)
    assert refused.value.extensions["difference"] is None
    assert office.vote(step, "fay").counted
