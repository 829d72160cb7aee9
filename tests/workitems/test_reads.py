"""Prepared reads and updates find and change what Django's own would."""

from __future__ import annotations

import uuid

import pytest
from django.core.exceptions import FieldDoesNotExist
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext

from integrations import selectors as integration_selectors
from integrations.models import Execution
from policies.models import Channel
from tests.workitems.office import Office
from threada_site.database.batched_writes import batched_writes, insert_rows, update_row
from threada_site.database.prepared_reads import PreparedRead
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from workitems import selectors
from workitems.models import WorkItem


def _columns(row: Execution | WorkItem) -> dict[str, object]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def test_the_locked_rows_are_those_that_django_reads(office: Office) -> None:
    execution = office.execute(office.decided()).execution
    with unit_of_work(office.tenant.id):
        for _ in range(2):  # compiled, then prepared
            item = selectors.work_item_of_execution_for_update(execution.id, tenant_id=office.tenant.id)
            again = integration_selectors.execution_for_update(execution.id, tenant_id=office.tenant.id)
            assert item is not None
            assert again is not None
            plain = Execution.objects.get(id=execution.id)
            assert _columns(again) == _columns(plain)
            assert _columns(item) == _columns(WorkItem.objects.get(id=execution.work_item_id))
            with CaptureQueriesContext(
                connection,
            ) as queries:
                assert _columns(again.envelope) == _columns(plain.envelope)
                assert item.workflow_version.id == item.workflow_version_id
            assert len(queries) == 1, "only the plain one's envelope is asked for"


def test_the_rows_of_a_set_are_those_that_django_reads_and_share_what_they_refer_to(office: Office) -> None:
    before = [office.execute(office.decided()).execution for _ in range(2)]
    last_first, tenant_id = [row.id for row in reversed(before)], office.tenant.id
    with unit_of_work(tenant_id):
        for _ in range(2):  # built, then prepared
            rows = integration_selectors.due_executions_for_update(
                last_first, tenant_id=tenant_id, now=clock.now(), most=2
            )
            items = selectors.unlocked_items_for_update([row.work_item_id for row in rows], tenant_id=tenant_id)
            assert [_columns(row) for row in rows] == [_columns(Execution.objects.get(id=row.id)) for row in before]
            assert [_columns(items[row.work_item_id]) for row in rows] == [
                _columns(WorkItem.objects.get(id=row.work_item_id)) for row in before
            ]
            with CaptureQueriesContext(connection) as queries:
                first, second = rows
                assert first.envelope.id == first.envelope_id != second.envelope.id == second.envelope_id
                assert first.integration_version is second.integration_version
                assert len({id(item.workflow_version) for item in items.values()}) == 1
            assert len(queries) == 0
        (only,) = integration_selectors.due_executions_for_update(
            last_first, tenant_id=tenant_id, now=clock.now(), most=1
        )
        assert only.id == last_first[0]
        assert integration_selectors.unlocked_executions_for_update(last_first, tenant_id=uuid.uuid4()) == []
        found = integration_selectors.unlocked_executions_for_update(last_first, tenant_id=tenant_id)
        assert [row.id for row in found] == sorted(last_first)


def test_another_key_finds_nothing_and_another_tenant_neither(office: Office) -> None:
    execution = office.execute(office.decided()).execution
    with unit_of_work(office.tenant.id):
        assert integration_selectors.execution_for_update(uuid.uuid4(), tenant_id=office.tenant.id) is None
        assert integration_selectors.execution_for_update(execution.id, tenant_id=uuid.uuid4()) is None


def test_texts_and_ids_are_bound_in_place(office: Office) -> None:
    read = PreparedRead(
        lambda channel, tenant: WorkItem.objects.filter(tenant_id=tenant, channel=channel).order_by("id")
    )
    first, second = office.decided(), office.decided()
    with unit_of_work(office.tenant.id):
        assert [row.id for row in read(first.channel, office.tenant.id)] == [first.id, second.id]
        assert read("no' OR true --", office.tenant.id) == []


def test_an_update_changes_what_it_names_and_nothing_else(office: Office) -> None:
    execution = office.execute(office.decided()).execution
    with unit_of_work(office.tenant.id):
        execution.failure, execution.failure_detail, execution.attempts_made = "timeout", "It's late: 100 %", 7
        update_row(execution, "failure", "failure_detail")
        found = Execution.objects.get(id=execution.id)
        assert (found.failure, found.failure_detail, found.attempts_made) == ("timeout", "It's late: 100 %", 0)
        Execution.objects.filter(id=execution.id).update(status="cancelled")
        with pytest.raises(DatabaseError, match="is not there to be changed"):
            update_row(Execution(id=uuid.uuid4()), "failure")


def test_what_is_written_in_one_block_is_one_statement(office: Office) -> None:
    execution = office.execute(office.decided()).execution
    channel = Channel(tenant_id=office.tenant.id, slug="written-together")
    with unit_of_work(office.tenant.id):
        item = WorkItem.objects.get(id=execution.work_item_id)
        with CaptureQueriesContext(connection) as queries, batched_writes():
            item.external_ref, execution.failure = "100 % mine", "timeout"
            update_row(item, "external_ref")
            insert_rows(channel)
            update_row(execution, "failure")
            item.external_ref = "changed afterwards"
        assert len(queries) == 1
        assert WorkItem.objects.get(id=item.id).external_ref == "100 % mine"
        assert Execution.objects.get(id=execution.id).failure == "timeout"
        assert Channel.objects.get(slug="written-together").id == channel.id


def test_changes_of_one_row_become_one_change_of_its_last_values(office: Office) -> None:
    execution = office.execute(office.decided()).execution
    channel = Channel(tenant_id=office.tenant.id, slug="written-together")
    with unit_of_work(office.tenant.id):
        with CaptureQueriesContext(connection) as queries, batched_writes():
            insert_rows(channel)
            channel.name, channel.slug = "Changed", "not-written"
            update_row(channel, "name")
            for failure, trace in (("timeout", "first"), ("connection", "last")):
                execution.failure, execution.traceparent = failure, trace
                update_row(execution, "failure")
                update_row(execution, "traceparent")
        assert len(queries) == 1
        assert Channel.objects.get(id=channel.id).slug == "written-together"
        assert Channel.objects.get(id=channel.id).name == "Changed"
        found = Execution.objects.get(id=execution.id)
    assert (found.failure, found.traceparent) == ("connection", "last")


def test_a_block_that_raises_writes_nothing(office: Office) -> None:
    execution = office.execute(office.decided()).execution
    with unit_of_work(office.tenant.id), CaptureQueriesContext(connection) as queries:
        with pytest.raises(FieldDoesNotExist):
            _change_together((execution, "failure"), (execution, "no_field"))
        _change_together()
        assert len(queries) == 0


def test_a_block_says_which_row_is_gone(office: Office) -> None:
    execution = office.execute(office.decided()).execution
    gone = Execution(id=uuid.uuid4())
    with unit_of_work(office.tenant.id), pytest.raises(DatabaseError, match=f"Execution {gone.id} is not there"):
        _change_together((execution, "failure"), (gone, "failure"))


def _change_together(*changes: tuple[Execution, str]) -> None:
    with batched_writes():
        for row, field in changes:
            update_row(row, field)
