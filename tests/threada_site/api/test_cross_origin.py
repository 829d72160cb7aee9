"""Pages of other origins: preflights, answers that a browser lets a page read, and those that it does not."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from telemetry.models import Receipt
from tests.client import Api
from tests.factories import acting, make_tenant
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.tenants import set_browser_origins
from threada_site.kernel import errors
from threada_site.tenancy.browser_origins import forget_origins, is_browser_origin
from threada_site.tenancy.models import Tenant, User

PAGE, OTHER = "https://app.example", "https://evil.example"
ALLOWED = "Access-Control-Allow-Origin"


@pytest.fixture(autouse=True)
def lists_read_anew() -> Iterator[None]:
    forget_origins()
    yield
    forget_origins()


def command(*words: str, tenant: Tenant) -> str:
    output = StringIO()
    call_command("browser_origins", *words, "--tenant", tenant.slug, stdout=output)
    forget_origins()
    return output.getvalue()


def preflight(path: str, origin: str) -> Any:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization",
    }
    return Client().options(path, headers=headers)


def allowed(answer: Any) -> str | None:
    """Return the origin whose pages may read the answer. Fail if cookies are allowed."""
    assert "Access-Control-Allow-Credentials" not in answer.headers
    return answer.headers.get(ALLOWED)


def test_no_page_of_another_origin_may_call_unless_it_is_listed(tenant: Tenant, client: Api) -> None:
    assert allowed(preflight("/work-items", PAGE)) is None
    assert allowed(client.get("/me", headers={"Origin": PAGE})) is None
    command("add", PAGE, tenant=tenant)
    passed = preflight("/work-items", PAGE)
    assert (passed.status_code, allowed(passed), passed.headers["Vary"]) == (204, PAGE, "Origin")
    assert {"Authorization", "If-Match", "Idempotency-Key", "Prefer"} <= set(
        passed.headers["Access-Control-Allow-Headers"].split(", ")
    )
    answer = client.get("/me", headers={"Origin": PAGE})
    assert (answer.status_code, allowed(answer)) == (200, PAGE)
    assert "Origin" in answer.headers["Vary"]
    exposed = set(answer.headers["Access-Control-Expose-Headers"].split(", "))
    assert {"ETag", "Location", "Retry-After", "RateLimit-Remaining", "Threada-Version"} <= exposed
    unknown = Client().get("/me", headers={"Origin": PAGE, "Authorization": "Bearer thr_wrong"})
    assert (unknown.status_code, allowed(unknown)) == (401, PAGE)
    for origin in (OTHER, "null", "*", f"{PAGE}.evil.example", PAGE.upper(), f"{PAGE}:443", ""):
        assert allowed(preflight("/work-items", origin)) is None
        assert allowed(client.get("/me", headers={"Origin": origin})) is None
    assert ALLOWED not in client.get("/me").headers
    command("remove", PAGE, tenant=tenant)
    assert allowed(preflight("/work-items", PAGE)) is None


def test_a_list_holds_for_its_tenant_alone(tenant: Tenant, client: Api) -> None:
    other = make_tenant("neighbour")
    command("add", PAGE, tenant=other)
    assert allowed(preflight("/me", PAGE)) == PAGE
    assert allowed(client.get("/me", headers={"Origin": PAGE})) is None
    Tenant.objects.filter(id=other.id).update(is_active=False)
    forget_origins()
    assert allowed(preflight("/me", PAGE)) is None


@pytest.mark.parametrize(
    "path",
    ["/console/", "/console/login/", "/healthz", "/openapi.json", "/docs", "/nothing", "/token", "/scim/v2/acme/Users"],
)
def test_console_and_public_pages_are_never_readable_elsewhere(path: str, tenant: Tenant) -> None:
    command("add", PAGE, tenant=tenant)
    assert allowed(preflight(path, PAGE)) is None
    assert allowed(Client().get(path, headers={"Origin": PAGE})) is None


def test_the_operator_alone_changes_the_list(tenant: Tenant, requester: User) -> None:
    assert command("add", PAGE, "http://localhost:5173", tenant=tenant).split() == ["http://localhost:5173", PAGE]
    assert command("add", PAGE, tenant=tenant) == command("list", tenant=tenant)
    with unit_of_work(tenant.id):
        (receipt,) = Receipt.objects.filter(kind="tenant.browser_origins_set")
    assert PAGE.encode() in bytes(receipt.body)
    with pytest.raises(SystemExit):
        command("add", f"{PAGE}/", tenant=tenant)
    with unit_of_work(tenant.id), pytest.raises(errors.PermissionDenied):
        set_browser_origins([OTHER], ctx=acting(tenant, requester))


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "null",
        "https://*.example",
        "https://app.example/",
        "http://app.example",
        "https://a@b",
        "https://a\n",
        "HTTPS://a",
    ],
)
def test_what_no_browser_sends_is_no_origin(text: str) -> None:
    assert not is_browser_origin(text)
