"""Completeness of case receipts: a receipt deleted before it was sealed is reported."""

from __future__ import annotations

from collections import Counter

import orjson
import pytest
from django.db import connection

from policies.models import PolicyVersion
from policies.publication.publish import retire_policy_version
from telemetry.models import Receipt
from telemetry.verification.findings import VerificationStats
from telemetry.verification.log import verify_log
from tests.receivers.fixtures import Receiver
from tests.workitems.office import Office
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from workitems.completeness import verify as completeness
from workitems.completeness.verify import verify_completeness
from workitems.executions.close_item import cancel_work_item, resolve_work_item
from workitems.executions.run_execution import run_execution


@pytest.fixture
def used_office(office: Office, bank: Receiver) -> Office:
    """Return an office with cases in most states."""
    paid = office.execute(office.decided()).execution
    run_execution(office.tenant, paid.id)
    _, step, approved = office.awaiting()
    office.vote(step, "fay")
    office.vote(step, "finn")
    run_execution(office.tenant, approved.id)
    _, step, _ = office.awaiting()
    office.vote(step, "fay", "reject")
    reviewed = office.decided(confidence=0.5)
    office.vote(office.pending_step(reviewed), "vera")
    office.decided(666)
    waiting, _, _ = office.awaiting()
    office.on_item(waiting, cancel_work_item)
    office.on_item(office.decided(), resolve_work_item)
    office.create()
    bank.behave(status=400)
    failed = office.execute(office.decided()).execution
    run_execution(office.tenant, failed.id)
    with unit_of_work(office.tenant.id):
        retire_policy_version(PolicyVersion.objects.filter(status="published").latest("id"), ctx=office.system)
    return office


def missing(office: Office) -> list[str]:
    with unit_of_work(office.tenant.id):
        return [finding.message for finding in verify_completeness(office.tenant)]


def test_complete_receipts_produce_no_finding(used_office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing(used_office) == []
    with unit_of_work(used_office.tenant.id):
        stats = VerificationStats()
        assert list(verify_log(used_office.tenant, keys=[], older=[], stats=stats)) == []
        assert (stats.sealed, stats.waiting) == (0, Receipt.objects.count())
    monkeypatch.setattr(completeness, "AT_ONCE", 2)  # more than one batch
    seen = []
    with unit_of_work(used_office.tenant.id):
        assert list(verify_completeness(used_office.tenant, watch=lambda: seen.append(1))) == []
        assert len(seen) == completeness.case_count(used_office.tenant) > 4


EVENTS = {
    "work_item.created": "created",
    "work_item.cancelled": "cancelled",
    "work_item.resolved": "resolved",
    "execution.proposed": "proposed",
    "execution.succeeded": "succeeded",
    "execution.failed": "failed",
    "vote.recorded": "cast",
    "decision_step.opened": "opened",
    "decision_step.approved": "approved",
    "decision_step.rejected": "rejected",
    "decision_step.cancelled": "cancelled",
    "policy.decided": "taken",
    "policy.published": "published",
    "policy.retired": "retired",
}


def test_deleting_any_case_receipt_is_reported(used_office: Office) -> None:
    """Delete the receipt together with its entry in the seal queue."""
    with unit_of_work(used_office.tenant.id):
        kinds = Counter(Receipt.objects.values_list("kind", flat=True))
    assert set(EVENTS) <= set(kinds)
    for kind, event in EVENTS.items():
        with unit_of_work(used_office.tenant.id):
            receipt = Receipt.objects.filter(kind=kind).latest("id")
            body = orjson.loads(bytes(receipt.body))
            with platform_role(), connection.cursor() as cursor:
                for table in ("sealqueueentry", "receipt"):
                    cursor.execute(f"DELETE FROM telemetry_{table} WHERE id = %s", [receipt.id])
        named = [
            line for line in missing(used_office) if line.endswith(f": there is no receipt that says it was {event}")
        ]
        assert named, kind
        assert named[-1].partition(":")[0] in orjson.dumps(body).decode(), kind
        with unit_of_work(used_office.tenant.id):
            receipt.save(force_insert=True)
        assert missing(used_office) == []
