"""If receipts cannot be written, every changing operation is refused within two seconds and changes nothing.

No row, no job and no idempotency record remains.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from django.db import connection

from tests.contract.document import Operation, check_problem, in_tenants
from tests.contract.world import World
from threada_site.database.roles import APP, OWNER

# These operations change only which messages the caller gets, and write no receipt.
PERSONAL: Final = {"watchWorkItem", "unwatchWorkItem"}
CHANGING = [operation for operation in in_tenants() if operation.method != "GET" and str(operation) not in PERSONAL]
ANSWERED_WITHIN_S: Final = 2.0
# These operations only read or find nothing to do, so they write no receipt.
ASKING: Final = {
    "validatePolicyVersion",
    "releaseDecisionStep",
    "replayExecutions",
    "withdrawWorkflowGrants",
    "withdrawIntegrationGrants",
    "consentToDelegation",
}
# Bodies for operations whose example body would change nothing.
BODIES: Final = {
    "putDelivery": {"delivery_id": "one-more", "target": "file"},
    "setRoles": {"roles": ["requester"]},
}

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("step_up")]


@contextmanager
def _revoked() -> Iterator[None]:
    with _as_owner() as run:
        run(f"REVOKE INSERT ON telemetry_receipt FROM {APP}")
    yield


@contextmanager
def _full() -> Iterator[None]:
    """Make tables of receipts refuse rows like a full tablespace, with PostgreSQL's error code 53100."""
    with _as_owner() as run:
        run(
            "CREATE FUNCTION refuse_as_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
            "'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$"
        )
        run("CREATE TRIGGER is_full BEFORE INSERT ON telemetry_receipt FOR EACH ROW EXECUTE FUNCTION refuse_as_full()")
    yield


@contextmanager
def _as_owner() -> Iterator[Any]:
    """Run statements as the schema's owner; the rollback of the test undoes them."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"SET LOCAL ROLE {OWNER}")
        yield cursor.execute
        cursor.execute("SET LOCAL ROLE NONE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def _seconds_without_core() -> float:
    """Return how long this thread was ready to run while other processes had the cores."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


def _about_home(body: Any, world: World) -> Any:
    """Adapt an example body to the tenant, so that it would change something."""
    if isinstance(body, list):
        return [_about_home(inner, world) for inner in body]
    if not isinstance(body, dict):
        return body
    known = {**world.home.ids, "envelope_sha256": _envelope(world)}
    return {key: known.get(key) or _about_home(inner, world) for key, inner in body.items()}


def _envelope(world: World) -> str:
    step = world.home.admin.get(f"/decision-steps/{world.home.ids['decision_step_id']}").json()
    sha256: str = step["envelope_sha256"]
    return sha256


def test_there_are_operations_that_change_something() -> None:
    assert len(CHANGING) >= 55
    assert {str(operation) for operation in CHANGING} >= ASKING


@pytest.mark.parametrize("operation", CHANGING, ids=str)
@pytest.mark.parametrize("closed", [_revoked, _full])
def test_nothing_changes(world: World, operation: Operation, closed: Any) -> None:
    body = BODIES.get(str(operation)) or (_about_home(operation.body, world) if operation.body is not None else None)
    headers = {"If-Match": "*", "Idempotency-Key": "kept-for-later"}
    path = operation.at(world.home.ids)
    with closed():
        begun, waited = time.monotonic(), _seconds_without_core()
        answer = world.home.admin.send(operation.method, path, body, headers=headers)
        took = time.monotonic() - begun - (_seconds_without_core() - waited)
        after = world.rows_now(but=frozenset())
    before = world.rows_made(but=frozenset())
    assert took < ANSWERED_WITHIN_S
    if str(operation) in ASKING and answer.status_code < 300:
        assert after | {"api_idempotencyrecord": 0} == before | {"api_idempotencyrecord": 0}
        return
    assert after == before
    check_problem(answer, 503, "audit_unavailable", operation=operation)
    assert answer.headers["Retry-After"]
