"""Correlation ids: kept if well formed, otherwise generated, and repeated in response and ledger."""

from __future__ import annotations

import re

import pytest

from telemetry.models import Receipt
from tests.client import Api
from threada_site.api.correlation import correlation_id_for
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import Tenant

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
MADE = re.compile(r"[0-9a-f]{32}")


@pytest.mark.parametrize("sent", ["12345678", "order-4711:retry.2", "A" * 128])
def test_well_formed_correlation_id_is_kept(sent: str) -> None:
    assert correlation_id_for(sent, TRACEPARENT) == sent


@pytest.mark.parametrize(
    "sent", [None, "", "short", "A" * 129, "-leading", "with space", "x\nSet-Cookie: a=b", "ümlauts-1"]
)
def test_malformed_correlation_id_is_replaced_by_the_trace_id(sent: str | None) -> None:
    assert correlation_id_for(sent, TRACEPARENT) == TRACE


@pytest.mark.parametrize(
    "traceparent",
    [
        None,
        "",
        "nonsense",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        f"00-{TRACE}-1-01",
    ],
)
def test_correlation_id_is_generated_without_a_valid_trace(traceparent: str | None) -> None:
    made = {correlation_id_for(None, traceparent) for _ in range(100)}
    assert len(made) == 100
    assert all(MADE.fullmatch(one) for one in made)


def test_later_version_of_traceparent_is_read() -> None:
    assert correlation_id_for(None, f"01-{TRACE}-00f067aa0ba902b7-01-more") == TRACE


@pytest.mark.urls("tests.threada_site.api.shelf")
class TestAnswers:
    @pytest.mark.parametrize("path", ["/me", "/healthz", "/nothing", "/docs", "/openapi.json"])
    def test_every_response_contains_the_correlation_id(self, client: Api, path: str) -> None:
        sent = client.get(path, headers={"Threada-Correlation-Id": "order-4711"})
        assert sent.headers["Threada-Correlation-Id"] == "order-4711"
        assert MADE.fullmatch(client.get(path).headers["Threada-Correlation-Id"])

    def test_correlation_id_is_in_the_problem_and_the_receipt(self, tenant: Tenant, client: Api) -> None:
        response = client.get("/channels/absent", headers={"traceparent": TRACEPARENT})
        assert response.json()["correlation_id"] == TRACE
        with unit_of_work(tenant.id):
            assert Receipt.objects.get(kind="request.refused").correlation_id == TRACE
