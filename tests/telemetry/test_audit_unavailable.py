"""Where receipts cannot be written, nothing changes: every call says so, and the workers leave their work undone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DatabaseError, connection

from integrations.models import Execution, Integration, IntegrationVersion
from telemetry.models import Receipt, TelemetryExport
from tests.workitems.office import BANK, Office
from threada_site.api.models import IdempotencyRecord
from threada_site.tenancy.roles import APP, OWNER
from threada_site.tenancy.unit_of_work import unit_of_work
from workitems.models import DecisionStep, Vote, WorkItem
from workitems.services.run import run_execution
from workitems.tasks import decide_intake

pytestmark = pytest.mark.django_db(transaction=True)


def _as_owner(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {OWNER}")
        cursor.execute(statement)
        cursor.execute("RESET ROLE")


@contextmanager
def unwritable(table: str) -> Iterator[None]:
    _as_owner(f"REVOKE INSERT ON {table} FROM {APP}")
    try:
        yield
    finally:
        _as_owner(f"GRANT INSERT ON {table} TO {APP}")


def state(office: Office) -> list[Any]:
    with unit_of_work(office.tenant.id):
        rows: list[Any] = [
            list(WorkItem.objects.order_by("id").values_list("id", "status", "version")),
            list(DecisionStep.objects.order_by("id").values_list("id", "status", "claimed_by_id")),
            list(Execution.objects.order_by("id").values_list("id", "status", "attempts_made")),
            *(model.objects.count() for model in (Vote, Receipt, TelemetryExport, Integration, IntegrationVersion)),
            IdempotencyRecord.objects.count(),
        ]
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM procrastinate_jobs")
        return [*rows, cursor.fetchone()]


@pytest.mark.parametrize("table", ["telemetry_receipt", "telemetry_sealqueueentry"])
def test_no_call_changes_anything(office: Office, table: str) -> None:
    item, step, execution = office.awaiting()
    ready = office.decided()
    new = office.create()
    vote = {"decision": "approve", "envelope_sha256": step.envelope_sha256}
    key = {"Idempotency-Key": "kept-for-later"}
    calls: list[tuple[str, str, str, Any]] = [
        ("rita", "POST", "/work-items", {"workflow_id": "payments", "channel_id": "web", "payload": {"amount": 1}}),
        ("rita", "PATCH", f"/work-items/{item}", {"payload": {"amount": 2}}),
        ("rita", "POST", f"/work-items/{item}/cancel", {}),
        ("rita", "POST", f"/work-items/{ready}/resolve", {}),
        ("fay", "POST", f"/decision-steps/{step}/votes", vote),
        ("fay", "POST", f"/decision-steps/{step}/claim", {}),
        ("rita", "POST", "/actions/execute", {**_pay(ready)}),
        ("rita", "POST", "/actions/execute", {**_pay(new)}),
        ("rita", "POST", f"/executions/{execution}/cancel", {}),
        ("ada", "POST", "/telemetry/exports", {}),
        ("ada", "POST", "/integrations", {"integration_id": "more", "spec": {**BANK, "base_url": "https://b.example"}}),
        ("wim", "POST", "/work-items", {}),
    ]
    for name in ("rita", "fay", "ada", "wim"):
        office.api(name)
    before = state(office)
    with unwritable(table):
        for name, method, path, body in calls:
            answer = office.api(name).send(method, path, body, headers=key)
            assert (answer.status_code, answer.json()["reason_code"]) == (503, "audit_unavailable"), path
            assert answer.headers["Retry-After"]
        assert office.api("rita").get(f"/work-items/{item}").status_code == 200
    assert state(office) == before
    for name, method, path, body in calls[4:5]:
        assert office.api(name).send(method, path, body, headers=key).status_code == 201


def _pay(item: WorkItem) -> dict[str, str]:
    return {"work_item_id": item.public_id, "action_id": "pay", "integration_id": "bank"}


def test_workers_leave_their_work_undone(office: Office) -> None:
    new = office.create()
    execution = office.execute(office.decided()).execution
    before = state(office)
    with unwritable("telemetry_receipt"):
        with pytest.raises(DatabaseError):
            decide_intake.func(str(office.tenant.id), str(new.id), new.correlation_id)
        with pytest.raises(DatabaseError):
            run_execution(office.tenant, execution.id)
    assert state(office) == before
