"""The summary: sealed work is counted once, also late commits; metrics by group; the page with charts."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from telemetry import selectors
from telemetry.models import LogLeaf, Receipt, SealQueueEntry, SummaryCount, SummaryPosition, SummaryRollup
from telemetry.summary import counts as summary_counts
from telemetry.summary import summarize as summarize_module
from telemetry.summary.counts import count_sealed, tenants_to_count
from telemetry.summary.filters import SummaryFilters
from telemetry.summary.measures import Measure
from telemetry.summary.metrics import EXECUTION_ENDS
from telemetry.summary.rollups import Slice, slice_for
from telemetry.summary.summarize import days_of, summarize
from telemetry.tasks import count
from tests.client import Api
from tests.factories import acting_system, make_principal, make_tenant, make_token
from tests.telemetry.sealed import SealingSetup
from tests.workitems.office import RULES, Office, open_office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, errors, ids
from threada_site.tenancy.models import Tenant


def seal_all(tenant: Tenant) -> None:
    """Append every queued receipt to the log, without hashes."""
    with unit_of_work(tenant.id):
        start = LogLeaf.objects.count()
        waiting = list(SealQueueEntry.objects.order_by("id").values_list("id", flat=True))
        for offset, receipt_id in enumerate(waiting):
            LogLeaf.objects.create(id=receipt_id, tenant_id=tenant.id, index=start + offset, hash=b"\0" * 32)
        SealQueueEntry.objects.all().delete()


def counted(tenant: Tenant, batch: int = 3) -> int:
    seal_all(tenant)
    total = 0
    while True:
        with unit_of_work(tenant.id):
            some = count_sealed(tenant.id, batch=batch)
        if not some:
            return total
        total += some


def totals(tenant: Tenant) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    with unit_of_work(tenant.id):
        for row in SummaryCount.objects.all():
            if row.measure != Measure.DECISION_TIME:
                found[row.measure, row.label] = found.get((row.measure, row.label), 0) + row.count
    return found


@pytest.fixture
def worked(office: Office) -> Office:
    """Three payments: one within limits, one approved by two members, one rejected."""
    office.decided(5)
    _, step, _ = office.awaiting()
    office.vote(step, "fay")
    office.vote(step, "finn")
    _, rejected, _ = office.awaiting()
    office.vote(rejected, "fay", "reject", reason_code="WRONG")
    return office


def test_every_sealed_receipt_is_counted_once(worked: Office) -> None:
    tenant = worked.tenant
    with unit_of_work(tenant.id):
        receipts = Receipt.objects.count()
    assert counted(tenant) == receipts
    first = totals(tenant)
    assert first["received", ""] == 3
    assert first["step", "approved"] == 1
    assert first["step", "rejected"] == 1
    assert counted(tenant) == 0
    assert totals(tenant) == first
    worked.decided(7)
    assert tenants_to_count() == []  # nothing is sealed
    seal_all(tenant)
    assert tenants_to_count() == [tenant.id]
    counted(tenant, batch=2000)
    assert totals(tenant)["received", ""] == 4
    assert tenants_to_count() == []


def test_a_receipt_that_was_removed_leaves_a_place_that_is_passed(worked: Office) -> None:
    tenant = worked.tenant
    seal_all(tenant)
    with unit_of_work(tenant.id):
        last = LogLeaf.objects.count()
        LogLeaf.objects.create(id=uuid.uuid4(), tenant_id=tenant.id, index=last, hash=b"\0" * 32)
    assert counted(tenant) == last + 1
    with unit_of_work(tenant.id):
        assert SummaryPosition.objects.get().counted == last + 1
        reach = selectors.summary_reach(acting_system(tenant))
    assert reach.uncounted == 0
    assert reach.latest_at is not None


def test_api_returns_the_metrics(worked: Office) -> None:
    counted(worked.tenant)
    api = Api(make_token(worked.tenant, worked.people["ada"]))
    answer = api.get("/telemetry/summary", {"group_by": "workflow"})
    assert answer.status_code == 200, answer.content
    summary = answer.json()
    metrics = summary["total"]
    assert metrics["work_items_received"] == 3
    assert metrics["decision_steps"] == {"approved": 1, "rejected": 1, "expired": 0, "cancelled": 0, "superseded": 0}
    assert metrics["policy_decisions"]["deny"] == 0
    assert metrics["decision_seconds"]["count"] == 2
    assert metrics["automation_rate"] == round(1 - 2 / 3, 4)
    assert [group["key"] for group in summary["groups"]] == ["payments"]
    assert summary["groups"][0]["figures"]["work_items_received"] == 3
    assert summary["uncounted_receipts"] == 0
    assert api.get("/telemetry/summary", {"workflow_id": "nowhere"}).json()["total"]["work_items_received"] == 0
    by_day = api.get("/telemetry/summary", {"group_by": "day", "workflow_id": "payments"}).json()
    assert {group["key"] for group in by_day["groups"]} <= {
        (clock.now() - timedelta(days=back)).date().isoformat() for back in (0, 1)
    }
    with CaptureQueriesContext(connection) as captured:
        api.get("/telemetry/summary", {"group_by": "channel"})
    assert len([q for q in captured if "telemetry_" in q["sql"]]) == 2


def test_an_item_that_waits_for_people_is_not_automated(office: Office) -> None:
    """Constructed: one item is decided alone, one waits, one is denied, one is approved in time, one expired."""
    office.decided(5)
    office.awaiting(500)
    office.decided(666)
    in_time, late = office.awaiting(501)[1], office.awaiting(502)[1]
    office.set_step(in_time, respond_due_at=clock.now() + timedelta(hours=1))
    for name in ("fay", "finn"):
        office.vote(in_time, name)
    office.set_step(late, respond_due_at=clock.now() - timedelta(hours=1))
    office.vote(late, "fay", "reject")
    seal_all(office.tenant)
    while counted(office.tenant, batch=2000):
        pass
    found = totals(office.tenant)
    api = Api(make_token(office.tenant, office.people["ada"]))
    total = api.get("/telemetry/summary").json()["total"]
    assert total["automation_rate"] == round(1 - found["asked", ""] / found["received", ""], 4) == round(2 / 5, 4)
    assert total["deadlines"] == {"met": 1, "missed": 1}
    assert total["outcomes"] == {"resolved": 0, "refused": 1, "rejected": 1, "expired": 0, "cancelled": 0}


def test_an_item_counts_as_asked_once_and_on_the_day_of_its_submission(office: Office) -> None:
    item = office.decided(5, confidence=0.5)
    for name in ("fay",):
        office.vote(office.pending_step(item), name)
    office.put_rules(RULES[1] | {"when": "ctx.action == 'pay'"}, *RULES[2:])
    assert office.execute(item).step is not None
    seal_all(office.tenant)
    while counted(office.tenant, batch=2000):
        pass
    with unit_of_work(office.tenant.id):
        asked = SummaryCount.objects.filter(measure="asked")
        day = ids.instant_of(item.id).date()
        assert list(asked.values_list("day", "count", "integration", "policy_version_id")) == [(day, 1, "", None)]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"group_by": "requester"}, "invalid_request"),
        ({"created_after": "2025-01-01T00:00:00Z", "created_before": "2026-06-01T00:00:00Z"}, "window_too_large"),
        ({"created_after": "2026-02-01T00:00:00Z", "created_before": "2026-01-01T00:00:00Z"}, "invalid_request"),
        ({"kind": "work_item.created"}, "invalid_request"),
    ],
)
def test_invalid_queries(office: Office, query: dict[str, str], reason: str) -> None:
    answer = Api(make_token(office.tenant, office.people["ada"])).get("/telemetry/summary", query)
    assert answer.status_code == 422
    assert answer.json()["reason_code"] == reason


@pytest.mark.parametrize(
    ("after", "before", "days"),
    [
        (None, None, ("2026-01-16", "2026-02-15")),
        ("2026-02-01T13:00", None, ("2026-02-01", "2026-02-15")),
        ("2026-02-01T00:00", "2026-02-02T00:00", ("2026-02-01", "2026-02-01")),
        ("2026-02-01T00:00", "2026-02-02T00:01", ("2026-02-01", "2026-02-02")),
        ("2026-02-01T10:00", "2026-02-01T10:00", ("2026-02-01", "2026-02-01")),
        (None, "2026-02-01T00:00", ("2026-01-01", "2026-01-31")),
    ],
)
def test_windows_are_whole_days(after: str | None, before: str | None, days: tuple[str, str]) -> None:
    def instant(text: str | None) -> datetime | None:
        return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None

    first, last = days_of(instant(after), instant(before), now=datetime(2026, 2, 15, 9, 30, tzinfo=UTC))
    assert (first.isoformat(), last.isoformat()) == days


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "0001-01-20T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
@pytest.mark.parametrize("bound", ["created_after", "created_before"])
@pytest.mark.parametrize("path", ["/telemetry/summary", "/telemetry/summary?group_by=day", "/telemetry/events"])
def test_the_first_and_the_last_instant_that_there_are(office: Office, path: str, bound: str, at: str) -> None:
    answer = office.api("ada").get(f"{path}{'&' if '?' in path else '?'}{bound}={at}")
    begins_at_the_end = bound == "created_after" and at.startswith("9999")
    assert answer.status_code == (422 if begins_at_the_end else 200), answer.content


def test_a_window_of_two_years_is_refused() -> None:
    with pytest.raises(errors.WindowTooLarge):
        days_of(
            datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 6, 1, tzinfo=UTC), now=datetime(2026, 1, 1, tzinfo=UTC)
        )


def test_tenants_are_counted_apart(worked: Office) -> None:
    counted(worked.tenant)
    other = make_tenant("other")
    ctx = acting_system(other)
    with unit_of_work(other.id):
        today = clock.now().date()
        summary = summarize(
            SummaryFilters({}, queryset=selectors.summary_counts(ctx)), today - timedelta(days=1), today, ctx=ctx
        )
    assert not any(summary.total.counts.values())


def test_page_shows_the_same_metrics(worked: Office, client: Any) -> None:
    counted(worked.tenant)
    client.force_login(worked.people["ada"])
    page = client.get("/console/summary/", {"by": "channel", "days": "7"})
    assert page.status_code == 200
    assert dict(page.context["metrics"])["received"] == "3"
    assert [row["received"] for row in page.context["table"]] == [3]
    received, *_ = page.context["charts"]
    assert len(received.bars) == 7
    assert sum(part.value for bar in received.bars for part in bar.parts) == 3
    for chart in page.context["charts"]:
        assert client.get(chart.url).status_code == 200
        assert client.get(chart.bars[-1].url).status_code == 200
    *_, ended = page.context["charts"]
    assert [label for label, *_ in ended.legend] == [end.replace("_", " ") for end in EXECUTION_ENDS]
    for end, (_, _, total, url) in zip(EXECUTION_ENDS, ended.legend, strict=True):
        assert f"kind=execution.{end}&" in url
        assert len(client.get(url).context["rows"]) == int(total)
    links = [(part.label, part.value, part.url) for bar in ended.bars for part in bar.parts]
    assert links
    for label, value, url in links:
        assert f"kind=execution.{label.replace(' ', '_')}&" in url
        assert len(client.get(url).context["rows"]) == value
    for _, _, url in page.context["rankings"]:
        assert client.get(url).status_code == 200
    assert client.get("/console/summary/", {"days": "0", "by": "x", "workflow_id": "\x00"}).status_code == 200


def test_the_page_needs_telemetry_read(office: Office, client: Any) -> None:
    client.force_login(make_principal(office.tenant, "vic", roles=["viewer"]))
    assert client.get("/console/summary/").status_code == 403


@pytest.mark.django_db(transaction=True)
def test_summary_equals_the_sealed_receipts(tenant: Tenant, tmp_path: Path) -> None:
    office = open_office(tenant)
    office.decided(5)
    sealing_setup = SealingSetup(tmp_path)
    with unit_of_work(tenant.id):
        receipts = Receipt.objects.count()
    assert sealing_setup.seal() == receipts
    count()
    with unit_of_work(tenant.id):
        assert SummaryPosition.objects.get().counted == receipts
    assert totals(tenant)["received", ""] == 1


@pytest.mark.parametrize(
    ("chosen", "group_by", "kept"),
    [
        ({}, None, Slice("")),
        ({}, "day", Slice("")),
        ({}, "workflow", Slice("workflow")),
        ({"workflow": "a"}, None, Slice("workflow", "a")),
        ({"workflow": "a"}, "day", Slice("workflow", "a")),
        ({"workflow": "a"}, "workflow", Slice("workflow", "a")),
        ({"workflow": "a"}, "channel", None),
        ({"workflow": "a", "channel": "b"}, "day", None),
    ],
)
def test_smallest_sufficient_table_is_used(chosen: dict[str, str], group_by: str | None, kept: Slice | None) -> None:
    assert slice_for(chosen, group_by) == kept


def combined(tenant: Tenant, *, seed: int) -> None:
    """Add counts of many combinations, each twice."""
    rng = random.Random(seed)
    today = clock.now().date()
    versions = [ids.new_uuid() for _ in range(3)] + [None]
    cells = [
        (today - timedelta(days=rng.randrange(4)), rng.choice(["", "a", "b"]), rng.choice(["", "m", "w"]),
         rng.choice(["", "bank"]), rng.choice(versions), *rng.choice([("decided", "deny"), ("step", "approved"),
         ("decision_time", "40"), ("received", "")]))
        for _ in range(200)
    ]  # fmt: skip
    with unit_of_work(tenant.id):
        for part in (cells[:150], cells[100:]):
            summary_counts._add(tenant.id, Counter(summary_counts._Cell(*cell) for cell in part))


def sums(tenant: Tenant) -> dict[tuple[Any, ...], int]:
    """Return the expected sums, computed from the counts."""
    found: Counter[tuple[Any, ...]] = Counter()
    with unit_of_work(tenant.id):
        for row in SummaryCount.objects.all():
            keys = [("", ""), ("workflow", row.workflow), ("channel", row.channel), ("integration", row.integration),
                    ("policy_version", str(row.policy_version_id or ""))]  # fmt: skip
            for dimension, key in keys:
                found[row.day, dimension, key, row.measure, row.label] += row.count
    return dict(found)


def kept_sums(tenant: Tenant) -> dict[tuple[Any, ...], int]:
    with unit_of_work(tenant.id):
        rows = SummaryRollup.objects.values_list("day", "dimension", "key", "measure", "label", "count")
        return {tuple(row): count for *row, count in rows}


def test_the_sums_follow_every_count(tenant: Tenant, other_tenant: Tenant) -> None:
    combined(tenant, seed=1)
    combined(other_tenant, seed=2)
    for each in (tenant, other_tenant):
        assert kept_sums(each) == sums(each)
    with unit_of_work(tenant.id):
        SummaryCount.objects.filter(workflow="a").update(count=F("count") + 5)
        SummaryCount.objects.filter(channel="m", workflow="a").update(workflow="c")
        SummaryCount.objects.filter(workflow="b").delete()
    after = kept_sums(tenant)
    assert {cell: count for cell, count in after.items() if count} == sums(tenant)
    assert min(after.values()) == 0
    assert kept_sums(other_tenant) == sums(other_tenant)


@pytest.mark.parametrize("group_by", [None, "day", "workflow", "channel", "policy_version", "integration"])
@pytest.mark.parametrize("asked", [{}, {"workflow_id": "a"}, {"policy_version_id": "one"}, {"channel_id": "none"}])
def test_sums_and_counts_answer_alike(tenant: Tenant, asked: dict[str, str], group_by: str | None) -> None:
    combined(tenant, seed=4)
    ctx = acting_system(tenant)
    today = clock.now().date()
    with unit_of_work(tenant.id):
        version = SummaryCount.objects.exclude(policy_version_id=None).values_list("policy_version_id", flat=True)[0]
        query = {name: ids.public_id(ids.POLICY_VERSION, version) if value == "one" else value
                 for name, value in asked.items()}  # fmt: skip
        bound = SummaryFilters(query, queryset=selectors.summary_counts(ctx))
        answers = []
        for slices in (slice_for, lambda *_: None):
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(summarize_module, "slice_for", slices)
                answers.append(summarize(bound, today - timedelta(days=2), today, ctx=ctx, group_by=group_by))
    kept, counted_again = answers
    assert kept == counted_again
    assert any(kept.total.counts.values()) == ("channel_id" not in asked)
