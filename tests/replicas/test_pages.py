"""Every list of API and console is read from the replica, and nothing of it from the primary."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin import autodiscover, site
from django.urls import reverse
from pytest_django import Settings

from tests.client import Api
from tests.console.busy import busy_tenant
from tests.console.sign_in import confirm, sign_in
from tests.contract.document import Operation, in_tenants
from tests.contract.world import stock
from tests.factories import make_principal, make_tenant, make_token
from tests.jobs import run_jobs
from tests.journeys.demo import Demo
from tests.replicas.server import Replica
from threada_site.runtime.prepare import seed_demo
from threada_site.tenancy.models import Tenant, User

pytestmark = pytest.mark.slow

TENANT_TABLE = re.compile(r'(FROM|JOIN) "?(workitems|policies|integrations|telemetry)_')
PAGES = ("index", "summary", "workitems_decisionstep_desk", "workitems_decisionstep_decision_statistics",
         "integrations_execution_operations")  # fmt: skip


def is_list(operation: Operation) -> bool:
    names = {parameter.get("name") for parameter in operation.raw.get("parameters", [])}
    return operation.method == "GET" and ("cursor" in names or str(operation) == "readSummary")


def test_api_lists_are_read_from_the_replica(replica: Replica, asked: Any, caplog: pytest.LogCaptureFixture) -> None:
    home, of_another_tenant = stock("home"), stock("of_another_tenant")
    lists = [operation for operation in in_tenants() if is_list(operation)]
    assert len(lists) >= 23
    found = {}
    for operation in lists:
        with asked() as statements:
            answer = home.admin.get(operation.at(home.ids))
        assert answer.status_code == 200, (str(operation), answer.content)
        assert len(statements.primary) == 1, (str(operation), statements.primary)
        assert statements.replica, str(operation)
        found[str(operation)] = answer.json()
        assert f'"{of_another_tenant.ids["work_item_id"]}"' not in answer.content.decode()
        assert "of_another_tenant-" not in answer.content.decode(), str(operation)
    empty = [name for name, body in found.items() if body.get("data") == []]
    assert empty == ["listGrants", "listDeliveryAttempts", "listCheckpoints"]
    assert "replica_left_out" not in caplog.text


def test_replica_gives_the_same_answers_as_the_primary(replica: Replica, settings: Settings) -> None:
    home = stock("home")
    lists = [operation for operation in in_tenants() if is_list(operation) and str(operation) != "readSummary"]
    on_replica = [home.admin.get(operation.at(home.ids)).content for operation in lists]
    settings.THREADA_REPLICAS = []
    assert [home.admin.get(operation.at(home.ids)).content for operation in lists] == on_replica


@pytest.fixture
def demo(replica: Replica, settings: Settings) -> Demo:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    secrets = seed_demo()
    run_jobs()
    return Demo(Tenant.objects.get(slug="demo"), secrets)


def test_console_lists_are_read_from_the_replica(demo: Demo, asked: Any, caplog: pytest.LogCaptureFixture) -> None:
    busy_tenant(demo)
    browser = sign_in(User.objects.get(username="admin"))
    autodiscover()
    lists = sorted(f"{model._meta.app_label}_{model._meta.model_name}_changelist" for model in site._registry)
    for name in [*lists, *PAGES]:
        with asked() as statements:
            page = browser.get(reverse(f"admin:{name}"))
        assert page.status_code == 200, name
        assert [sql for sql in statements.primary if TENANT_TABLE.search(sql)] == [], name
        assert [sql for sql in statements.primary if "pg_current_wal_flush_lsn" in sql] != [], name
        assert len(statements.replica) > 1, name
        if name in lists:
            assert page.context["rows"], name
    assert "replica_left_out" not in caplog.text


def test_detail_pages_and_actions_use_the_primary(demo: Demo, asked: Any) -> None:
    busy = busy_tenant(demo)
    browser = sign_in(User.objects.get(username="finance-1"))
    with asked() as statements:
        assert browser.get(reverse("admin:workitems_decisionstep_change", args=[busy.step])).status_code == 200
        sent = {"envelope_sha256": busy.envelope_sha256}
        answer = browser.post(reverse("admin:workitems_decisionstep_approve", args=[busy.step]), sent)
        assert answer.status_code == 302
    assert statements.replica == []


def test_list_shows_the_effect_of_an_action(demo: Demo, replica: Replica, settings: Settings) -> None:
    busy = busy_tenant(demo)
    browser = sign_in(User.objects.get(username="admin"))
    assert len(browser.get("/console/workitems/workitem/?status=cancelled").context["rows"]) == 0
    settings.THREADA_REPLICA_WAIT_MS = 60
    replica.sql("SELECT pg_wal_replay_pause()")
    cancel = reverse("admin:workitems_workitem_cancel", args=[demo.hand_in({"vendor": "A", "amount_minor": 5})])
    assert confirm(browser, cancel, {"reason": "A test."}).status_code == 302
    assert len(browser.get("/console/workitems/workitem/?status=cancelled").context["rows"]) == 1
    assert busy.item


def test_unauthenticated_user_gets_nothing_from_the_replica(demo: Demo) -> None:
    busy_tenant(demo)
    globex = make_tenant("globex")
    gloria = make_principal(globex, "gloria", roles=["tenant_admin"])
    page = sign_in(gloria).get("/console/workitems/workitem/")
    assert page.context["rows"] == []
    assert Api(make_token(globex, gloria)).get("/work-items").json()["data"] == []
