"""`/me`, the probes and the metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families

from telemetry.receipts.signing import receipt_keyring
from tests.client import Api
from tests.factories import make_principal, make_token
from tests.scraping import scrape
from tests.threada_site.api.conftest import assert_problem
from threada_site.api import system
from threada_site.api.monitoring import readiness
from threada_site.api.system import clear_cached_page
from threada_site.database.roles import owner_role, platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.jobs.enqueue import enqueue
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import Credential, SchemaMigration, Tenant

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
    @pytest.fixture(autouse=True)
    def nothing_cached(self) -> Iterator[None]:
        readiness.forget()
        yield
        readiness.forget()

    def test_readyz_reads_the_catalogue_once_a_second(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def statements() -> int:
            with CaptureQueriesContext(connection) as captured:
                assert Api().get("/readyz").status_code == 200
            return len(captured)

        statements()
        readiness.forget()
        statements()
        monkeypatch.setattr(readiness, "CACHED_SECONDS", 60.0)
        readiness._sound_until.clear()
        assert [statements(), statements()] == [11, 1]

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

    def test_readyz_reports_a_database_that_accepts_no_writes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(readiness, "CACHED_SECONDS", 60.0)
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
        problem = assert_problem(Api().get("/readyz"), 503, "not_ready")
        assert problem["detail"].startswith("The database accepts no writes: it is read-only")
        with CaptureQueriesContext(connection) as captured:  # the answer is cached for a second
            assert assert_problem(Api().get("/readyz"), 503, "not_ready")["detail"] == problem["detail"]
        assert len(captured) == 0

    def test_readyz_reports_a_schema_of_newer_code(self) -> None:
        """Unless its migration is recorded as compatible. A migration without a record is not."""
        migration = ("tenancy", "0999_of_newer_code")
        with owner_role(), connection.cursor() as cursor:
            cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, now())", migration)
        assert "tenancy.0999_of_newer_code" in assert_problem(Api().get("/readyz"), 503, "not_ready")["detail"]
        record = SchemaMigration(name=".".join(migration), is_compatible=False, version="0.9.1")
        with platform_role():
            record.save()
        readiness.forget()
        assert "Run Threada 0.9.1 here" in assert_problem(Api().get("/readyz"), 503, "not_ready")["detail"]
        record.is_compatible = True
        with platform_role():
            record.save()
        readiness.forget()
        assert Api().get("/readyz").status_code == 200

    def test_readyz_reports_a_missing_key_of_receipts(self, settings: object, tmp_path: Path) -> None:
        settings.THREADA_DATA_DIR = tmp_path
        receipt_keyring().make()
        (tmp_path / "keys" / "receipt_key_web").unlink()
        detail = assert_problem(Api().get("/readyz"), 503, "not_ready")["detail"]
        assert detail.startswith("Receipts cannot be signed: ")
        assert "receipt_key_web is missing. Restore it from your backup, or set THREADA_RECEIPT_KEY" in detail
        receipt_keyring().make()  # another one
        readiness.forget()
        detail = assert_problem(Api().get("/readyz"), 503, "not_ready")["detail"]
        assert "is not among the public keys" in detail

    def test_readyz_reports_a_missing_migration(self) -> None:
        with owner_role(), connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_migrations WHERE app = 'workitems'")
        assert "manage.py upgrade" in assert_problem(Api().get("/readyz"), 503, "not_ready")["detail"]


class TestMetrics:
    def read(self) -> dict[tuple[str, str], float]:
        return {
            (sample.name, sample.labels.get("status", "")): sample.value
            for family in text_string_to_metric_families(scrape())
            for sample in family.samples
        }

    def test_metrics_of_an_empty_instance_are_zero(self, db: None) -> None:
        found = self.read()
        assert found["threada_months_ahead", ""] == 3
        local = ("threada_http_", "threada_disk_", "threada_database_", "threada_build_")
        found = {key: value for key, value in found.items() if not key[0].startswith(local)}
        assert {value for (name, _), value in found.items() if name != "threada_months_ahead"} == {0.0}
        assert {name for name, _ in found} == {
            "threada_months_ahead",
            "threada_tables_beyond_months",
            "threada_jobs_waiting",
            "threada_jobs_running",
            "threada_jobs_oldest_due_seconds",
            "threada_jobs_left_behind",
            "threada_jobs_left_behind_oldest_due_seconds",
            "threada_receipts_unsealed",
            "threada_receipts_unsealed_oldest_seconds",
            "threada_receipts_quarantined",
            "threada_receipts_sealed",
            "threada_checkpoint_oldest_seconds",
            "threada_logs_broken",
            "threada_notices_failed",
            "threada_notices_unsent",
            "threada_notices_unsent_oldest_seconds",
            "threada_checkpoint_targets_failing",
            "threada_rate_limited_requests",
            "threada_quota_largest_share",
            "threada_quota_tenants_at_limit",
            "threada_executions_open",
            "threada_executions_due",
            "threada_executions_oldest_due_seconds",
            "threada_executions_ended",
            "threada_executions_ended_failures",
            "threada_executions_simulated",
            "threada_executions_awaiting_callback",
            "threada_calls_recent",
            "threada_call_seconds",
            "threada_breakers_open",
            "threada_integrations_waiting",
            "threada_decision_steps_pending",
            "threada_configuration_drifted_documents",
            "threada_deliveries",
            "threada_delivery_behind_receipts",
            "threada_delivery_failing_seconds",
            "threada_delivery_rejected_receipts",
            "threada_work_items_nobody_can_decide",
            "threada_policy_emergencies_unconfirmed",
            "threada_evaluators_started",
            "threada_evaluators_failed",
            "threada_evaluator_runs_waited",
            "threada_evaluator_runs_refused",
            "threada_clock_skew_seconds",
        }
        assert {status for name, status in found if name == "threada_executions_open"} == {
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
        found = self.read()
        assert found["threada_jobs_waiting", ""] == 4
        assert found["threada_receipts_unsealed", ""] == 2
        assert 0 <= found["threada_receipts_unsealed_oldest_seconds", ""] < 60
        assert 0 <= found["threada_jobs_oldest_due_seconds", ""] < 60
        assert "acme" not in scrape()

    @pytest.mark.parametrize(
        "sent", ["", "Bearer", "Bearer thr_short", "Basic {token}", "Bearer {token}x", "Bearer \xff"]
    )
    def test_without_the_metrics_token_nothing_is_shown(self, sent: str) -> None:
        """Without a fixture of the database, any statement would fail."""
        token = settings.THREADA_METRICS_TOKENS[0]
        headers = {"Authorization": sent.format(token=token)} if sent else {}
        response = Api(headers=headers).get("/metrics")
        assert_problem(response, 401, "credential_invalid" if sent else "credential_missing")
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="threada-metrics"'
        assert token not in response.content.decode()

    def test_the_credential_of_a_tenant_is_no_metrics_token(self, tenant: Tenant) -> None:
        token = make_token(tenant, make_principal(tenant, roles=["tenant_admin"]))
        assert_problem(Api(token).get("/metrics"), 401, "credential_invalid")
        assert_problem(Api(settings.THREADA_METRICS_TOKENS[0]).get("/me"), 401, "credential_invalid")

    def test_scraping_more_often_reads_the_database_no_more_often(
        self, db: None, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
    ) -> None:
        scrape()
        api = Api(settings.THREADA_METRICS_TOKENS[0])
        with django_assert_num_queries(0):
            assert {api.get("/metrics").status_code for _ in range(20)} == {200}
        monkeypatch.setattr(system, "CACHED_SECONDS", 0.0)
        with CaptureQueriesContext(connection) as captured:
            api.get("/metrics")
        assert len(captured) > 5

    def test_requests_at_the_same_time_wait_for_one_collection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        collections: list[int] = []

        def collected(_registry: Any) -> bytes:
            collections.append(1)
            time.sleep(0.2)
            return b""

        monkeypatch.setattr(system, "generate_latest", collected)
        clear_cached_page()
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: system._page.text(), range(8)))
        clear_cached_page()
        assert len(collections) == 1

    def test_steps_and_executions_are_counted(self, tenant: Tenant) -> None:
        from integrations.models import Execution
        from tests.threada_site.tenancy.rows import RowMaker
        from workitems.models import DecisionStep

        maker = RowMaker(tenant)
        with unit_of_work(tenant.id):
            maker.one(DecisionStep)
            maker.build(Execution, status="started").save(force_insert=True)
        found = self.read()
        assert found["threada_decision_steps_pending", ""] == 1
        assert found["threada_executions_open", "started"] == 1
        assert found["threada_executions_open", "running"] == 0


def test_all_tokens_of_a_rotation_are_accepted(db: None, settings: Any) -> None:
    settings.THREADA_METRICS_TOKENS = ["the-new-one", "the-old-one"]
    for token in settings.THREADA_METRICS_TOKENS:
        assert Api(token).get("/metrics").status_code == 200
    settings.THREADA_METRICS_TOKENS = ["the-new-one"]
    assert Api("the-new-one").get("/metrics").status_code == 200
    assert_problem(Api("the-old-one").get("/metrics"), 401, "credential_invalid")
