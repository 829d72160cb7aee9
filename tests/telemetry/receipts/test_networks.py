"""Receipts of the first use of a credential from a network."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from telemetry.models import AccountEvent, Receipt
from telemetry.receipts.networks import MOST_NETWORKS
from tests.client import Api
from tests.factories import acting, make_principal, make_token
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.source import Source, source_of
from threada_site.tenancy.models import Credential, Tenant
from workitems.retention.erasure import erase_principal


@pytest.fixture
def client(tenant: Tenant, api: Callable[..., Api]) -> Api:
    return api(make_token(tenant, make_principal(tenant, "alice")))


def read_from(client: Api, address: str, path: str = "/me", headers: dict[str, str] | None = None) -> int:
    client.client.defaults["REMOTE_ADDR"] = address
    return client.get(path, headers=headers).status_code


def used_from(tenant: Tenant) -> int:
    with unit_of_work(tenant.id):
        return Receipt.objects.filter(kind="credential.used_from").count()


def test_the_first_use_from_a_network_leaves_a_receipt(client: Api, tenant: Tenant) -> None:
    for address, receipts in (
        ("203.0.113.9", 1), ("203.0.113.200", 1), ("203.0.114.9", 2), ("203.0.113.9", 2),
        ("2001:db8:1:2::3", 3), ("2001:db8:1:ffff::3", 3), ("2001:db8:2::3", 4), ("::ffff:203.0.113.1", 4),
    ):  # fmt: skip
        assert read_from(client, address) == 200
        assert used_from(tenant) == receipts, address
    with unit_of_work(tenant.id):
        assert Credential.objects.get().networks == [
            "203.0.113.0/24", "203.0.114.0/24", "2001:db8:1::/48", "2001:db8:2::/48",
        ]  # fmt: skip


def test_requests_of_the_machine_itself_have_no_network(client: Api, tenant: Tenant) -> None:
    client.get("/me")
    read_from(client, "::1")
    read_from(client, "unix:")
    assert used_from(tenant) == 0


def test_a_known_network_costs_no_statement(client: Api, tenant: Tenant) -> None:
    read_from(client, "127.0.0.1")
    with CaptureQueriesContext(connection) as loopback:
        read_from(client, "127.0.0.1")
    read_from(client, "203.0.113.9")
    with CaptureQueriesContext(connection) as known:
        read_from(client, "203.0.113.9")
    assert len(known) == len(loopback)


def test_a_refused_request_records_its_network_too(client: Api, tenant: Tenant) -> None:
    assert read_from(client, "203.0.113.9", "/policies/none-such") == 404
    assert read_from(client, "203.0.114.9", headers={"Threada-Role": "tenant_admin"}) == 403
    assert used_from(tenant) == 2


def test_a_stranger_and_a_revoked_token_add_no_network(client: Api, tenant: Tenant, api: Callable[..., Api]) -> None:
    read_from(api("thr_" + "x" * 43), "203.0.113.9")
    with unit_of_work(tenant.id):
        credential = Credential.objects.get()
        credential.revoked_at = credential.created_at
        credential.save()
    assert read_from(client, "203.0.113.9") == 401
    assert used_from(tenant) == 0


def test_networks_per_credential_are_bounded(client: Api, tenant: Tenant) -> None:
    for number in range(MOST_NETWORKS + 3):
        read_from(client, f"198.51.{number}.1")
    with unit_of_work(tenant.id):
        networks = Credential.objects.get().networks
    assert len(networks) == MOST_NETWORKS
    assert networks[-1] == f"198.51.{MOST_NETWORKS + 2}.0/24"
    assert networks[0] == "198.51.3.0/24"


def test_erasing_the_principal_erases_its_networks(client: Api, tenant: Tenant) -> None:
    read_from(client, "203.0.113.9")
    steward = make_principal(tenant, "steward", roles=["tenant_admin"])
    with unit_of_work(tenant.id):
        credential = Credential.objects.get(user__username="alice")
        erase_principal(credential.user, ctx=acting(tenant, steward))
        credential.refresh_from_db()
        assert credential.networks == []
        assert not AccountEvent.objects.exclude(address="").exists()


@pytest.mark.parametrize(
    ("sent", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("unknown", ""),
        ("203.0.113.9, ", ""),
    ],
)
def test_addresses_of_the_trusted_proxy(sent: str, address: str) -> None:
    assert source_of({"HTTP_X_FORWARDED_FOR": sent}, is_behind_proxy=True).address == address


def test_a_source_without_an_address_has_no_network() -> None:
    assert Source().network is None
