"""Whatever happened has its receipts; one that is deleted before it was sealed is missed by the act it was about."""

from __future__ import annotations

from collections import Counter

import orjson
import pytest
from django.db import connection

from policies.models import PolicyVersion
from policies.services.publishing import retire_policy_version
from telemetry.models import Receipt
from telemetry.services.verification import Tally, verify_log
from tests.receivers.fixtures import Receiver
from tests.workitems.office import Office
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from workitems.completeness import verify as completeness
from workitems.completeness.verify import verify_completeness
from workitems.executions.close_item import cancel_work_item, resolve_work_item
from workitems.executions.run_execution import run_execution


@pytest.fixture
def lived_in(office: Office, bank: Receiver) -> Office:
    """An office in which about everything has happened once."""
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


def test_nothing_is_missing_and_every_column_says_what_its_receipt_says(
    lived_in: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert missing(lived_in) == []
    with unit_of_work(lived_in.tenant.id):
        tally = Tally()
        assert list(verify_log(lived_in.tenant, keys=[], older=[], tally=tally)) == []
        assert (tally.sealed, tally.waiting) == (0, Receipt.objects.count())
    monkeypatch.setattr(completeness, "AT_ONCE", 2)  # batches lose nothing
    seen = []
    with unit_of_work(lived_in.tenant.id):
        assert list(verify_completeness(lived_in.tenant, watch=lambda: seen.append(1))) == []
        assert len(seen) == completeness.case_count(lived_in.tenant) > 4


ACTS = {
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


def test_each_one_that_is_deleted_is_missed(lived_in: Office) -> None:
    """Receipts and their places in the queue, as if they had never been."""
    with unit_of_work(lived_in.tenant.id):
        kinds = Counter(Receipt.objects.values_list("kind", flat=True))
    assert set(ACTS) <= set(kinds)
    for kind, act in ACTS.items():
        with unit_of_work(lived_in.tenant.id):
            receipt = Receipt.objects.filter(kind=kind).latest("id")
            body = orjson.loads(bytes(receipt.body))
            with platform_role(), connection.cursor() as cursor:
                for table in ("sealqueueentry", "receipt"):
                    cursor.execute(f"DELETE FROM telemetry_{table} WHERE id = %s", [receipt.id])
        named = missing(lived_in)
        assert any(line.endswith(f": there is no receipt that says it was {act}") for line in named), kind
        assert all(line.partition(":")[0] in orjson.dumps(body).decode() for line in named[-1:]), kind
        with unit_of_work(lived_in.tenant.id):
            receipt.save(force_insert=True)
        assert missing(lived_in) == []
