"""If receipts cannot be written, nothing changes: every call reports it, and workers leave their jobs undone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from django.db import DatabaseError, connection

from integrations.models import Execution, Integration, IntegrationVersion
from telemetry.log.key_file import SigningKey
from telemetry.models import Receipt, TelemetryExport
from telemetry.receipts.keyring import ReceiptKeyring, signing_with
from tests.jobs import count_of_jobs
from tests.workitems.office import BANK, Office
from threada_site.api.models import IdempotencyRecord
from threada_site.database.role_names import PLATFORM_LOGIN
from threada_site.database.roles import APP, OWNER
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.keyring import ReceiptKeyProblem
from workitems.executions.run_execution import run_execution
from workitems.models import DecisionStep, Vote, WorkItem
from workitems.tasks import decide_intake

ANSWERED_WITHIN_S = 2.0

pytestmark = pytest.mark.django_db(transaction=True)


def _as_owner(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {OWNER}")
        cursor.execute(statement)
        cursor.execute("RESET ROLE")


@contextmanager
def unwritable(table: str) -> Iterator[None]:
    _as_owner(f"REVOKE INSERT ON {table} FROM {APP}, {PLATFORM_LOGIN}")
    try:
        yield
    finally:
        _as_owner(f"GRANT INSERT ON {table} TO {APP}, {PLATFORM_LOGIN}")


@contextmanager
def full(table: str) -> Iterator[None]:
    """Refuse rows as on a full disk, with PostgreSQL's error code 53100."""
    _as_owner(
        "CREATE FUNCTION refuse_as_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
        "'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$"
    )
    _as_owner(f"CREATE TRIGGER is_full BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_as_full()")
    try:
        yield
    finally:
        _as_owner(f"DROP TRIGGER is_full ON {table}")
        _as_owner("DROP FUNCTION refuse_as_full()")


@contextmanager
def unsigned(_: str) -> Iterator[None]:
    """Take the keys of web and worker away from this process."""
    with signing_with(ReceiptKeyring.of([SigningKey.new("command")])):
        yield


def state(office: Office) -> list[Any]:
    with unit_of_work(office.tenant.id):
        rows: list[Any] = [
            list(WorkItem.objects.order_by("id").values_list("id", "status", "version")),
            list(DecisionStep.objects.order_by("id").values_list("id", "status", "claimed_by_id")),
            list(Execution.objects.order_by("id").values_list("id", "status", "attempts_made")),
            *(model.objects.count() for model in (Vote, Receipt, TelemetryExport, Integration, IntegrationVersion)),
            IdempotencyRecord.objects.count(),
        ]
    return [*rows, count_of_jobs()]


@pytest.mark.parametrize(
    ("closed", "table"),
    [
        *(
            (closed, table)
            for closed in (unwritable, full)
            for table in ("telemetry_receipt", "telemetry_sealqueueentry")
        ),
        (unsigned, ""),
    ],
)
def test_no_call_changes_anything(
    office: Office, closed: Callable[[str], AbstractContextManager[None]], table: str
) -> None:
    item, step, execution = office.awaiting()
    ready = office.decided()
    new = office.create()
    vote = {"decision": "approve", "envelope_sha256": step.envelope_sha256}
    headers = {"Idempotency-Key": "kept-for-later", "If-Match": "*"}
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
    with closed(table):
        for name, method, path, body in calls:
            seconds = []
            while not seconds or (seconds[-1] >= ANSWERED_WITHIN_S and len(seconds) < 3):  # the machine may be busy
                begun = time.monotonic()
                answer = office.api(name).send(method, path, body, headers=headers)
                seconds.append(time.monotonic() - begun)
            assert min(seconds) < ANSWERED_WITHIN_S, path
            assert (answer.status_code, answer.json()["reason_code"]) == (503, "audit_unavailable"), path
            assert answer.headers["Retry-After"]
        assert office.api("rita").get(f"/work-items/{item}").status_code == 200
    assert state(office) == before
    for name, method, path, body in calls[4:5]:
        assert office.api(name).send(method, path, body, headers=headers).status_code == 201


def _pay(item: WorkItem) -> dict[str, str]:
    return {"work_item_id": item.public_id, "action_id": "pay", "integration_id": "bank"}


def test_workers_leave_their_work_undone(office: Office) -> None:
    new = office.create()
    execution = office.execute(office.decided()).execution
    before = state(office)
    for closed, error, said in (
        (unwritable, DatabaseError, "permission denied for table telemetry_receipt"),
        (unsigned, ReceiptKeyProblem, "has no key of the role worker"),
    ):
        with closed("telemetry_receipt"):
            with pytest.raises(error, match=said):
                decide_intake(str(office.tenant.id), str(new.id), new.correlation_id)
            with pytest.raises(error, match=said):
                run_execution(office.tenant, execution.id)
        assert state(office) == before
