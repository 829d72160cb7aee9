from __future__ import annotations

import uuid
from typing import Any

import orjson
import pytest
from django.db import DatabaseError, connection, transaction

from telemetry.models import Receipt, SealQueueEntry
from telemetry.receipts.format import Entry, Subject, body_bytes
from telemetry.receipts.record import record
from tests.factories import acting_system
from tests.workitems.office import Office
from threada_site.database.roles import OWNER, PLATFORM
from threada_site.database.unit_of_work import OutsideUnitOfWorkError, unit_of_work
from threada_site.kernel import clock, ids
from threada_site.kernel.json.canonical import canonical_bytes, sha256_hex
from threada_site.tenancy.models import Tenant

WHOLE = Subject(
    work_item_id=ids.new_uuid(),
    execution_id=ids.new_uuid(),
    workflow="payments",
    channel="web",
    integration="bank",
    status="ready",
    policy_version_id=ids.new_uuid(),
)


def recorded(tenant: Tenant, entry: Entry) -> Receipt:
    with unit_of_work(tenant.id):
        record(entry, ctx=acting_system(tenant))
        return Receipt.objects.latest("id")


def test_the_body_is_canonical_and_hashed_as_bytes(tenant: Tenant) -> None:
    receipt = recorded(tenant, Entry(kind="thing.done", inputs={"b": "ü\\\u2028", "a": 1.0}, outcome={"ok": True}))
    raw = bytes(receipt.body)
    body = orjson.loads(raw)
    assert canonical_bytes(body) == raw
    assert sha256_hex(raw) == receipt.body_sha256
    assert b'"a":1,"b":"\xc3\xbc\\\\\xe2\x80\xa8"' in raw
    assert set(body) == {
        *("format", "id", "kind", "tenant", "occurred_at", "correlation_id", "subject"),
        *("actor", "inputs", "evidence", "policy", "outcome"),
    }
    assert body["actor"] == {"principal": "system", "kind": "system", "entry_point": "job"}
    assert body["tenant"] == ids.public_id(ids.TENANT, tenant.id)


def test_columns_equal_the_body(tenant: Tenant) -> None:
    receipt = recorded(tenant, Entry(kind="thing.done", subject=WHOLE, reason_codes=("ONE", "two")))
    body = orjson.loads(bytes(receipt.body))
    assert body["subject"] == {
        "work_item_id": ids.public_id(ids.WORK_ITEM, receipt.work_item_id),  # type: ignore[arg-type]
        "execution_id": ids.public_id(ids.EXECUTION, receipt.execution_id),  # type: ignore[arg-type]
        "workflow_id": receipt.workflow,
        "channel_id": receipt.channel,
        "integration_id": receipt.integration,
        "status": receipt.status,
        "policy_version_id": ids.public_id(ids.POLICY_VERSION, receipt.policy_version_id),  # type: ignore[arg-type]
    }
    assert body["outcome"]["reason_codes"] == receipt.reason_codes == ["ONE", "two"]
    assert (body["kind"], body["correlation_id"]) == (receipt.kind, receipt.correlation_id)
    assert body["occurred_at"] == clock.rfc3339(receipt.occurred_at)
    assert receipt.occurred_at == ids.instant_of(receipt.id)
    assert (body["actor"]["principal"], receipt.actor_id) == ("system", None)


def test_each_is_queued_for_sealing(tenant: Tenant) -> None:
    receipt = recorded(tenant, Entry(kind="thing.done"))
    with unit_of_work(tenant.id):
        assert SealQueueEntry.objects.filter(id=receipt.id).count() == 1
        assert Receipt.objects.count() == SealQueueEntry.objects.count()


def test_the_actor_is_a_person_with_roles_and_door(office: Office) -> None:
    office.create()
    (body,) = office.bodies("work_item.created")
    assert body["actor"] == {
        "principal": office.people["rita"].public_id,
        "kind": "human",
        "entry_point": "api",
        "roles": ["client"],
    }


def test_equal_entries_give_equal_bytes(tenant: Tenant) -> None:
    ctx, receipt_id, now = acting_system(tenant), ids.new_uuid(), clock.now()
    first, second = (
        body_bytes(Entry(kind="x.y", inputs=inputs), ctx, receipt_id=receipt_id, occurred_at=now)
        for inputs in ({"a": 1, "b": [1.5]}, {"b": [1.5], "a": 1})
    )
    assert first == second


def test_receipt_requires_a_unit_of_work(tenant: Tenant, other_tenant: Tenant) -> None:
    with pytest.raises(OutsideUnitOfWorkError):
        record(Entry(kind="x.y"), ctx=acting_system(tenant))
    with unit_of_work(other_tenant.id), pytest.raises(OutsideUnitOfWorkError):
        record(Entry(kind="x.y"), ctx=acting_system(tenant))


CHANGES = {
    "update": "UPDATE telemetry_receipt SET kind = 'x' WHERE id = %s",
    "delete": "DELETE FROM telemetry_receipt WHERE id = %s",
    "truncate": "TRUNCATE telemetry_receipt CASCADE",
}


@pytest.mark.parametrize(
    ("role", "change", "refusal"),
    [
        (None, "update", "permission denied"),
        (None, "delete", "permission denied"),
        (None, "truncate", "permission denied"),
        (OWNER, "update", "append-only"),
        (OWNER, "delete", "append-only"),
        (OWNER, "truncate", "append-only"),
        (PLATFORM, "update", "append-only"),
        (PLATFORM, "delete", None),
    ],
)
def test_receipts_are_only_added(tenant: Tenant, role: str | None, change: str, refusal: str | None) -> None:
    receipt = recorded(tenant, Entry(kind="thing.done"))
    parameters = [receipt.id] if "%s" in CHANGES[change] else []
    if refusal is None:
        assert _changed(tenant, role, CHANGES[change], parameters) == 1
        return
    with pytest.raises(DatabaseError, match=refusal), transaction.atomic():
        _changed(tenant, role, CHANGES[change], parameters)
    with unit_of_work(tenant.id):
        assert Receipt.objects.filter(id=receipt.id, kind="thing.done").exists()


def _changed(tenant: Tenant, role: str | None, sql: str, parameters: list[uuid.UUID]) -> int:
    with unit_of_work(tenant.id), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # otherwise pending rows of the test prevent a TRUNCATE
        if role:
            cursor.execute(f"SET LOCAL ROLE {role}")
        cursor.execute(sql, parameters)
        changed = cursor.rowcount
        cursor.execute("SET LOCAL ROLE NONE")
        return changed


def test_rollback_removes_the_receipt(tenant: Tenant) -> None:
    with unit_of_work(tenant.id):
        record(Entry(kind="thing.undone"), ctx=acting_system(tenant))
        transaction.set_rollback(True)
    with unit_of_work(tenant.id):
        assert not Receipt.objects.filter(kind="thing.undone").exists()


def test_receipt_bodies_contain_no_personal_values(office: Office) -> None:
    """Payload, evidence and comments are personal values: receipts contain commitments to them."""
    words: dict[str, Any] = {"payload": {"amount": 500, "vendor": "PAYLOAD-WORD"}, "evidence": ["EVIDENCE-WORD"]}
    item = office.decided(**words)
    step = office.execute(item, input={"note": "INPUT-WORD"}).step
    assert step is not None
    office.vote(step, "fay", "reject", comment="COMMENT-WORD")
    with unit_of_work(office.tenant.id):
        text = b"\n".join(bytes(row.body) for row in Receipt.objects.filter(work_item_id=item.id))
    assert b"-WORD" not in text
    assert b"WRONG" in text
