"""`/me`, the probes and the metrics."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from prometheus_client.parser import text_string_to_metric_families

from tests.client import Api
from tests.factories import make_principal, make_token
from tests.threada_site.api.conftest import assert_problem
from threada_site.api import system
from threada_site.database.roles import owner_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.jobs.enqueue import enqueue
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import Credential, Tenant

pytestmark = pytest.mark.urls("tests.threada_site.api.shelf")


class TestMe:
    def test_me_returns_principal_and_permissions(self, tenant: Tenant) -> None:
        robot = make_principal(tenant, "robot", kind="agent", roles=["requester", "auditor"])
        asked = ["workitems:read", "telemetry:read"]
        me = Api(make_token(tenant, robot, asked, expires_in=timedelta(days=1))).get("/me")
        with unit_of_work(tenant.id):
            credential = Credential.objects.get()
        assert me.json() == {
            "principal_id": ids.public_id("pr", robot.id),
            "kind": "agent",
            "name": "robot",
            "tenant": "acme",
            "roles": ["auditor", "requester"],
            "groups": [],
            "scopes": ["telemetry:read", "workitems:read"],
            "credential_id": credential.public_id,
            "credential_expires_at": clock.rfc3339(credential.expires_at),
            "memberships": 1,
        }

    def test_me_requires_a_credential_but_no_scope(self, tenant: Tenant) -> None:
        assert_problem(Api().get("/me"), 401, "credential_missing")
        powerless = make_principal(tenant, "zoe", roles=["auditor"])
        token = make_token(tenant, powerless, ["telemetry:read"])
        assert Api(token, headers={"Threada-Role": "auditor"}).get("/me").status_code == 200


class TestHealthz:
    def test_healthz_uses_no_database(self) -> None:
        response = Api().get("/healthz", headers={"Accept": "text/plain"})  # this test has no database access
        assert (response.status_code, response.json()) == (200, {"status": "alive"})


@pytest.mark.django_db
class TestReadyz:
    def test_readyz_of_a_ready_instance(self) -> None:
        response = Api().get("/readyz")
        assert (response.status_code, response.json()) == (200, {"status": "ready"})

    def test_readyz_is_starting_until_the_file_exists(self, tmp_path: Path, settings: object) -> None:
        settings.THREADA_READY_FILE = str(tmp_path / "ready")
        response = Api().get("/readyz")
        assert_problem(response, 503, "starting")
        assert response.headers["Retry-After"] == "1"
        (tmp_path / "ready").touch()
        assert Api().get("/readyz").status_code == 200

    def test_readyz_reports_a_table_without_policy(self) -> None:
        with owner_role(), connection.cursor() as cursor:
            cursor.execute("ALTER TABLE tenancy_role NO FORCE ROW LEVEL SECURITY")
        document = assert_problem(Api().get("/readyz"), 503, "not_ready")
        assert "tenancy_role" in document["detail"]

    def test_readyz_reports_a_missing_migration(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(system, "_applied", set())
        with owner_role(), connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_migrations WHERE app = 'workitems'")
        assert "migrate" in assert_problem(Api().get("/readyz"), 503, "not_ready")["detail"]


class TestMetrics:
    def metrics(self) -> dict[tuple[str, str], float]:
        response = Api().get("/metrics", headers={"Accept": "text/plain"})
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        return {
            (sample.name, sample.labels.get("status", "")): sample.value
            for family in text_string_to_metric_families(response.content.decode())
            for sample in family.samples
        }

    def test_metrics_of_an_empty_instance_are_zero(self, db: None) -> None:
        metrics = self.metrics()
        assert metrics["threada_months_ahead", ""] == 3
        assert {value for (name, _), value in metrics.items() if name != "threada_months_ahead"} == {0.0}
        assert {name for name, _ in metrics} == {
            "threada_months_ahead",
            "threada_tables_beyond_months",
            "threada_jobs_waiting",
            "threada_jobs_running",
            "threada_jobs_oldest_due_seconds",
            "threada_jobs_left_behind",
            "threada_jobs_left_behind_oldest_due_seconds",
            "threada_receipts_unsealed",
            "threada_receipts_unsealed_oldest_seconds",
            "threada_receipts_sealed",
            "threada_checkpoint_oldest_seconds",
            "threada_logs_broken",
            "threada_notices_failed",
            "threada_notices_unsent",
            "threada_notices_unsent_oldest_seconds",
            "threada_checkpoint_targets_failing",
            "threada_executions_open",
            "threada_executions_due",
            "threada_executions_oldest_due_seconds",
            "threada_executions_ended",
            "threada_executions_ended_failures",
            "threada_executions_awaiting_callback",
            "threada_calls_recent",
            "threada_call_seconds",
            "threada_breakers_open",
            "threada_integrations_waiting",
            "threada_decision_steps_pending",
            "threada_deliveries",
            "threada_delivery_behind_receipts",
            "threada_delivery_failing_seconds",
            "threada_delivery_rejected_receipts",
            "threada_work_items_nobody_can_decide",
            "threada_policy_emergencies_unconfirmed",
            "threada_clock_skew_seconds",
        }
        assert {status for name, status in metrics if name == "threada_executions_open"} == {
            "awaiting_approval",
            "started",
            "running",
            "outcome_unknown",
        }

    def test_metrics_cover_all_tenants_and_name_none(self, tenant: Tenant, other_tenant: Tenant) -> None:
        for place in (tenant, other_tenant):
            with unit_of_work(place.id):
                enqueue("workitems.decide_intake", tenant_id=place.id)
                enqueue("workitems.decide_intake", tenant_id=place.id, run_at=clock.now() + timedelta(hours=1))
        metrics = self.metrics()
        assert metrics["threada_jobs_waiting", ""] == 4
        assert metrics["threada_receipts_unsealed", ""] == 2
        assert 0 <= metrics["threada_receipts_unsealed_oldest_seconds", ""] < 60
        assert 0 <= metrics["threada_jobs_oldest_due_seconds", ""] < 60
        assert b"acme" not in Api().get("/metrics").content

    def test_steps_and_executions_are_counted(self, tenant: Tenant) -> None:
        from integrations.models import Execution
        from tests.threada_site.tenancy.rows import RowMaker
        from workitems.models import DecisionStep

        maker = RowMaker(tenant)
        with unit_of_work(tenant.id):
            maker.one(DecisionStep)
            maker.build(Execution, status="started").save(force_insert=True)
        metrics = self.metrics()
        assert metrics["threada_decision_steps_pending", ""] == 1
        assert metrics["threada_executions_open", "started"] == 1
        assert metrics["threada_executions_open", "running"] == 0
