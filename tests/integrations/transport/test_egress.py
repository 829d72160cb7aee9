"""Allowed and denied addresses. No packet is sent: the dialler is a recorder."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from integrations.transport import EgressPolicy, FailureClass, OutboundRequest, TransportFailure, send
from tests.integrations.recorders import RecordingNetwork

NOBODY = EgressPolicy()

DENIED_ADDRESSES = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255", "127.0.0.1",
    "127.255.255.254", "169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192",
    "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9",
    "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16",
    "::", "::1", "::7f00:1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
    "::ffff:0:8.8.8.8", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::8.8.8.8",
    "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:10::1", "2001:db8::1", "2002:7f00:1::1",
    "2002:808:808::1", "2606:4700::5efe:7f00:1", "2606:4700::200:5efe:a00:1", "3fff::1", "4000::1", "5f00::1",
    "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%1", "2606:4700::1111%1", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip
PUBLIC_ADDRESSES = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
    "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.167.255.255", "198.17.255.255", "198.20.0.0",
    "223.255.255.255", "2606:4700::1111", "2a00:1450:4001::200e", "2001:4860:4860::8888", "64:ff9b::8.8.8.8",
]  # fmt: skip
HOSTILE_URLS = [
    "http://127.0.0.1/", "http://127.0.0.1:80/", "http://127.1/", "http://127.0.1/", "http://0/", "http://0.0.0.0/",
    "http://2130706433/", "http://0x7f000001/", "http://0x7f.0x0.0x0.0x1/", "http://0177.0.0.1/", "http://017700000001/",
    "http://127.0.0.1.:80/", "http://127.0.0.01/", "http://0x7f.1/", "http://127.0.0.0x1/", "http://3232235521/",
    "http://[::1]/", "http://[::]/", "http://[0:0:0:0:0:0:0:1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://[fe80::1]/",
    "http://[fe80::1%25lo]/", "http://[fd00:ec2::254]/latest/meta-data", "http://169.254.169.254/latest/meta-data/",
    "http://169.254.43518/", "http://[::ffff:169.254.169.254]/", "http://100.100.100.200/", "http://192.0.0.192/",
    "http://10.0.0.1/", "http://192.168.1.1/", "http://172.16.0.1/", "http://224.0.0.1/", "http://255.255.255.255/",
    "http://%31%32%37.0.0.1/", "http://①②⑦.⓪.⓪.①/", "http://127。0。0。1/", "http://١٢٧.0.0.1/", "http://example.com@127.0.0.1/",
    "http://user:pass@example.com/", "http://example.com:80@127.0.0.1/", "http://example.com#@127.0.0.1/",
    "http://example.com\\@127.0.0.1/", "http:\\\\127.0.0.1/", "http:/127.0.0.1/", "http:127.0.0.1/", "//127.0.0.1/",
    "http://exam\tple.com/", "http://example.com\r\nHost: 127.0.0.1/", "http://example.com/ HTTP/1.1\r\nX: y", " http://example.com/",
    "http://example.com:0/", "http://example.com:65536/", "http://example.com:80:80/", "http://example..com/",
    "http://example.com./", "http://-example.com/", "http://bücher.example/", "http:///path", "http://", "",
    "https://[example.com]/", "http://[::1/", "file:///etc/passwd", "gopher://127.0.0.1:6379/_SET", "ftp://example.com/",
    "unix:///var/run/docker.sock", "dict://127.0.0.1:11211/", "javascript:alert(1)", "http://example.com/a b", "http://example.com/%zz",
    "http://example.com/\x00", "http://" + "a" * 64 + ".com/", "http://example.com/" + "a" * 9000,
]  # fmt: skip
HOSTILE_NAMES = {
    "localhost": ["127.0.0.1", "::1"],
    "internal.example": ["10.1.2.3"],
    "metadata.example": ["169.254.169.254"],
    "mixed.example": ["8.8.8.8", "127.0.0.1"],
    "mixed6.example": ["2606:4700::1111", "fd00::1"],
    "mapped.example": ["::ffff:10.0.0.1"],
    "scoped.example": ["fe80::1%1"],
    "tunnel.example": ["2002:a00:1::1"],
    "strange.example": ["not-an-address"],
}


@pytest.mark.parametrize("address", DENIED_ADDRESSES)
def test_address_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(TransportFailure) as refusal:
        NOBODY.check_address(address)
    assert refusal.value.failure is FailureClass.BLOCKED_ADDRESS
    assert refusal.value.ambiguous is False


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_public_address_is_let_through(address: str) -> None:
    assert str(NOBODY.check_address(address)) == str(ipaddress.ip_address(address))


def test_mapped_address_is_dialled_as_the_address_inside() -> None:
    assert str(NOBODY.check_address("::ffff:8.8.8.8")) == "8.8.8.8"


def test_no_address_that_python_calls_private_gets_through() -> None:
    """Compare with the table of the standard library, at the edges of every block of either."""
    edges = {edge for address in DENIED_ADDRESSES + PUBLIC_ADDRESSES if "%" not in address for edge in _around(address)}
    for address in edges:
        if address.is_private or address.is_multicast or address.is_reserved or address.is_link_local:
            if address in ipaddress.ip_network("64:ff9b::/96"):
                continue
            with pytest.raises(TransportFailure):
                NOBODY.check_address(str(address))


def _around(text: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    address = ipaddress.ip_address(text)
    around = []
    for prefix in range(address.max_prefixlen + 1):
        network = ipaddress.ip_network((text, prefix), strict=False)
        around += [network.network_address, network.broadcast_address]
    return around


def test_operator_opens_what_the_list_names_and_no_more() -> None:
    egress = EgressPolicy(["127.0.0.0/8", "10.1.2.3", "fd00:1::/32"])
    for address in ("127.0.0.1", "10.1.2.3", "fd00:1::5", "::ffff:127.0.0.1"):
        egress.check_address(address)
    for address in ("10.1.2.4", "fd00:2::5", "::1", "169.254.169.254", "64:ff9b::10.1.2.3"):
        with pytest.raises(TransportFailure):
            egress.check_address(address)


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "localhost", "10.0.0.0/33", "", "*"])
def test_list_with_a_wrong_entry_is_refused_by_name(entry: str) -> None:
    with pytest.raises(ValueError, match="THREADA_EGRESS_ALLOW"):
        EgressPolicy([entry])


@pytest.mark.parametrize("url", HOSTILE_URLS)
def test_hostile_url_dials_nothing(url: str) -> None:
    network = RecordingNetwork()
    with pytest.raises(TransportFailure) as refusal:
        send(OutboundRequest("GET", url), egress=NOBODY, timeout_s=1, max_body_bytes=1000, network=network)
    assert refusal.value.failure is FailureClass.BLOCKED_ADDRESS
    assert network.resolved == []
    assert network.dialled == []


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_name_with_one_bad_address_dials_nothing(name: str) -> None:
    network = RecordingNetwork(HOSTILE_NAMES)
    with pytest.raises(TransportFailure) as refusal:
        send(OutboundRequest("GET", f"http://{name}/"), egress=NOBODY, timeout_s=1, max_body_bytes=1, network=network)
    assert refusal.value.failure is FailureClass.BLOCKED_ADDRESS
    assert network.dialled == []


def test_there_are_sixty_hostile_forms_and_more() -> None:
    assert len(set(HOSTILE_URLS)) == len(HOSTILE_URLS) >= 77


def test_public_name_dials_its_checked_addresses_in_order() -> None:
    network = RecordingNetwork({"api.example": ["2606:4700::1111", "8.8.8.8"]})
    with pytest.raises(TransportFailure) as refusal:
        send(
            OutboundRequest("GET", "https://api.example/x"),
            egress=NOBODY,
            timeout_s=1,
            max_body_bytes=1,
            network=network,
        )
    assert refusal.value.failure is FailureClass.CONNECTION_REFUSED
    assert network.dialled == [("2606:4700::1111", 443), ("8.8.8.8", 443)]


def test_resolver_that_changes_its_answer_is_asked_once() -> None:
    class Rebinding(RecordingNetwork):
        def resolve(self, host, port, deadline):  # type: ignore[no-untyped-def]
            self.resolved.append(host)
            return ["8.8.8.8"] if len(self.resolved) == 1 else ["127.0.0.1"]

    network = Rebinding()
    request = OutboundRequest("GET", "http://rebinding.example/")
    with pytest.raises(TransportFailure):
        send(request, egress=NOBODY, timeout_s=1, max_body_bytes=1, network=network)
    assert network.dialled == [("8.8.8.8", 80)]
    with pytest.raises(TransportFailure) as second:
        send(request, egress=NOBODY, timeout_s=1, max_body_bytes=1, network=network)
    assert second.value.failure is FailureClass.BLOCKED_ADDRESS
    assert network.dialled == [("8.8.8.8", 80)]


def test_url_must_lie_where_the_integration_points() -> None:
    where = {"allowed_host": "api.example", "allowed_scheme": "https", "allowed_port": 443}
    target = NOBODY.check_url("https://API.example/v1/pay?x=%2F", **where)  # type: ignore[arg-type]
    assert (target.origin, target.path) == (("https", "api.example", 443), "/v1/pay?x=%2F")
    for url in (
        "https://api.example.evil/",
        "http://api.example/",
        "https://api.example:8443/",
        "https://evil.example/",
    ):
        with pytest.raises(TransportFailure) as refusal:
            NOBODY.check_url(url, **where)  # type: ignore[arg-type]
        assert refusal.value.failure is FailureClass.BLOCKED_ADDRESS


LOOPBACK_FORMS = [
    "127.0.0.1", "127.1", "127.0.1", "0", "0.0.0.0", "2130706433", "0x7f000001", "0x7f.0x0.0x0.0x1", "0x7f.1", "0177.0.0.1",
    "017700000001", "127.0.0.01", "127.0.0.1.", "127.255.255.254", "localhost", "LOCALHOST", "localhost.", "[::1]", "[::]",
    "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[::1%25lo]",
    "example.com@127.0.0.1", "127。0。0。1", "①②⑦.⓪.⓪.①", "%31%32%37.0.0.1", "[fe80::1%25lo]",
]  # fmt: skip


@pytest.mark.parametrize("form", LOOPBACK_FORMS)
def test_no_form_of_loopback_reaches_a_real_listener(form: str) -> None:
    """Uses the system's resolver and sockets, so that an allowed form would reach the listener."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        listener.settimeout(0.05)
        port = listener.getsockname()[1]
        with pytest.raises(TransportFailure) as refusal:
            send(OutboundRequest("GET", f"http://{form}:{port}/"), egress=NOBODY, timeout_s=1, max_body_bytes=100)
        assert refusal.value.failure in (FailureClass.BLOCKED_ADDRESS, FailureClass.CONNECTION_REFUSED)
        with pytest.raises(TimeoutError):
            listener.accept()
