"""Tests of integrations: queued by a request, made by a job, ended once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from integrations import sweeps
from integrations.configuration.configure import upsert_integration
from integrations.configuration.secrets import upsert_secret
from integrations.models import IntegrationTest
from integrations.probes import run as probes
from telemetry.models import Receipt
from tests.client import Api
from tests.factories import acting_system, make_principal, make_tenant, make_token
from tests.jobs import run_jobs, waiting_jobs
from tests.ports import free_port
from tests.receivers.fixtures import Receiver
from tests.receivers.issued_certificates import Authority
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.kernel.context import EntryPoint
from threada_site.tenancy.models import Tenant

PATH = "/integrations/int_bank/test"


@pytest.fixture
def acme(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]
    settings.THREADA_SECRETS_KEY = "k" * 48
    monkeypatch.setenv("BANK_TOKEN", "canary-token")
    return make_tenant("acme")


@pytest.fixture
def api(acme: Tenant) -> Api:
    return Api(make_token(acme, make_principal(acme, "ivy", roles=("integration_manager",))))


def put(tenant: Tenant, base_url: str, slug: str = "int_bank", secret: dict[str, str] | None = None) -> None:
    auth = {"scheme": "bearer", "secret": secret or {"env": "BANK_TOKEN"}}
    spec = {
        "connector": "http",
        "base_url": base_url,
        "auth": auth,
        "actions": {"pay": {"method": "POST", "path": "/"}},
    }
    with unit_of_work(tenant.id):
        upsert_integration(slug, spec, ctx=acting_system(tenant, EntryPoint.COMMAND))


def rows_of(tenant: Tenant) -> list[IntegrationTest]:
    with unit_of_work(tenant.id):
        return list(IntegrationTest.objects.order_by("id"))


def change(tenant: Tenant, **columns: Any) -> None:
    with unit_of_work(tenant.id):
        IntegrationTest.objects.update(**columns)


def test_certificate_and_key_are_checked_and_bound_to_origins(acme: Tenant, api: Api, receiver: Receiver) -> None:
    url = f"https://127.0.0.1:{receiver.port}"
    auth = {"scheme": "mtls", "certificate": {"stored": "bank_cert"}, "private_key": {"stored": "bank_key"}}
    certificate, key = Authority().issue(ends_in=timedelta(days=3))

    def store(name: str, value: str, origin: str = url) -> None:
        answer = api.post("/secrets", {"secret_id": name, "value": value, "origins": [origin]})
        assert answer.status_code in (200, 201)

    def checks() -> dict[str, tuple[str | None, str]]:
        answer = api.post(PATH, {})
        run_jobs()
        ended = api.get(answer.headers["Location"]).json()
        assert not any(line in str(ended) for line in (certificate + key).split("\n") if len(line) > 20)
        return {check["check"]: (check["failure"], check["detail"]) for check in ended["checks"]}

    store("bank_cert", certificate)
    store("bank_key", key, "https://other.example")
    spec = {"connector": "http", "base_url": url, "auth": auth, "actions": {"go": {"method": "GET", "path": "/"}}}
    refused = api.post("/integrations", {"integration_id": "int_bank", "spec": spec}).json()
    assert (refused["reason_code"], "stored:bank_key" in refused["detail"]) == ("secret_origin_refused", True)
    store("bank_key", key)
    assert api.post("/integrations", {"integration_id": "int_bank", "spec": spec}).status_code == 201
    found = checks()
    assert list(found) == ["secret stored:bank_cert", "secret stored:bank_key", "client certificate", "connection"]
    day = (clock.now() + timedelta(days=3)).date().isoformat()
    assert found["client certificate"][0] is None
    assert found["client certificate"][1].startswith(f"is valid until {day}T")
    store("bank_cert", Authority().issue()[0])
    failure, detail = checks()["client certificate"]
    assert (failure, "and its private key do not serve" in detail) == ("credential_unavailable", True)


def test_a_job_makes_the_checks(acme: Tenant, api: Api, receiver: Receiver) -> None:
    put(acme, receiver.url)
    asked = api.post(PATH, {})
    shown = asked.json()
    assert (asked.status_code, shown["status"], shown["checks"], shown["failure"]) == (202, "queued", [], None)
    assert asked.headers["Location"] == f"/integrations/int_bank/tests/{shown['integration_test_id']}"
    assert asked.headers["Retry-After"] == "1"
    assert api.get(asked.headers["Location"]).json() == shown
    assert run_jobs() == ["integrations.run_test"]
    read = api.get(asked.headers["Location"])
    ended = read.json()
    assert (ended["status"], ended["failure"]) == ("passed", None)
    assert [(check["check"], check["ok"]) for check in ended["checks"]] == [
        ("secret env:BANK_TOKEN", True),
        ("connection", True),
    ]
    assert ended["finished_at"] >= ended["started_at"] >= ended["created_at"]
    assert "Retry-After" not in read.headers
    assert "canary" not in read.content.decode()
    assert receiver.requests() == []


def test_nothing_is_dialled_before_the_answer(acme: Tenant, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    put(acme, "http://127.0.0.1:9")

    def dialled(*_: object, **__: object) -> str:
        raise AssertionError("The request dialled.")

    monkeypatch.setattr("integrations.probes.probe.reach", dialled)
    assert api.post(PATH, {}).status_code == 202


def test_the_first_failure_is_the_reason(acme: Tenant, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BANK_TOKEN")
    put(acme, f"http://127.0.0.1:{free_port()}")
    where = api.post(PATH, {}).headers["Location"]
    run_jobs()
    shown = api.get(where).json()
    assert (shown["status"], shown["failure"]["reason_code"]) == ("failed", "credential_unavailable")
    assert [check["failure"] for check in shown["checks"]] == ["credential_unavailable", "connection_refused"]


def test_a_secret_of_another_origin_is_seen(acme: Tenant, api: Api, receiver: Receiver) -> None:
    with unit_of_work(acme.id):
        upsert_secret("token", "canary", origins=["https://elsewhere.example"], ctx=acting_system(acme))
    put(acme, receiver.url, secret={"stored": "token"})
    where = api.post(PATH, {}).headers["Location"]
    run_jobs()
    assert api.get(where).json()["failure"]["reason_code"] == "secret_origin_refused"


def test_a_second_request_returns_the_open_test(acme: Tenant, api: Api, receiver: Receiver) -> None:
    put(acme, receiver.url)
    first, second = (api.post(PATH, {}).json()["integration_test_id"] for _ in range(2))
    assert first == second
    assert len(rows_of(acme)) == 1
    with unit_of_work(acme.id):
        assert Receipt.objects.filter(kind="integration.test_requested").count() == 1
    run_jobs()
    assert api.post(PATH, {}).json()["integration_test_id"] != first
    change(acme, action="pay")
    assert api.post(PATH, {}).json()["reason_code"] == "too_many_tests", "a call is no check of the configuration"


def test_open_and_kept_tests_are_bounded(acme: Tenant, api: Api, receiver: Receiver) -> None:
    for number in range(probes.MOST_OPEN + 1):
        put(acme, receiver.url, slug=f"int_{number}")
    answers = [api.post(f"/integrations/int_{number}/test", {}) for number in range(probes.MOST_OPEN + 1)]
    assert [answer.status_code for answer in answers] == [202] * probes.MOST_OPEN + [429]
    turns = [job.priority for job in waiting_jobs() if job.task == probes.RUN_TEST]
    assert turns == [0, -1, -2, -3, -4], "the first of another tenant comes before the second"
    assert answers[-1].json()["reason_code"] == "too_many_tests"
    assert "Retry-After" in answers[-1].headers
    assert api.post("/integrations/int_0/test", {}).status_code == 202
    for _ in range(probes.MOST_KEPT + 2):
        run_jobs()
        api.post("/integrations/int_0/test", {})
    with unit_of_work(acme.id):
        assert IntegrationTest.objects.filter(integration__slug="int_0").count() == probes.MOST_KEPT


def test_a_lost_worker_ends_the_test(
    acme: Tenant, api: Api, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(acme, receiver.url)
    where = api.post(PATH, {}).headers["Location"]

    def die(*_: object, **__: object) -> dict[str, Any]:
        raise SystemExit

    with monkeypatch.context() as dying:
        dying.setattr(probes, "probe_integration", die)
        with pytest.raises(SystemExit):
            run_jobs()
    assert api.get(where).json()["status"] == "running"
    now = clock.now()
    assert sweeps.enqueue_due_tests(now=now) == 0
    assert sweeps.enqueue_due_tests(now=now + probes.LEASE_DURATION) == 1
    change(acme, lease_until=now - timedelta(seconds=1))
    assert run_jobs() == ["integrations.run_test"]
    shown = api.get(where).json()
    assert (shown["status"], shown["failure"]["reason_code"]) == ("failed", "worker_lost")
    asked = api.post(PATH, {})
    assert asked.json()["status"] == "queued"
    with unit_of_work(acme.id):
        queued = IntegrationTest.objects.filter(status="queued")
        queued.update(action="pay", status="running", lease_until=now - timedelta(seconds=1))
    run_jobs()
    assert "the receiver may have acted" in api.get(asked.headers["Location"]).json()["failure"]["detail"]


def test_a_late_worker_changes_nothing(
    acme: Tenant, api: Api, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(acme, receiver.url)
    where = api.post(PATH, {}).headers["Location"]
    (test,) = rows_of(acme)

    def slowly(*arguments: Any, **options: Any) -> dict[str, Any]:
        change(acme, lease_until=clock.now() - timedelta(seconds=1))
        probes.run_test(acme, test.id, ctx=acting_system(acme))  # another worker finds the lease expired
        return {"ok": True, "checks": []}

    monkeypatch.setattr(probes, "probe_integration", slowly)
    run_jobs()
    assert api.get(where).json()["failure"]["reason_code"] == "worker_lost"
    (after,) = rows_of(acme)
    assert after.checks[0]["check"] == "worker"


def test_a_job_that_runs_twice_checks_once(acme: Tenant, api: Api, receiver: Receiver) -> None:
    put(acme, receiver.url)
    api.post(PATH, {})
    run_jobs()
    (before,) = rows_of(acme)
    probes.run_test(acme, before.id, ctx=acting_system(acme))
    (after,) = rows_of(acme)
    assert (after.started_at, after.finished_at) == (before.started_at, before.finished_at)


def test_a_test_without_a_job_gets_one(acme: Tenant, api: Api, receiver: Receiver) -> None:
    put(acme, receiver.url)
    api.post(PATH, {})
    assert sweeps.enqueue_due_tests(now=clock.now()) == 0
    with unit_of_work(acme.id):
        integration = IntegrationTest.objects.get().integration_id
        version = IntegrationTest.objects.get().integration_version_id
        IntegrationTest.objects.all().delete()
        lost = IntegrationTest.objects.create(
            tenant_id=acme.id, integration_id=integration, integration_version_id=version, requested_by=ids.new_uuid()
        )
    assert sweeps.enqueue_due_tests(now=clock.now()) == 1
    run_jobs()
    assert [(test.id, test.status) for test in rows_of(acme)] == [(lost.id, "passed")]


def test_old_tests_are_deleted(acme: Tenant, api: Api, receiver: Receiver) -> None:
    put(acme, receiver.url)
    api.post(PATH, {})
    later = clock.now() + sweeps.TESTS_KEPT + timedelta(minutes=1)
    assert sweeps.delete_old_tests(now=later) == 0  # it is open
    run_jobs()
    assert sweeps.delete_old_tests(now=clock.now()) == 0
    assert sweeps.delete_old_tests(now=later) == 1
    assert rows_of(acme) == []


def test_others_see_no_test(acme: Tenant, api: Api, receiver: Receiver) -> None:
    put(acme, receiver.url)
    put(acme, receiver.url, slug="int_other")
    where = api.post(PATH, {}).headers["Location"]
    assert api.get(where.replace("int_bank", "int_other")).status_code == 404
    reader = Api(make_token(acme, make_principal(acme, "ann", roles=("operator",))))
    assert reader.get(where).json()["reason_code"] == "scope_missing"
    globex = make_tenant("globex")
    put(globex, receiver.url)
    stranger = Api(make_token(globex, make_principal(globex, "eve", roles=("integration_manager",))))
    assert stranger.get(where).status_code == 404
