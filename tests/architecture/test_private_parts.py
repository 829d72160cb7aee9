"""Private parts of libraries: the exceptions of ADR 0035 exist as expected, and there are no others."""

from __future__ import annotations

import ast
import asyncio
import inspect

import pytest
from django.db.models import QuerySet
from granian.server.mp import MPServer, SocketHolder
from procrastinate import App
from procrastinate.testing import InMemoryConnector
from procrastinate.worker import Worker

from tests.architecture.test_layers import ROOT, source_files
from threada_site.database.bulk_delete import delete_rows
from threada_site.jobs.engines.procrastinate.worker import PoolWorker
from threada_site.runtime.web.limits import Limits
from threada_site.runtime.web.listening import BACKLOG, listening_socket
from workitems.models import Vote, WorkItem

DOCUMENTED = {"_meta", "_state", "_default_manager", "_exit", "_fields", "_replace", "_save"}
"""Names of Django, os and NamedTuple with an underscore that their documentation describes."""
EXCEPTIONS = {
    ("threada_site/api/authentication.py", "_request"),
}
"""Attributes of other objects, by file. `PoolWorker` uses those of its base class, which is tested below."""
OWN = {"_checked_at", "_identity", "_seconds", "_forms", "_own", "_refused"}
"""Attributes of classes of the product that other instances or modules of the same package use."""


def test_no_other_private_part_is_used() -> None:
    found = {
        (str(file.relative_to(ROOT)), node.attr)
        for file in source_files()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and not (isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"})
    }
    assert {entry for entry in found if entry[1] not in DOCUMENTED | OWN} == EXCEPTIONS


def test_worker_of_procrastinate_has_the_parts_that_are_overridden() -> None:
    own = {name for name in vars(PoolWorker) if name.startswith("_") and not name.startswith("__")}
    assert own == {"_periodic_deferrer"}
    for name, parameters in {
        "_periodic_deferrer": ["self"],
        "_handle_notification": ["self", "channel", "notification"],
    }.items():
        method = getattr(Worker, name)
        assert inspect.iscoroutinefunction(method)
        assert list(inspect.signature(method).parameters) == parameters


def test_worker_of_procrastinate_waits_for_the_event_that_is_set() -> None:
    async def main() -> None:
        worker = PoolWorker(app=App(connector=InMemoryConnector()))
        assert isinstance(worker._new_job_event, asyncio.Event)
        worker.wake()
        assert worker._new_job_event.is_set()
        worker._new_job_event.clear()
        await worker.tell(channel="any", notification={"type": "job_inserted", "job_id": 1})
        assert worker._new_job_event.is_set()

    asyncio.run(main())


def test_server_of_granian_takes_a_socket_of_our_own() -> None:
    assert list(inspect.signature(MPServer._init_shared_socket).parameters) == ["self"]
    spawning = inspect.getsource(MPServer._spawn_worker)
    assert "((self._ssp, self._shd), self._sso)" in spawning
    with listening_socket("127.0.0.1", 0, Limits()) as listener:
        holder = SocketHolder(listener.fileno(), False, BACKLOG)
        assert holder.get_fd() == listener.fileno()
        assert not holder.is_uds()


@pytest.mark.django_db
def test_rows_of_joined_tables_are_not_deleted() -> None:
    with pytest.raises(ValueError, match="must be selected from"):
        delete_rows(Vote.objects.filter(step__kind="approval"))
    rows: QuerySet[WorkItem] = WorkItem.objects.filter(external_ref="nobody's")
    delete_rows(rows)
