from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.jobs import run_jobs
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.json.canonical import canonical_sha256
from workitems.executions.close_item import cancel_work_item, edit_payload, resolve_work_item
from workitems.models import WorkItem


def edit(item: WorkItem, *, ctx: Any, payload: Any = None) -> None:
    edit_payload(item, payload or {"amount": 50}, ctx=ctx)


def test_an_edit_restarts_intake(office: Office) -> None:
    item, step, execution = office.awaiting()
    office.vote(step, "fay")
    office.on_item(item, edit)
    shown = office.item(item)
    assert (shown.status, shown.version, shown.payload) == ("new", 2, {"amount": 50})
    assert shown.payload_sha256 == canonical_sha256({"amount": 50})
    assert shown.edited_by_id == office.people["rita"].id
    assert (office.step(step).status, office.execution(execution).status) == ("superseded", "cancelled")
    assert run_jobs()[-1] == "workitems.decide_intake"
    assert office.item(item).status == "ready"


def test_an_edited_new_item_is_decided_once(office: Office) -> None:
    item = office.create(666)
    office.on_item(item, edit)
    run_jobs()
    assert office.item(item).status == "ready"
    assert office.kinds(item) == ["work_item.created", "work_item.edited", "policy.decided"]


def test_an_edit_is_held_to_the_schema(office: Office) -> None:
    item, step, execution = office.awaiting()
    with pytest.raises(errors.PayloadSchemaViolation):
        office.on_item(item, edit, payload={"amount": "much"})
    assert office.item(item).version == 1
    assert (office.step(step).status, office.execution(execution).status) == ("pending", "awaiting_approval")


def test_an_edit_takes_a_started_execution_back(office: Office) -> None:
    item = office.decided()
    execution = office.execute(item).execution
    office.on_item(item, edit)
    assert (office.item(item).status, office.execution(execution).status) == ("new", "cancelled")


@pytest.mark.parametrize(
    ("operation", "status", "kind"),
    [(cancel_work_item, "cancelled", "work_item.cancelled"), (resolve_work_item, "resolved", "work_item.resolved")],
)
def test_closing_an_item_cancels_its_started_execution(
    office: Office, operation: Callable[..., None], status: str, kind: str
) -> None:
    item = office.decided()
    execution = office.execute(item).execution
    office.on_item(item, operation, reason="done elsewhere")
    assert (office.item(item).status, office.execution(execution).status) == (status, "cancelled")
    assert office.kinds(item)[-2:] == ["execution.cancelled", kind]
    run_jobs()
    assert office.execution(execution).attempts_made == 0


@pytest.mark.parametrize("status", ["running", "outcome_unknown"])
@pytest.mark.parametrize("operation", [edit, cancel_work_item, resolve_work_item])
def test_nothing_is_changed_under_a_running_execution(
    office: Office, operation: Callable[..., None], status: str
) -> None:
    item = office.decided()
    execution = office.execute(item).execution
    office.set_execution(execution, status=status)
    told = office.kinds(item)
    with pytest.raises(errors.ExecutionInProgress):
        office.on_item(item, operation)
    assert (office.item(item).status, office.item(item).version) == ("executing", 1)
    assert office.kinds(item) == told


@pytest.mark.parametrize("status", ["refused", "rejected", "expired", "resolved", "cancelled"])
@pytest.mark.parametrize("operation", [edit, cancel_work_item, resolve_work_item])
def test_an_ended_item_cannot_be_changed(office: Office, operation: Callable[..., None], status: str) -> None:
    item = office.decided()
    with unit_of_work(office.tenant.id):
        WorkItem.objects.filter(id=item.id).update(status=status)
    with pytest.raises(errors.TransitionNotAllowed):
        office.on_item(item, operation)
    assert office.item(item).status == status


@pytest.mark.parametrize("operation", [edit, cancel_work_item, resolve_work_item])
def test_closing_and_editing_need_the_write_scope(office: Office, operation: Callable[..., None]) -> None:
    item = office.decided()
    with pytest.raises(errors.PermissionDenied):
        office.on_item(item, operation, by="fay")
    assert office.item(item).status == "ready"


def test_a_review_goes_with_its_item(office: Office) -> None:
    item = office.decided(confidence=0.1)
    step = office.pending_step(item)
    office.on_item(item, cancel_work_item)
    assert (office.step(step).status, office.item(item).status) == ("cancelled", "cancelled")
