"""Calls that do not end, of one tenant, and calls of another tenant meanwhile, with a worker in its own process.

The web process holds requests without a thread, and at most a share of them for one tenant: `test_held_requests.py`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from pytest_django import Settings

from integrations.models import Execution
from tests.adversarial.waiting import until
from tests.journeys.worker import running_worker
from tests.receivers.fixtures import Receiver
from tests.workitems.mcp.test_gateway import Gateway
from tests.workitems.mcp.upstream import offer_tools
from tests.workitems.office import open_office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import Tenant

CALL_SLOTS = 32
ENDLESS = 40
CALLS = 4

pytestmark = [pytest.mark.adversarial, pytest.mark.django_db(transaction=True)]


def test_endless_calls_of_one_tenant_do_not_delay_calls_of_another(
    tenant: Tenant, other_tenant: Tenant, settings: Settings, tmp_path: Path
) -> None:
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]
    upstream = Receiver(tmp_path, kind="mcp_server")
    try:
        agents = []
        for office in map(open_office, (tenant, other_tenant)):
            offer_tools(office.tenant.slug, f"{upstream.url}/mcp")
            office.join("bot", kind="agent", roles=("client",))
            agents.append(Gateway(office.api("bot")))
        noisy, quiet = agents
        for number in range(ENDLESS):
            assert noisy.status("look_up", text=f"endless {number}") == "started"
        with running_worker(THREADA_EGRESS_ALLOW="127.0.0.1/32"):
            upstream.wait_for(CALL_SLOTS, timeout_s=60)
            for number in range(CALLS):
                text = f"quick {number}"
                quiet.call("look_up", text=text)
                until(partial(_has_result, quiet, text))
            with unit_of_work(tenant.id):
                assert not Execution.objects.exclude(status__in=("started", "running")).exists()
            upstream.stop()
    finally:
        upstream.stop()


def _has_result(agent: Gateway, text: str) -> bool:
    return bool(agent.call("look_up", text=text)["structuredContent"] == {"text": f"look_up: {text}"})
