"""Sensitive data classes: what lists omit, and the receipts of reads."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.console.sign_in import sign_in
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from workitems.models import CaseReading

pytestmark = pytest.mark.django_db


@pytest.fixture
def secret(office: Office) -> Office:
    """Return an office whose payments are confidential, with one that awaits approval."""
    office.upsert_workflow(data_class="confidential")
    office.awaiting()
    return office


def only(office: Office, path: str, by: str = "wim") -> dict[str, Any]:
    (row,) = office.api(by).get(path).json()["data"]
    return row


def recorded_reads(office: Office) -> int:
    return len(office.bodies("work_item.read"))


def test_lists_omit_contents_and_details_show_them(secret: Office) -> None:
    item, execution, step = (only(secret, path) for path in ("/work-items", "/executions", "/decision-steps"))
    assert (item["payload"], item["payload_omitted"]) == (None, True)
    assert (execution["input"], execution["result"], execution["payload_omitted"]) == (None, None, True)
    assert (step["envelope"], step["envelope_base64"], step["payload_omitted"]) == (None, None, True)
    assert step["envelope_sha256"]
    assert recorded_reads(secret) == 0
    api = secret.api("wim")
    whole = api.get(f"/work-items/{item['work_item_id']}").json()
    assert (whole["payload"], whole["payload_omitted"]) == ({"amount": 500}, False)
    assert api.get(f"/executions/{execution['execution_id']}").json()["input"] == {}
    assert api.get(f"/decision-steps/{step['decision_step_id']}").json()["envelope"]["work_item"]


def test_ordinary_classes_are_shown_and_leave_no_receipt(office: Office) -> None:
    office.awaiting()
    item = only(office, "/work-items")
    assert (item["payload"], item["payload_omitted"]) == ({"amount": 500}, False)
    assert only(office, "/decision-steps")["envelope"]["work_item"]
    with CaptureQueriesContext(connection) as asked:
        assert office.api("wim").get(f"/work-items/{item['work_item_id']}").status_code == 200
    assert [query for query in asked if "casereading" in query["sql"]] == []
    assert recorded_reads(office) == 0


def test_reading_one_comment_leaves_a_receipt(secret: Office) -> None:
    path = f"/work-items/{only(secret, '/work-items')['work_item_id']}/comments"
    comment = secret.api("fay").post(path, {"text": "The patient is well."}).json()
    before = recorded_reads(secret)
    assert secret.api("wim").get(f"{path}/{comment['comment_id']}").json()["text"] == "The patient is well."
    assert recorded_reads(secret) == before + 1


@pytest.mark.parametrize("path", ["/work-items", "/executions", "/decision-steps"])
def test_reading_leaves_one_receipt_per_principal_case_and_hour(secret: Office, path: str) -> None:
    row = only(secret, path)
    name = {"/work-items": "work_item_id", "/executions": "execution_id", "/decision-steps": "decision_step_id"}[path]
    for by in ("wim", "wim", "fay"):
        assert secret.api(by).get(f"{path}/{row[name]}").status_code == 200
    actors = [body["actor"] for body in secret.bodies("work_item.read")]
    assert len(actors) == 2
    with unit_of_work(secret.tenant.id):
        CaseReading.objects.update(recorded_at=clock.now() - timedelta(hours=1))
    secret.api("wim").get(f"{path}/{row[name]}")
    assert recorded_reads(secret) == 3


def test_reading_the_facts_of_a_decision_leaves_a_receipt(secret: Office) -> None:
    """The facts contain the payload."""
    execution = only(secret, "/executions")
    decision = f"/policy-decisions/{execution['policy_decision_id']}"
    assert secret.api("wim").get(decision).json()["facts"]["item"]["payload"] == {"amount": 500}
    (body,) = secret.bodies("work_item.read")
    assert body["actor"]["principal"] == secret.people["wim"].public_id
    assert secret.api("fay").get(f"/work-items/{execution['work_item_id']}").status_code == 200
    assert recorded_reads(secret) == 2


def test_pages_with_contents_leave_a_receipt(secret: Office) -> None:
    execution, step = only(secret, "/executions"), only(secret, "/decision-steps")
    for by, page in (
        ("wim", f"/console/policies/policydecision/{execution['policy_decision_id']}/"),
        ("fay", f"/console/workitems/decisionstep/{step['decision_step_id']}/change-input/"),
    ):
        answer = sign_in(secret.people[by]).get(page)
        assert answer.status_code == 200
        assert "500" in answer.content.decode()
        assert secret.bodies("work_item.read")[-1]["actor"]["principal"] == secret.people[by].public_id
    assert recorded_reads(secret) == 2


def test_a_refused_reading_leaves_no_receipt_of_a_reading(secret: Office) -> None:
    secret.join("ron")
    item = only(secret, "/work-items")
    assert secret.api("ron").get(f"/work-items/{item['work_item_id']}").status_code == 404
    assert recorded_reads(secret) == 0
