"""Permits, their approvals and uses that SQL in a request writes: none covers anything, and verification names them."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from telemetry.models import Receipt
from telemetry.tlog.checkpoint import complete_until_line
from tests.receivers.fixtures import Receiver
from tests.telemetry.sealed import anchor_in_place
from tests.workitems.executions.test_forged_approvals import (
    anchor,
    as_web,
    by_owner,
    insert_copy,
    sealed_before_signatures,
)
from tests.workitems.office import Office
from tests.workitems.permits.test_permits import ask, finance, in_effect, now, on_permit, proposal, vote
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from workitems.completeness.verify import verify_completeness
from workitems.executions.run_execution import run_execution
from workitems.models import Permit, PermitApproval, PermitUse
from workitems.permits.narrow import Narrowing, narrow_permit, revoke_permit
from workitems.permits.records import approved_terms

__all__ = ["anchor", "finance"]

pytestmark = pytest.mark.django_db


def run_as_web(office: Office, statement: str, parameters: list[Any]) -> None:
    with unit_of_work(office.tenant.id):
        as_web(statement, parameters)


def copy(office: Office, table: str, row_id: uuid.UUID, changes: dict[str, Any]) -> uuid.UUID:
    """Insert a changed copy of a row by SQL. Return its id."""
    new_id = ids.new_uuid()
    run_as_web(
        office,
        f"INSERT INTO {table} SELECT (r).* FROM (SELECT jsonb_populate_record(t, %s::jsonb) AS r "
        f"FROM {table} t WHERE id = %s) copied",
        [json.dumps({"id": str(new_id), **changes}, default=str), row_id],
    )
    return new_id


def named(office: Office, permit_id: uuid.UUID) -> list[str]:
    """Return what the verification says about a permit."""
    with unit_of_work(office.tenant.id):
        messages = [finding.message for finding in verify_completeness(office.tenant)]
    return [message for message in messages if message.startswith(ids.public_id(ids.PERMIT, permit_id))]


def forged(office: Office, model: Permit) -> tuple[uuid.UUID, uuid.UUID]:
    """Insert a permit of a case that never existed, with approvals of two people. Return its id and that of its case.

    It covers rita, whom the copied permit does not name.
    """
    step, item = ids.new_uuid(), ids.new_uuid()
    principals = (office.people["rita"].public_id,)
    terms = replace(approved_terms(model), step=ids.public_id(ids.DECISION_STEP, step), principals=principals)
    limits = {name: value for name, value in terms.as_json().items() if name not in ("bounds", "salt")}
    permit_id = copy(
        office,
        "workitems_permit",
        model.id,
        {
            "step_id": step,
            "work_item_id": item,
            "body": f"\\x{terms.canonical().hex()}",
            "sha256": terms.sha256,
            "limits": limits,
        },
    )
    with unit_of_work(office.tenant.id):
        approvals = list(PermitApproval.objects.filter(permit=model))
    for approval in approvals:
        changes = {"permit_id": permit_id, "sha256": terms.sha256, "vote_id": ids.new_uuid()}
        copy(office, "workitems_permitapproval", approval.id, changes)
    return permit_id, item


def for_vera(office: Office) -> Permit:
    return in_effect(office, principals=[office.people["vera"].public_id])


def test_a_permit_of_a_case_that_never_existed(finance: Office, bank: Receiver) -> None:
    permit_id, _ = forged(finance, for_vera(finance))
    _, execution, covered = ask(finance)
    assert (covered, execution.status, execution.permit_id) == (False, "awaiting_approval", None)
    run_execution(finance.tenant, execution.id)
    assert bank.requests() == []
    name = ids.public_id(ids.PERMIT, permit_id)
    assert set(named(finance, permit_id)) >= {
        f"{name}: there is no receipt permit.proposed",
        f"{name}: there is no receipt permit.in_effect",
        f"{name}: Its receipts do not state that it is in effect.",
    }


def test_a_permit_with_receipts_and_signatures_of_another(finance: Office) -> None:
    model = for_vera(finance)
    permit_id, item = forged(finance, model)
    with unit_of_work(finance.tenant.id):
        sha256 = Permit.objects.get(id=permit_id).sha256
        receipts = list(
            Receipt.objects.filter(
                work_item_id=model.work_item_id,
                kind__in=["decision_step.opened", "permit.proposed", "permit.approved", "permit.in_effect"],
            )
        )
    for receipt in receipts:
        changes = {
            "subject.work_item_id": ids.public_id(ids.WORK_ITEM, item),
            "inputs.permit_id": ids.public_id(ids.PERMIT, permit_id),
            "inputs.permit_sha256": sha256,
        }
        insert_copy(finance, receipt, changes, signature=receipt.signature)
    assert not ask(finance)[2]
    assert named(finance, permit_id)


def test_a_case_of_a_permit_whose_id_contains_no_time(finance: Office) -> None:
    model = in_effect(finance)
    by_owner(f"UPDATE workitems_permit SET work_item_id = '{uuid.UUID(int=2**128 - 1)}' WHERE id = '{model.id}'")
    assert not ask(finance)[2]
    assert named(finance, model.id)


def test_a_revoked_permit_that_is_in_effect_again(finance: Office, bank: Receiver) -> None:
    permit = in_effect(finance)
    _, execution, covered = ask(finance)
    assert covered
    assert named(finance, permit.id) == []
    on_permit(finance, permit, revoke_permit)
    run_as_web(
        finance,
        "UPDATE workitems_permit SET status = 'in_effect', revoked_at = NULL, revoked_by = NULL WHERE id = %s",
        [permit.id],
    )
    run_execution(finance.tenant, execution.id)
    assert finance.execution(execution).status == "awaiting_approval"
    assert not ask(finance)[2]
    assert bank.requests() == []
    assert named(finance, permit.id) == [f"{permit.public_id}: Its receipts do not state that it is in effect."]


def test_a_proposed_permit_that_sql_puts_in_effect_with_an_approval_of_another(finance: Office) -> None:
    other = for_vera(finance)
    _, step, _ = finance.awaiting()
    permit = vote(finance, step, "fay", proposal(finance))
    finance.vote(step, "finn")
    with unit_of_work(finance.tenant.id):
        moved = PermitApproval.objects.get(permit=other, voter=finance.people["finn"])
    copy(finance, "workitems_permitapproval", moved.id, {"permit_id": permit.id, "sha256": permit.sha256})
    run_as_web(finance, "UPDATE workitems_permit SET status = 'in_effect' WHERE id = %s", [permit.id])
    assert not ask(finance)[2]
    assert f"{permit.public_id}: there is no receipt permit.in_effect" in named(finance, permit.id)


def test_limits_that_are_wider_again(finance: Office, bank: Receiver) -> None:
    permit = in_effect(finance)
    for narrower in (Narrowing(max_count=2), Narrowing(bounds=["item.payload.amount < 500"])):
        on_permit(finance, permit, narrow_permit, narrower)
    assert ask(finance, 499)[2]
    run_as_web(
        finance,
        "UPDATE workitems_permit SET limits = %s::jsonb, bounds = %s::jsonb WHERE id = %s",
        [json.dumps(permit.limits), json.dumps(permit.bounds), permit.id],
    )
    assert not ask(finance, 499)[2]
    assert named(finance, permit.id) == [f"{permit.public_id}: Its limits are not those of its receipts."]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE workitems_permit SET rule = jsonb_set(rule, '{veto}', '9')",
        "UPDATE workitems_permit SET grants_as_of = now() + interval '1 day'",
        "UPDATE workitems_permitapproval SET created_at = now() + interval '20 days'",
        'UPDATE workitems_permitapproval SET authentication = \'{"method": "session", "factors": ["passkey"]}\'',
    ],
)
def test_changed_rows_of_a_permit(finance: Office, change: str) -> None:
    in_effect(finance)
    by_owner(
        "ALTER TABLE workitems_permitapproval DISABLE TRIGGER USER",
        change,
        "ALTER TABLE workitems_permitapproval ENABLE TRIGGER USER",
    )
    assert not ask(finance)[2]


def test_a_use_that_no_request_reserved(finance: Office, bank: Receiver) -> None:
    """The use names the decision of a smaller payment, which the permit covers."""
    permit = in_effect(finance)
    _, small, covered = ask(finance, 500)
    assert covered
    _, large, covered = ask(finance, 1500)
    assert not covered
    with unit_of_work(finance.tenant.id):
        use = PermitUse.objects.get(execution_id=small.id)
    changes = {"execution_id": large.id, "work_item_id": large.work_item_id, "reserved_at": clock.now().isoformat()}
    copy(finance, "workitems_permituse", use.id, changes)
    run_as_web(finance, "UPDATE workitems_permit SET used_count = 2, used_sum = 1000 WHERE id = %s", [permit.id])
    run_as_web(
        finance,
        "UPDATE integrations_execution SET status = 'started', permit_id = %s WHERE id = %s",
        [permit.id, large.id],
    )
    run_as_web(finance, "UPDATE workitems_decisionstep SET status = 'approved' WHERE execution_id = %s", [large.id])
    run_as_web(finance, "UPDATE workitems_workitem SET status = 'executing' WHERE id = %s", [large.work_item_id])
    run_execution(finance.tenant, large.id)
    assert finance.execution(large).status != "succeeded"
    assert bank.requests() == []
    run_execution(finance.tenant, small.id)
    assert len(bank.requests()) == 1


@pytest.mark.parametrize("is_anchored", [True, False])
def test_a_permit_of_a_version_that_did_not_sign(
    finance: Office, bank: Receiver, anchor: Path, is_anchored: bool
) -> None:
    """It covers where the anchor says that such receipts count. A checkpoint in the database is not enough."""
    permit = in_effect(finance)
    sealed_before_signatures(finance)
    if is_anchored:
        anchor_in_place(finance.tenant, anchor, complete_until_line(clock.now()))
    _, execution, covered = ask(finance)
    assert covered == is_anchored
    run_execution(finance.tenant, execution.id)
    assert finance.execution(execution).status == ("succeeded" if is_anchored else "awaiting_approval")
    assert (now(finance, permit).used_count, named(finance, permit.id)) == (int(is_anchored), [])
