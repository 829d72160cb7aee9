"""Requests with tokens of trusted issuers: a work item, rate limits, and the metadata for OAuth clients."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pytest_django import Settings

from policies.configuration.channels import upsert_channel
from policies.configuration.workflows import upsert_workflow
from policies.documents.workflow import parse_workflow
from telemetry.models import Receipt
from tests.client import Api
from tests.factories import acting_system
from tests.threada_site.api.conftest import assert_problem
from tests.threada_site.identity.trusted_issuers.conftest import trust
from tests.threada_site.identity.trusted_issuers.issuer import PUBLIC_URL, Issuer
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy import request_limits
from threada_site.tenancy.models import Tenant, User
from threada_site.tenancy.rate_limits import refusal_metrics
from workitems.models import WorkItem


def test_work_item_is_created_with_a_token_of_an_issuer(tenant: Tenant, deployer: User, online: Issuer) -> None:
    ctx = acting_system(tenant)
    with unit_of_work(tenant.id):
        upsert_channel("ci", ctx=ctx)
        upsert_workflow("release", parse_workflow({}), ctx=ctx)
    trust(tenant, online)
    body = {"workflow_id": "release", "channel_id": "ci", "payload": {}}
    answer = Api(online.token(), {"Idempotency-Key": "1"}).post("/work-items", body)
    assert answer.status_code == 201, answer.json()
    again = Api(online.token(), {"Idempotency-Key": "1"}).post("/work-items", body)
    assert again.json()["work_item_id"] == answer.json()["work_item_id"]
    with unit_of_work(tenant.id):
        (item,) = WorkItem.objects.all()
        assert item.submitted_by_id == deployer.id
        receipt = Receipt.objects.filter(kind="workitem.created").last() or Receipt.objects.filter(
            work_item_id=item.id
        ).earliest("id")
    assert b'"trusted_issuer":"ci"' in bytes(receipt.body)


def test_refused_tokens_use_up_the_limit_of_the_address(
    tenant: Tenant, deployer: User, offline: Issuer, settings: Settings
) -> None:
    settings.THREADA_RATE_LIMITS = {**settings.THREADA_RATE_LIMITS, "address": 1}
    settings.THREADA_RATE_BURST_SECONDS = 3
    trust(tenant, offline)
    tokens = [offline.token(aud="https://elsewhere.test") for _ in range(8)]
    codes = [Api(token).get("/me").json()["reason_code"] for token in tokens]
    assert codes[0] == "workload_token_untrusted"
    assert codes[-1] == "rate_limited"


def test_accepted_tokens_draw_from_the_limit_of_their_principal(
    tenant: Tenant, deployer: User, offline: Issuer, settings: Settings
) -> None:
    settings.THREADA_RATE_LIMITS = {**settings.THREADA_RATE_LIMITS, "credential": 1}
    settings.THREADA_RATE_BURST_SECONDS = 3
    trust(tenant, offline)
    statuses = [Api(offline.token()).get("/me").status_code for _ in range(12)]
    assert statuses[0] == 200
    assert statuses[-1] == 429


def test_metadata_of_the_protected_resource(db: None, settings: Settings) -> None:
    answer = Api().get("/.well-known/oauth-protected-resource")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    found = answer.json()
    assert (found["resource"], found["bearer_methods_supported"]) == (PUBLIC_URL, ["header"])
    assert "workitems:write" in found["scopes_supported"]
    missing = Api().get("/me")
    assert_problem(missing, 401, "credential_missing")
    assert (
        f'resource_metadata="{PUBLIC_URL}/.well-known/oauth-protected-resource"' in missing.headers["WWW-Authenticate"]
    )
    settings.THREADA_PUBLIC_URL = ""
    assert Api().get("/me").headers["WWW-Authenticate"] == 'Bearer realm="threada"'


@pytest.mark.slow
def test_code_of_providers_and_issuers_is_not_loaded_without_one() -> None:
    said = (
        "import threada_site.wsgi, threada_site.urls, sys; from django.contrib import admin; admin.site.urls; "
        "print([each for each in ('joserfc', 'signxml', 'lxml', 'scim2_server', 'dns', "
        "'threada_site.identity.trusted_issuers.authenticate') if each in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_refused_tokens_are_counted_by_reason(
    tenant: Tenant, deployer: User, offline: Issuer, settings: Settings
) -> None:
    settings.THREADA_RATE_LIMITS = {**settings.THREADA_RATE_LIMITS, "address": 10}
    trust(tenant, offline)
    request_limits.forget()
    for number in range(40):
        Api(offline.token(aud=f"https://elsewhere.test/{number}")).get("/me")
    with platform_role():
        found = {metric.labels[0][1]: metric.value for metric in refusal_metrics() if "authentication" in metric.name}
    assert found.keys() == {"workload_token_untrusted"}
    assert 0 < found["workload_token_untrusted"] <= 40  # some wait for the next lease
