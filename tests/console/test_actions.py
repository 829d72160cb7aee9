"""Buttons call the same services as the API: same receipts, same refusals."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from telemetry.models import Receipt
from tests.console.busy import Busy
from tests.console.sign_in import Console, confirm
from tests.factories import make_principal
from tests.journeys.demo import LARGE, SMALL, Demo
from tests.receivers.fixtures import Receiver, receiver
from tests.telemetry.sealed import write_receipts
from threada_site.database.unit_of_work import unit_of_work

__all__ = ["receiver"]

STEP, ITEM, RUN = "workitems_decisionstep", "workitems_workitem", "integrations_execution"


@pytest.fixture
def busy(busy_demo: Busy) -> Busy:
    return busy_demo


def press(browser: Client, model: str, button: str, key: str, /, **sent: str) -> list[str]:
    """Press a button and confirm where it asks. Return the messages of the next page."""
    address = reverse(f"admin:{model}_{button}", args=[key])
    answer = browser.post(address, sent)
    if answer.status_code == 200:
        answer = confirm(browser, address, sent)
    assert answer.status_code == 302, answer.content
    said = [str(message) for message in get_messages(answer.wsgi_request)]
    browser.get("/console/")  # showing the messages removes them
    return said


def receipts(demo: Demo, **filters: Any) -> list[Receipt]:
    with unit_of_work(demo.tenant.id):
        return list(Receipt.objects.filter(**filters).order_by("id"))


def comparable_body(receipt: Receipt) -> dict[str, Any]:
    """Return a receipt's body without values that differ between two runs: ids, digests, times, entry point."""
    body = orjson.loads(bytes(receipt.body))
    return {
        "kind": body["kind"],
        "subject": sorted(body["subject"]),
        "status": body["subject"].get("status"),
        "actor": {name: value for name, value in body["actor"].items() if name in ("kind", "principal", "roles")},
        "inputs": sorted(body["inputs"]),
        "policy": sorted(body["policy"]),
        "outcome": {n: v for n, v in body["outcome"].items() if isinstance(v, str | bool) and "_id" not in n},
    }


def test_approving_by_button_leaves_the_receipts_that_the_api_leaves(demo: Demo, busy: Busy, console: Console) -> None:
    by_api = demo.hand_in(LARGE)
    demo.wait()
    demo.execute(by_api)
    step = demo.step_of(by_api)
    for name in ("finance-1", "finance-2"):
        assert demo.vote(name, step).status_code == 201
    said = press(console("finance-1"), STEP, "approve", busy.step, envelope_sha256=busy.envelope_sha256)
    assert said == ["Your approval is recorded. Other votes are still needed."]
    said = press(console("finance-2"), STEP, "approve", busy.step, envelope_sha256=busy.envelope_sha256)
    assert said == ["Your approval is recorded. The approval is approved; the work item is executing."]
    assert demo.item(busy.item)["status"] == demo.item(by_api)["status"] == "executing"
    ours, theirs = demo.story(busy.item), demo.story(by_api)
    assert [event["kind"] for event in ours] == [event["kind"] for event in theirs]
    with unit_of_work(demo.tenant.id):
        pairs = [
            (Receipt.objects.get(body_sha256=a["body_sha256"]), Receipt.objects.get(body_sha256=b["body_sha256"]))
            for a, b in zip(ours, theirs, strict=True)
        ]
    assert [comparable_body(a) for a, _ in pairs] == [comparable_body(b) for _, b in pairs]
    votes = [orjson.loads(bytes(a.body)) for a, _ in pairs if a.kind == "vote.recorded"]
    assert [vote["actor"]["entry_point"] for vote in votes] == ["console", "console"]


def test_rejecting_needs_a_reason_of_the_workflow(demo: Demo, busy: Busy, console: Console) -> None:
    browser = console("finance-1")
    said = press(browser, STEP, "reject", busy.step, envelope_sha256=busy.envelope_sha256)
    assert "(reason_code_required)" in said[0]
    assert demo.item(busy.item)["status"] == "awaiting_approval"
    said = press(
        browser,
        STEP,
        "reject",
        busy.step,
        envelope_sha256=busy.envelope_sha256,
        reason_code="WRONG_AMOUNT",
        comment="A digit too many.",
    )
    assert said == ["Your rejection is recorded. The approval is rejected; the work item is rejected."]
    (refused,) = receipts(demo, kind="request.refused")
    assert (refused.reason_codes, refused.workflow) == (["reason_code_required"], "payment_run")


def test_the_vote_is_for_the_envelope_that_was_shown(demo: Demo, busy: Busy, console: Console) -> None:
    page = console("finance-1").get(reverse(f"admin:{STEP}_change", args=[busy.step])).content.decode()
    assert page.count(f'name="envelope_sha256" value="{busy.envelope_sha256}"') == 2
    said = press(console("finance-1"), STEP, "approve", busy.step, envelope_sha256="0" * 64)
    assert "(envelope_changed)" in said[0]
    assert demo.step_of(busy.item)["votes"] == []
    (refused,) = receipts(demo, kind="request.refused")
    body = orjson.loads(bytes(refused.body))
    assert body["inputs"] == {"method": "POST", "path": reverse(f"admin:{STEP}_approve", args=[busy.step])}
    assert body["actor"]["entry_point"] == "console"


@pytest.mark.parametrize(
    ("role", "code"), [("viewer", "scope_missing"), ("operator", "voter_not_eligible"), ("auditor", "scope_missing")]
)
def test_who_does_not_count_sees_no_button_and_is_refused(
    role: str, code: str, demo: Demo, busy: Busy, console: Console
) -> None:
    make_principal(demo.tenant, "somebody", roles=[role])
    browser = console("somebody")
    page = browser.get(reverse(f"admin:{STEP}_change", args=[busy.step])).content.decode()
    assert "/approve/" not in page
    assert "/reject/" not in page
    said = press(browser, STEP, "approve", busy.step, envelope_sha256=busy.envelope_sha256)
    assert f"({code})" in said[0]
    assert demo.step_of(busy.item)["votes"] == []
    (refused,) = receipts(demo, kind="request.refused")
    assert refused.reason_codes == [code]


def test_buttons_follow_scopes(demo: Demo, busy: Busy, console: Console) -> None:
    make_principal(demo.tenant, "viola", roles=["viewer"])
    browser = console("viola")
    item = browser.get(reverse(f"admin:{ITEM}_change", args=[busy.item])).content.decode()
    assert ">Actions</h2>" not in item
    navigation = browser.get("/console/").content.decode()
    assert "/console/telemetry/receipt/" not in navigation
    assert "/console/workitems/workitem/" in navigation
    assert browser.get("/console/telemetry/receipt/").status_code == 403
    for form in ("policies/policy/new/", "integrations/integration/new/", "policies/overlay/new/"):
        assert browser.get(f"/console/{form}").status_code == 403
        refused = browser.post(f"/console/{form}", {"document": "x", "policy": "payments", "scope": "tenant/"})
        assert refused.status_code == 422
        assert "(scope_missing)" in refused.content.decode()
    assert [receipt.reason_codes for receipt in receipts(demo, kind="request.refused")] == [["scope_missing"]] * 3


def test_actions_accept_only_post(demo: Demo, busy: Busy, console: Console) -> None:
    browser = console("admin")
    for model, action, key in (
        (STEP, "approve", busy.step),
        (ITEM, "cancel", busy.item),
        (RUN, "cancel", busy.execution),
    ):
        assert browser.get(reverse(f"admin:{model}_{action}", args=[key])).status_code == 405


def test_a_denial_is_kept_and_said_in_the_tenants_words(demo: Demo, console: Console) -> None:
    item = demo.hand_in({"vendor": "Initech", "amount_minor": 5})
    said = press(console("admin"), ITEM, "execute", item, action="int_bank/pay")
    assert said[0].endswith("(policy_denied)")
    assert said[1] == "SANCTIONED_VENDOR (policy payments, rule sanctioned-vendor)"
    assert demo.item(item)["status"] == "refused"
    assert [r.reason_codes for r in receipts(demo, kind="request.refused")] == [["policy_denied"]]


def test_execute_cancel_and_resolve_by_button(demo: Demo, busy: Busy, console: Console) -> None:
    admin = console("admin")
    assert press(admin, RUN, "cancel", busy.execution) == ["The execution is cancelled."]
    assert demo.item(busy.item)["status"] == "ready"
    said = press(admin, ITEM, "execute", busy.item, action="int_bank/pay")
    assert said == ["pay on int_bank waits for an approval."]
    assert press(admin, ITEM, "cancel", busy.item, given_reason="Duplicate request.") == ["The work item is cancelled."]
    assert "(transition_not_allowed)" in press(admin, ITEM, "cancel", busy.item)[0]
    other = demo.hand_in(SMALL)
    demo.wait()
    assert "(malformed_json)" in press(admin, ITEM, "execute", other, action="int_bank/pay", input="{")[0]
    assert press(admin, ITEM, "resolve", other) == ["The work item is resolved."]
    assert "unknown_integration" in press(admin, ITEM, "execute", demo.hand_in(SMALL), action="nowhere/pay")[0]


def test_a_receiver_that_vanishes_is_reconciled(
    demo: Demo, console: Console, receiver: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]
    monkeypatch.setenv("BANK_TOKEN", "x")
    demo.put_bank(receiver.url, idempotent=False)
    demo.wait()
    item = demo.hand_in(SMALL)
    demo.wait()
    receiver.behave(fault="close")
    execution = demo.execute(item).json()["execution_id"]
    demo.wait()
    assert demo.execution(execution)["status"] == "outcome_unknown"
    admin = console("admin")
    assert "(invalid_request)" in press(admin, RUN, "reconcile", execution, outcome="succeeded")[0]
    assert "(execution_not_retryable)" in press(admin, RUN, "retry", execution)[0]
    said = press(admin, RUN, "reconcile", execution, outcome="failed", reason="The bank has no such payment.")
    assert said == ["The execution is failed."]
    (refused,) = press(admin, RUN, "retry", execution)
    assert "Request a new execution with /actions/execute" in refused
    assert "execution.reconciled" in demo.kinds(item)


def test_claim_and_release_by_button(demo: Demo, busy: Busy, console: Console) -> None:
    assert press(console("finance-1"), STEP, "claim", busy.step) == ["The step is claimed by you for half an hour."]
    assert "(step_claimed)" in press(console("finance-2"), STEP, "release", busy.step)[0]
    assert press(console("finance-1"), STEP, "release", busy.step) == ["The step is released."]


def test_receipt_is_verified_by_button(demo: Demo, busy: Busy, console: Console) -> None:
    sealed = receipts(demo)
    [said] = press(console("admin"), "telemetry_receipt", "verify", sealed[-1].public_id)
    place = f"as recorded, and are receipt {len(sealed)} of {len(sealed)} in the log that was signed at "
    assert said.startswith(f"The stored bytes hash to {sealed[-1].body_sha256}, {place}")
    write_receipts(demo.tenant, 1)
    receipt = receipts(demo)[-1]
    assert press(console("admin"), "telemetry_receipt", "verify", receipt.public_id) == [
        f"The stored bytes hash to {receipt.body_sha256}, as recorded. The receipt is not sealed yet.",
    ]
    page = console("admin").get(reverse("admin:telemetry_receipt_change", args=[receipt.public_id])).content.decode()
    for block in ("Actor", "Inputs"):
        assert f"<h2>{block}</h2>" in page
