"""The sweep of readings: no tenant and no hanging server holds up the others."""

from __future__ import annotations

from datetime import timedelta

import pytest

from integrations.configuration.configure import upsert_integration
from integrations.models import ToolList
from integrations.tools import reading
from integrations.tools.fetch import Tools, UnreadableTools
from integrations.tools.reading import MOST_OF_TENANT, enqueue_due_readings
from tests.factories import acting_system, make_tenant
from tests.jobs import lose_all_jobs, waiting_jobs
from threada_site.database.unit_of_work import unit_of_work
from threada_site.jobs.pools import all_pools
from threada_site.kernel import clock
from threada_site.kernel.context import EntryPoint
from threada_site.tenancy.models import Tenant

SPEC = {"connector": "mcp", "base_url": "https://tools.example/mcp", "actions": {"call_tool": {"resolves": True}}}


def test_readings_that_fail_come_last_and_a_tenant_has_a_share(tenant: Tenant) -> None:
    ctx = acting_system(tenant, EntryPoint.COMMAND)
    with unit_of_work(tenant.id):
        failing = upsert_integration("failing", SPEC, ctx=ctx).row
        ToolList.objects.create(
            tenant_id=tenant.id, integration=failing, failures=3, due_at=clock.now() - timedelta(hours=1)
        )
        for number in range(MOST_OF_TENANT + 1):
            upsert_integration(f"tools-{number}", SPEC, ctx=ctx)
    other = make_tenant("globex")
    with unit_of_work(other.id):
        upsert_integration("tools", SPEC, ctx=acting_system(other, EntryPoint.COMMAND))
    lose_all_jobs()
    assert enqueue_due_readings(now=clock.now()) == MOST_OF_TENANT + 1
    jobs = waiting_jobs()
    assert {job.arguments["tenant_id"] for job in jobs} == {str(tenant.id), str(other.id)}
    assert str(failing.id) not in {job.arguments["integration_id"] for job in jobs}
    (queue,) = {job.queue for job in jobs}
    (pool,) = [pool for pool in all_pools(4) if queue in pool.queues]
    assert pool.queues == (queue,)  # nothing else waits for MCP servers


def test_a_reading_asked_for_during_another_comes_next(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = acting_system(tenant, EntryPoint.COMMAND)
    with unit_of_work(tenant.id):
        row = upsert_integration("tools", SPEC, ctx=ctx).row

    def due_after(*, is_asked_for: bool, fails: bool) -> timedelta:
        """Read the tools once. Return the time from the beginning of the reading to the next one."""

        def fetch(*_: object) -> tuple[Tools, str, str]:
            if is_asked_for:
                reading.read_tools(tenant, row.id, ctx=ctx)
            if fails:
                raise UnreadableTools("It hangs.")
            return {}, "", ""

        monkeypatch.setattr(reading, "fetch_tools", fetch)
        with unit_of_work(tenant.id):
            ToolList.objects.update(tried_at=None, due_at=clock.now())
        reading.read_tools(tenant, row.id, ctx=ctx)
        with unit_of_work(tenant.id):
            found = ToolList.objects.get()
        assert found.tried_at is not None
        return found.due_at - found.tried_at

    for fails in (False, True):
        assert due_after(is_asked_for=True, fails=fails) == reading.SHORTEST_PAUSE
        assert due_after(is_asked_for=False, fails=fails) >= reading.INTERVAL
