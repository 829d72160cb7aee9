"""Lists of cases, steps and executions: filters, pages, and what they cost."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from policies.configuration.channels import upsert_channel
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids


def test_filters_of_work_items(office: Office) -> None:
    office.upsert_workflow("travel")
    done = office.decided(666)
    open_ = office.create()
    trip = office.create(workflow="travel", channel=None)
    api = office.api("wim")

    def found(**query: Any) -> list[str]:
        return [row["work_item_id"] for row in api.get("/work-items", query).json()["data"]]

    version = office.item(done).policy_version_id
    assert version is not None
    assert found() == [trip.public_id, open_.public_id, done.public_id]
    assert found(status="refused") == [done.public_id]
    assert found(workflow_id="travel") == [trip.public_id]
    assert found(channel_id="web") == [open_.public_id, done.public_id]
    assert found(policy_version_id=ids.public_id(ids.POLICY_VERSION, version)) == [done.public_id]
    created = api.get(f"/work-items/{open_}").json()["created_at"]
    assert found(created_after=created)[-1] == open_.public_id
    assert open_.public_id not in found(created_before=created)
    for query, parameter in (
        ({"status": "sideways"}, "?status"),
        ({"colour": "red"}, "?colour"),
        ({"created_after": "yesterday"}, "?created_after"),
        ({"policy_version_id": "pv_1"}, "?policy_version_id"),
    ):
        answer = api.get("/work-items", query)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, parameter)


def test_filters_of_steps_and_executions(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    item, _, _ = office.awaiting()
    review = office.decided(confidence=0.1)
    api = office.api("fay")

    def steps(**query: Any) -> list[str]:
        return [row["work_item_id"] for row in api.get("/decision-steps", query).json()["data"]]

    def executions(**query: Any) -> int:
        return len(api.get("/executions", query).json()["data"])

    assert steps(kind="review") == [review.public_id]
    assert steps(work_item_id=item) == [item.public_id]
    assert steps(status="approved") == []
    assert len(steps(mine="true")) == 2
    assert steps(workflow_id="travel") == []
    with unit_of_work(office.tenant.id):
        upsert_channel("mail", ctx=office.system)
    mailed = office.decided(channel="mail", confidence=0.1)
    assert steps(channel_id="web") == [review.public_id, item.public_id]
    monkeypatch.setattr("workitems.api.filters._FEW", 1)
    assert steps(channel_id=["web", "fax"]) == [review.public_id, item.public_id]
    assert steps(channel_id="web", kind="review") == [review.public_id]
    assert steps(channel_id="fax") == []
    (step,) = api.get("/decision-steps", {"work_item_id": mailed}).json()["data"]
    version = step["policy_version_ids"]
    assert len(version) == 1
    assert steps(policy_version_id=version) == [mailed.public_id, review.public_id, item.public_id]
    assert steps(policy_version_id=ids.public_id(ids.POLICY_VERSION, ids.new_uuid())) == []
    assert steps(created_after=step["opened_at"])[-1] == mailed.public_id
    assert steps(created_before=step["opened_at"]) == [review.public_id, item.public_id]
    assert executions(integration_id="bank", status="awaiting_approval", workflow_id="payments", channel_id="web") == 1
    assert executions(integration_id="desk") == executions(status="failed") == executions(channel_id="x") == 0
    assert executions(work_item_id=item) == 1


def test_pages_contain_every_row_once(office: Office) -> None:
    made = [office.create().public_id for _ in range(5)]
    api, seen, cursor = office.api("wim"), [], None
    while True:
        page = api.get("/work-items", {"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [row["work_item_id"] for row in page["data"]]
        cursor = page["next_cursor"]
        assert page["has_more"] == (cursor is not None)
        if not page["has_more"]:
            break
    assert seen == list(reversed(made))
    timeline = api.get(f"/work-items/{made[0]}/timeline", {"limit": 1}).json()
    assert [event["kind"] for event in timeline["data"]] == ["work_item.created"]


def test_a_list_takes_a_constant_number_of_statements(office: Office, django_assert_max_num_queries: Any) -> None:
    for _ in range(3):
        _, step, _ = office.awaiting()
        office.vote(step, "finn")
    office.decided(confidence=0.1)
    api = office.api("fay")
    for path, most in (("/work-items", 5), ("/decision-steps", 9), ("/executions", 5)):
        with django_assert_max_num_queries(most):
            assert api.get(path).status_code == 200


def test_a_page_is_found_before_its_rows_are_joined(office: Office) -> None:
    """PostgreSQL would otherwise join and sort all steps of a tenant: it expects few rows of tables with row-level
    security."""
    made = [office.awaiting()[0].public_id for _ in range(3)]
    api = office.api("fay")
    with CaptureQueriesContext(connection) as captured:
        page = api.get("/decision-steps", {"limit": 2}).json()
    assert ([row["work_item_id"] for row in page["data"]], page["has_more"]) == (made[:0:-1], True)
    [statement] = [each["sql"] for each in captured if 'FROM "workitems_decisionstep"' in each["sql"]]
    joined, _, found = statement.partition("= ANY(ARRAY(")
    assert "JOIN" in joined
    assert "JOIN" not in found
    assert "LIMIT 3" in found
    rest = api.get("/decision-steps", {"limit": 2, "cursor": page["next_cursor"]}).json()
    assert ([row["work_item_id"] for row in rest["data"]], rest["has_more"]) == (made[:1], False)
