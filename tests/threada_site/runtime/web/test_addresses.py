"""Addresses of clients behind trusted proxies."""

from __future__ import annotations

import pytest

from threada_site.runtime.web.addresses import Addresses, Client, host_of, key_of
from threada_site.runtime.web.limits import Limits


def addresses(monkeypatch: pytest.MonkeyPatch, proxies: str = "", *, flag: bool = False) -> Addresses:
    monkeypatch.setenv("THREADA_TRUSTED_PROXIES", proxies)
    monkeypatch.setenv("THREADA_TRUSTED_PROXY", "true" if flag else "false")
    return Addresses(Limits.from_environment())


def test_forwarded_address_of_a_stranger_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for found in (addresses(monkeypatch), addresses(monkeypatch, "10.0.0.0/8")):
        assert found.client("192.0.2.1", "198.51.100.7") == Client("192.0.2.1", "192.0.2.1")


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("203.0.113.9, 198.51.100.7", "198.51.100.7"),  # the left entry was sent by the client
        ("198.51.100.7, 10.0.0.5", "198.51.100.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2:3::4"),
        ("198.51.100.7:50123", "198.51.100.7"),  # some proxies add the port of the client
        ("[2001:db8::1]:50123", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("198.51.100.7:50123, 10.0.0.5:8080, [::1]:443", "198.51.100.7"),
    ],
)
def test_first_untrusted_hop_is_the_client(monkeypatch: pytest.MonkeyPatch, forwarded: str, address: str) -> None:
    client = addresses(monkeypatch, "10.0.0.0/8 ::1").client("10.0.0.4", forwarded)
    assert (client.address, client.is_limited) == (address, True)


@pytest.mark.parametrize("forwarded", ["", "10.0.0.5", "nonsense", "198.51.100.7, nonsense", "10.0.0.5:80", "host:80"])
def test_proxy_itself_is_never_limited(monkeypatch: pytest.MonkeyPatch, forwarded: str) -> None:
    client = addresses(monkeypatch, "10.0.0.0/8").client("10.0.0.4", forwarded)
    assert client == Client("10.0.0.4", "10.0.0.4", is_limited=False)


def test_without_a_list_every_peer_is_a_proxy_that_adds_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    found = addresses(monkeypatch, flag=True)
    assert found.is_proxy("192.0.2.1")
    assert found.client("192.0.2.1", "203.0.113.9, 198.51.100.7").address == "198.51.100.7"


def test_mapped_address_of_a_proxy_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    assert addresses(monkeypatch, "10.0.0.4").is_proxy("::ffff:10.0.0.4")


def test_clients_with_ipv6_count_by_network() -> None:
    assert key_of("2001:db8:1:2:3::4") == key_of("2001:db8:1:2:ffff::1") == "2001:db8:1:2::/64"
    assert key_of("::ffff:192.0.2.1") == key_of("192.0.2.1") == "192.0.2.1"


def test_host_of_a_peer() -> None:
    assert host_of("192.0.2.1:80") == "192.0.2.1"
    assert host_of("[2001:db8::1]:80") == "2001:db8::1"


@pytest.mark.parametrize(
    ("name", "value"), [("THREADA_TRUSTED_PROXIES", "proxy.internal"), ("THREADA_HEAD_SECONDS", "0")]
)
def test_unusable_limit_ends_the_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=name):
        Limits.from_environment()
