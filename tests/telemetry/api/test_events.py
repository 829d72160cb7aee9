from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from telemetry.models import AccountEvent, Receipt, TelemetryExport
from tests.client import Api
from tests.factories import make_token
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.kernel.clock import rfc3339


@pytest.fixture
def payment_and_item(office: Office) -> tuple[Office, Any, Any, Api]:
    """Create a payment with an execution, an item of another workflow, and a member with `telemetry:read`."""
    office.upsert_workflow("travel")
    item, _, execution = office.awaiting()
    office.create(workflow="travel", channel=None)
    return office, item, execution, Api(make_token(office.tenant, office.people["ada"]))


def test_each_documented_filter(payment_and_item: tuple[Office, Any, Any, Api]) -> None:
    office, item, _, api = payment_and_item

    def kinds(**query: Any) -> list[str]:
        answer = api.get("/telemetry/events", {"limit": 200, **query})
        assert answer.status_code == 200, answer.content
        return [event["kind"] for event in answer.json()["data"]]

    with unit_of_work(office.tenant.id):
        everything = list(Receipt.objects.order_by("-id"))
    assert kinds() == [row.kind for row in everything]
    for parameter, column, value in (
        ("channel_id", "channel", "web"),
        ("workflow_id", "workflow", "travel"),
        ("status", "status", "awaiting_approval"),
        ("integration_id", "integration", "bank"),
        ("kind", "kind", "policy.decided"),
    ):
        expected = [row.kind for row in everything if getattr(row, column) == value]
        assert expected
        assert kinds(**{parameter: value}) == expected, parameter
    version = item.policy_version_id
    assert kinds(policy_version_id=ids.public_id(ids.POLICY_VERSION, version)) == [
        row.kind for row in everything if row.policy_version_id == version
    ]
    rita = office.people["rita"]
    with unit_of_work(office.tenant.id):
        about = set(AccountEvent.objects.filter(principal_id=rita.id).values_list("receipt_id", flat=True))
    of_rita = [row.kind for row in everything if row.actor_id == rita.id or row.id in about]
    assert {"member.added", "work_item.created"} <= set(of_rita)
    assert kinds(principal_id=rita.public_id) == of_rita
    of_item = kinds(work_item_id=item.public_id)
    assert of_item == list(reversed(office.kinds(item)))
    assert kinds(work_item_id=item.public_id, integration_id="bank") == [
        "decision_step.opened",
        "execution.proposed",
        "policy.decided",
    ]
    assert kinds(workflow_id="nowhere") == []
    assert kinds(sort="created_at") == [row.kind for row in reversed(everything)]
    two = ["policy.decided", "work_item.created"]
    assert kinds(kind=two) == [row.kind for row in everything if row.kind in two]
    moment = ids.instant_of(everything[3].id)  # other receipts may have the same millisecond
    instant = rfc3339(moment)
    assert kinds(created_after=instant) == [row.kind for row in everything if ids.instant_of(row.id) >= moment]
    assert kinds(created_before=instant) == [row.kind for row in everything if ids.instant_of(row.id) < moment]


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ({"created_after": "2026-01-01T00:00:00Z", "created_before": "2026-02-01T00:00:00Z"}, 200, None),
        ({"created_after": "2026-01-01T00:00:00Z", "created_before": "2026-02-01T00:00:01Z"}, 422, "window_too_large"),
        ({"created_after": "2026-02-01T00:00:00Z", "created_before": "2026-01-01T00:00:00Z"}, 422, "invalid_request"),
        ({"created_after": "2026-01-01T00:00:00"}, 422, "invalid_request"),
        ({"created_after": "0001-01-01T00:00:00Z", "created_before": "0001-01-02T00:00:00Z"}, 200, None),
        ({"created_before": "0001-01-01T00:00:00Z"}, 200, None),
        ({"created_after": "9999-12-31T23:59:59Z"}, 422, "invalid_request"),
        ({"created_before": "9999-12-31T23:59:59+00:00"}, 200, None),
        ({"created_after": "9999-12-31T23:59:59-23:59"}, 422, "invalid_request"),
        ({"policy_version_id": "pv_x"}, 422, "invalid_request"),
        ({"status": "x" * 33}, 422, "invalid_request"),
        ({"colour": "red"}, 422, "invalid_request"),
    ],
)
def test_windows_are_bounded(office: Office, query: dict[str, str], status: int, reason: str | None) -> None:
    answer = office.api("ada").get("/telemetry/events", query)
    assert (answer.status_code, answer.json().get("reason_code")) == (status, reason), answer.content
    export = office.api("ada").post("/telemetry/exports", _as_export(query))
    assert (export.status_code, export.json().get("reason_code")) == (202 if status == 200 else 422, reason)


def _as_export(query: dict[str, str]) -> dict[str, Any]:
    window = {name: value for name, value in query.items() if name.startswith("created_")}
    return {**window, "filters": {name: value for name, value in query.items() if name not in window}}


def test_a_window_without_bounds_is_the_last_31_days(office: Office) -> None:
    export = office.api("ada").post("/telemetry/exports", {}).json()
    after, before = (clock_of(export[name]) for name in ("created_after", "created_before"))
    assert before - after == timedelta(days=31)
    assert timedelta(0) <= clock.now() - before < timedelta(seconds=30)


def clock_of(text: str) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(text)


def test_an_offset_may_be_written_with_a_plus(office: Office) -> None:
    since = quote((clock.now() - timedelta(hours=1)).isoformat(), safe=":+")
    assert office.api("ada").get(f"/telemetry/events?created_after={since}").status_code == 200


def test_events_and_receipts_are_one(payment_and_item: tuple[Office, Any, Any, Api]) -> None:
    _, item, _, api = payment_and_item
    event = api.get("/telemetry/events", {"work_item_id": item.public_id, "limit": 1}).json()["data"][0]
    assert api.get(f"/receipts/{event['receipt_id']}").json() == event
    assert api.get("/receipts/rc_nonsense").json()["reason_code"] == "not_found"
    assert event["body"]["id"] == event["receipt_id"]


@pytest.mark.parametrize("path", ["/telemetry/events", "/telemetry/exports/te_x", "/receipts/rc_x"])
def test_the_ledger_needs_its_scope(office: Office, path: str) -> None:
    assert office.api("rita").get(path).json()["reason_code"] == "scope_missing"


def test_exporting_needs_its_scope(office: Office) -> None:
    answer = office.api("rita").post("/telemetry/exports", {})
    assert answer.json()["reason_code"] == "scope_missing"
    assert office.count(TelemetryExport) == 0


@pytest.mark.parametrize(
    "body",
    [
        {"format": "xlsx"},
        {"compression": "zip"},
        {"filters": {"colour": "red"}},
        {"filters": {"channel_id": 5}},
        {"created_after": 5},
        {"window": "all"},
        [],
    ],
)
def test_the_shape_of_an_export_is_checked(office: Office, body: Any) -> None:
    answer = office.api("ada").post("/telemetry/exports", body)
    assert (answer.status_code, answer.json()["reason_code"]) == (422, "invalid_request")
    assert office.count(TelemetryExport) == 0


def test_refused_requests_are_recorded_except_of_unknown_callers(office: Office) -> None:
    wim = office.api("wim")
    before = office.count(Receipt)
    assert wim.post("/work-items", {}).status_code == 403
    assert office.count(Receipt) == before + 1
    assert Api("thr_unknown").post("/work-items", {}).status_code == 401
    assert Api().post("/work-items", {}).status_code == 401
    assert office.count(Receipt) == before + 1
    (body,) = office.bodies("request.refused")
    assert body["actor"]["principal"] == office.people["wim"].public_id
    assert body["outcome"] == {
        "reason_code": "scope_missing",
        "category": "authorization",
        "status": 403,
        "errors": [],
        "reasons": [],
        "reason_codes": ["scope_missing"],
    }


def test_refusal_contains_no_submitted_value(office: Office) -> None:
    body = {"workflow_id": "payments", "channel_id": "web", "payload": {"amount": "SECRET-VALUE"}}
    assert office.api("rita").post("/work-items", body).status_code == 422
    assert office.api("rita").get("/work-items", {"status": "SECRET-VALUE"}).status_code == 422
    payment_and_item = office.bodies("request.refused")
    assert len(payment_and_item) == 2
    assert "SECRET-VALUE" not in str(payment_and_item)
    assert payment_and_item[0]["outcome"]["errors"] == ["/payload/amount type"]
