"""Intake decisions of several items in one transaction: same results as alone, and nobody else's work is touched."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from policies.models import PolicyDecision
from tests.factories import make_tenant
from tests.jobs import queued_jobs
from tests.workitems.office import Office, open_office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import ActingContext
from workitems.items.locks import locked_item
from workitems.models import WorkItem
from workitems.steps.policy import intake_set
from workitems.steps.policy.decision import decide_new_item
from workitems.tasks import decide_intake as job

pytestmark = pytest.mark.django_db

MIXED = (
    {"id": "no", "when": "item.payload.amount == 1", "effect": "deny", "reason": "NO"},
    {"id": "look", "when": "item.payload.amount == 2", "effect": "review", "reason": "LOOK"},
    {
        "id": "ask",
        "when": "item.payload.amount == 3",
        "at": "intake",
        "effect": "require_approval",
        "reason": "ASK",
        "approvals": {"role": "finance"},
    },
    {"id": "yes", "when": "item.payload.amount == 4", "effect": "allow", "reason": "YES"},
)


def waiting() -> list[str]:
    """Return the ids of items with a waiting intake job."""
    return [arguments["work_item_id"] for task, arguments in queued_jobs() if task == "workitems.decide_intake"]


def run_job(item: WorkItem) -> None:
    job(str(item.tenant_id), str(item.id), item.correlation_id)


def receipts(office: Office, item: WorkItem) -> list[tuple[Any, ...]]:
    """Return what the receipts of a decided item say, without ids, times and digests."""
    found = [*office.bodies("policy.decided"), *office.bodies("decision_step.opened")]
    mine = [body for body in found if body["subject"]["work_item_id"] == item.public_id]
    return [(body["kind"], body["actor"], body["outcome"], body["correlation_id"], sorted(body)) for body in mine]


def test_a_set_decides_like_single_jobs_with_few_statements(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.put_rules(*MIXED)
    amounts = (1, 2, 3, 4, 5)
    alone = [office.create(amount) for amount in amounts]
    monkeypatch.setattr(intake_set, "WITHIN_S", -1.0)
    for item in alone:
        run_job(item)
    monkeypatch.setattr(intake_set, "WITHIN_S", 60.0)
    assert waiting() == [str(item.id) for item in alone], "a worker deletes the jobs that it has run"
    together = [office.create(amount) for amount in amounts * 4]
    with CaptureQueriesContext(connection) as queries:
        run_job(together[3])
    assert len(queries) <= 20
    assert waiting() == [str(item.id) for item in (*alone, together[3])]
    assert office.count(PolicyDecision) == 25
    for number, item in enumerate(together):
        like = alone[number % 5]
        assert office.item(item).status == office.item(like).status
        assert office.kinds(item) == office.kinds(like)
        for found, expected in zip(receipts(office, item), receipts(office, like), strict=True):
            assert found[:3] == expected[:3]
            assert (found[3], expected[3]) == (item.correlation_id, like.correlation_id)
            assert found[4] == expected[4]
    run_job(together[0])
    assert office.count(PolicyDecision) == 25


def test_a_set_has_at_most_32_items_of_one_tenant_and_ends_in_time(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_office = open_office(make_tenant("globex"))
    foreign = other_office.create()
    items = [office.create() for _ in range(40)]
    run_job(items[39])
    decided = [item for item in items if office.item(item).status != "new"]
    assert decided == [*items[:31], items[39]]
    assert other_office.item(foreign).status == "new"
    monkeypatch.setattr(intake_set, "WITHIN_S", -1.0)
    run_job(items[38])
    assert [office.item(item).status == "new" for item in items[31:]] == [*[True] * 7, False, False]


@pytest.mark.django_db(transaction=True)
def test_a_locked_item_is_left_to_its_job(office: Office) -> None:
    locked, *items = [office.create() for _ in range(3)]
    with ThreadPoolExecutor(1) as pool, unit_of_work(office.tenant.id):
        locked_item(locked.id, ctx=office.system)
        pool.submit(apart, items[0]).result(30)
    assert [office.item(item).status for item in (locked, *items)] == ["new", "ready", "ready"]
    assert waiting() == [str(locked.id), str(items[0].id)]


@pytest.mark.django_db(transaction=True)
def test_an_item_that_breaks_the_set_is_left_alone(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, *items = [office.create() for _ in range(3)]

    def decide(item: WorkItem, *, ctx: ActingContext) -> Any:
        if item.id == bad.id:
            raise RuntimeError("a defect")
        return decide_new_item(item, ctx=ctx)

    monkeypatch.setattr(intake_set, "decide_new_item", decide)
    run_job(items[0])
    assert [office.item(item).status for item in (bad, *items)] == ["new", "ready", "new"]
    assert len(waiting()) == 3
    with pytest.raises(RuntimeError):
        run_job(bad)
    assert office.kinds(bad) == ["work_item.created"]


def apart(item: WorkItem) -> None:
    try:
        run_job(item)
    finally:
        connection.close()
