"""Twenty steps with the synchronous client, run where only the client is installed. Print `done` at the end."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import uuid
import zipfile
from pathlib import Path

from threada_client import (
    CredentialRefused,
    EnvelopeChanged,
    InvalidRequest,
    NotFound,
    PolicyDenied,
    RefusedByPolicy,
    Threada,
    ValidationFailed,
    WaitTimedOut,
    verify,
)

LARGE = {"vendor": "Hooli", "amount_minor": 2_000_000, "invoice": f"INV-{uuid.uuid4().hex[:8]}"}


def denial(requester: Threada, item_id: str) -> str:
    """Return the reason of the rule that denies an action on a refused work item."""
    try:
        requester.execute(item_id, "pay", "int_bank")
        raise AssertionError
    except PolicyDenied as refused:
        return str(refused.reasons[0]["reason"])


def main() -> None:
    url, tokens, keys = os.environ["THREADA_URL"], json.loads(os.environ["TOKENS"]), json.loads(os.environ["KEYS"])
    requester, first, second = Threada(), Threada(url, tokens["finance-1"]), Threada(url, tokens["finance-2"])

    # 1. Who am I?
    assert requester.me()["tenant"] == "demo"
    assert first.me()["kind"] == "human"
    # 2. A wrong token.
    try:
        Threada(url, "thr_wrong").me()
        raise AssertionError
    except CredentialRefused as refused:
        assert (refused.status, refused.category) == (401, "authorization")
    # 3. A work item.
    key = uuid.uuid4().hex
    item = requester.create_work_item("payment_run", LARGE, channel_id="payment_form", idempotency_key=key)
    assert item["payload"] == LARGE
    item_id = item["work_item_id"]
    # 4. The same call again gives the same work item.
    again = requester.create_work_item("payment_run", LARGE, channel_id="payment_form", idempotency_key=key)
    assert again["work_item_id"] == item_id
    # 5. The same key with another body.
    try:
        requester.create_work_item("payment_run", {**LARGE, "amount_minor": 1}, idempotency_key=key)
        raise AssertionError
    except ValidationFailed as refused:
        assert refused.reason_code == "idempotency_key_reused"
    # 6. A payload that does not fit its schema.
    try:
        requester.create_work_item("payment_run", {"vendor": "Hooli"}, channel_id="payment_form")
        raise AssertionError
    except InvalidRequest as refused:
        assert refused.errors[0]["pointer"].startswith("/payload")
        assert refused.correlation_id
    # 7. A work item that does not exist; an id with a path in it.
    for wrong in (f"{item_id[:-3]}000", "../me"):
        try:
            requester.work_item(wrong)
            raise AssertionError
        except NotFound:
            pass
    # 8. All pages of a list.
    other = requester.create_work_item("policy_review", {"question": "May we?"}, channel_id="web_main")
    listed = [entry["work_item_id"] for entry in requester.work_items(limit=1)]
    assert {item_id, other["work_item_id"]} <= set(listed)
    assert len(listed) == len(set(listed))
    # 9. The intake decision, by polling.
    assert requester.wait_for_work_item(item_id, until=["ready"], timeout=60)["status"] == "ready"
    # 10. A denial by policy, and the same answer to each further action.
    denied = requester.create_work_item(
        "payment_run", {"vendor": "Globex", "amount_minor": 1}, channel_id="payment_form"
    )
    requester.wait_for_work_item(denied["work_item_id"], until=["refused"], timeout=60)
    assert [denial(requester, denied["work_item_id"]) for _ in range(2)] == ["SANCTIONED_VENDOR"] * 2
    # 11. An action that people must approve.
    accepted = requester.execute(item_id, "pay", "int_bank", wait=5)  # answered at once: people decide
    assert accepted["status"] == "awaiting_approval"
    # 12. A wait that ends before the status does.
    try:
        requester.wait_for_execution(accepted["execution_id"], timeout=0.5)
        raise AssertionError
    except WaitTimedOut as late:
        assert late.resource["status"] == "awaiting_approval"
    # 13. Why does it wait?
    explained = requester.explain(item_id)
    assert explained["status"] == "awaiting_approval"
    assert explained["waiting_for"]
    # 14. The step, as an approver finds it.
    (step,) = list(first.decision_steps(work_item_id=item_id, mine="true"))
    step = first.decision_step(step["decision_step_id"])
    assert step["envelope"] is not None
    assert step["envelope"]["request"]["request"]["amount_minor"] == LARGE["amount_minor"]
    # 15. A vote on another envelope.
    try:
        first.vote({**step, "envelope_sha256": "0" * 64}, "approve")
        raise AssertionError
    except EnvelopeChanged:
        pass
    # 16. A vote, and the same person again.
    assert first.vote(step, "approve", comment="Matches the contract.")["step_status"] == "pending"
    try:
        first.vote(step, "approve")
        raise AssertionError
    except RefusedByPolicy as refused:
        assert refused.reason_code == "already_voted"
    # 17. The second vote decides, and the action runs.
    assert second.vote(step, "approve")["step_status"] == "approved"
    assert requester.wait_for_execution(accepted["execution_id"], timeout=60)["status"] == "succeeded"
    assert requester.wait(item_id, timeout=60)["status"] == "resolved"
    # 18. The receipts.
    kinds = [event["kind"] for event in requester.timeline(item_id)]
    assert {"work_item.created", "vote.recorded", "execution.succeeded"} <= set(kinds)
    # 19. Their export with proofs.
    folder = Path(tempfile.mkdtemp())
    asked = requester.create_export(filters={"work_item_id": item_id})
    assert requester.wait_for_export(asked["export_id"], timeout=60)["status"] == "ready"
    rows = requester.download_export(asked["export_id"], folder / "receipts.ndjson").read_text().splitlines()
    assert len(rows) == len(kinds)
    evidence = requester.download_evidence(asked["export_id"], folder / "evidence.zip")
    # 20. Verified offline; a changed receipt is found.
    result = verify(evidence, keys)
    assert (result.is_verified, result.report["receipts"]) == (True, len(kinds)), result
    assert not verify(changed(evidence, folder / "changed.zip"), keys).is_verified
    assert sorted(path.name for path in folder.iterdir()) == ["changed.zip", "evidence.zip", "receipts.ndjson"]
    assert not {"django", "threada_site", "integrations"} & set(sys.modules)
    print("done")


def changed(evidence: Path, path: Path) -> Path:
    """Write a copy of the evidence in which one amount differs."""
    with zipfile.ZipFile(evidence) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith(".ndjson"):
                data = data.replace(b"vote.recorded", b"vote.recalled", 1)
            new.writestr(name, data)
    return path


main()
