"""Origins of secrets: parsing, comparison, prefixes, and plain http."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.secrets.origins import Origin, UnusableOrigin, is_confidential, parse_origin, shown_address
from integrations.transport import EgressPolicy, UnusableUrl, read_url

LOOPBACK = EgressPolicy(["127.0.0.0/8", "::1/128"])
NOTHING = EgressPolicy()


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("https://bank.example", "https://bank.example"),
        ("HTTPS://Bank.Example:443/", "https://bank.example"),
        ("https://bank.example:8443/v1/", "https://bank.example:8443/v1"),
        ("https://bank.example/%7eann/%2dx/%c3%a9", "https://bank.example/~ann/-x/%C3%A9"),
        ("https://[2001:DB8::1]:444", "https://[2001:db8::1]:444"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://BÜCHER.example", "https://xn--bcher-kva.example"),
        ("https://bücher\u3002example", "https://xn--bcher-kva.example"),
        ("http://127.0.0.1:80/a", "http://127.0.0.1/a"),
        ("smtps://mail.example:465", "smtps://mail.example"),
        ("smtp+starttls://mail.example:587/", "smtp+starttls://mail.example"),
        ("smtp+starttls://mail.example:25", "smtp+starttls://mail.example:25"),
    ],
)
def test_an_origin_has_one_canonical_text(written: str, canonical: str) -> None:
    origin = parse_origin(written)
    assert str(origin) == canonical
    assert parse_origin(canonical) == origin


@pytest.mark.parametrize(
    "written",
    [
        "",
        "bank.example",
        "//bank.example",
        "https:bank.example",
        "https:///x",
        "ftp://bank.example",
        "smtp://mail.example",
        "smtps://mail.example/x",
        "https://user@bank.example",
        "https://user:password@bank.example",
        "https://evil.example/@bank.example?x",
        "https://bank.example?x=1",
        "https://bank.example#x",
        "https://bank.example\\v1",
        "https://bank.example/v1\\..",
        "https://bank.example/../v1",
        "https://bank.example/v1/..",
        "https://bank.example/v1/./x",
        "https://bank.example/%2e%2e/v1",
        "https://bank.example/%252e%252e/v1",
        "https://bank.example/..;a=1/v1",
        "https://bank.example/..%2fv1",
        "https://bank.example/..%5cv1",
        "https://bank.example/%e2%80%a5/v1",
        "https://bank.example/%c0%ae%c0%ae/v1",
        "https://bank.example/v1%00",
        "https://bank.example/v1//x",
        "https://bank.example//v1",
        "https://bank.example/a b",
        "https://bank.example.",
        "https://bank..example",
        "https://127.1",
        "https://0x7f000001",
        "https://bank.example:0",
        "https://bank.example:65536",
        "https://bank.example:",
        "https://*.example",
        "https://ba\u200bnk.example",
        "https://\u217aank.example",
        "https://[::1%25eth0]",
        " https://bank.example",
        "https://bank.example\n",
    ],
)
def test_ambiguous_texts_are_no_origins(written: str) -> None:
    with pytest.raises(UnusableOrigin):
        parse_origin(written)


@pytest.mark.parametrize(
    "address",
    [
        "http://a.example/",
        "http://a.example:443/",
        "https://a.example:444/",
        "https://a.example.evil/",
        "https://evil.a.example/",
        "https://evil/@a.example",
        "https://a.example@evil/",
        "https://evil#a.example",
        "https://a.example\\@evil/",
        "https://a.example%2eevil/",
        "https://a.example%00.evil/",
        "https://xn--a-.example/",
        "smtps://a.example:443",
        "//a.example/",
        "",
    ],
)
def test_a_secret_of_one_origin_goes_nowhere_else(address: str) -> None:
    origin = parse_origin("https://a.example")
    assert origin.covers("https://a.example/x?y=https://evil/..")
    assert origin.covers("https://A.EXAMPLE:443")
    assert not origin.covers(address)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/v",
        "/v11",
        "/v1-admin",
        "/V1",
        "/v1/../admin",
        "/v1/%2e%2e/admin",
        "/v1/.%2E/admin",
        "/v1/%252e%252e/admin",
        "/v1/..;/admin",
        "/v1/..%2fadmin",
        "/v1/x%2f..%2f..%2fadmin",
        "/v1/..%5cadmin",
        "/v1\\..\\admin",
        "/v1//admin",
        "//v1/admin",
        "/v1%2fadmin",
        "/v1/%c0%ae%c0%ae/admin",
        "/v1/%ef%bc%8e%ef%bc%8e/admin",
        "/v1/%00/admin",
        "/x/../v1",
        "/v1;a=1/x",
    ],
)
def test_a_prefix_ends_at_a_segment_and_is_not_escaped(path: str) -> None:
    assert not parse_origin("https://a.example/v1").covers(f"https://a.example{path}")


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/v1/x", "/v1/x%2Fy", "/%761/x", "/v1/...", "/v1/a..b", "/v1/x?to=/.."]
)
def test_a_prefix_covers_what_lies_below_it(path: str) -> None:
    assert parse_origin("https://a.example/v1").covers(f"https://a.example{path}")


_hosts = st.from_regex(r"[a-z][a-z0-9]{0,8}(\.[a-z][a-z0-9]{0,8}){1,2}", fullmatch=True)
_segment = st.text("abz09-_.~%2efFé;", min_size=1, max_size=6)


@given(
    st.sampled_from(["https", "http"]),
    _hosts,
    st.integers(1, 65535),
    st.lists(st.text("abcé ", min_size=1), max_size=3),
)
def test_reading_an_origin_twice_changes_nothing(scheme: str, host: str, port: int, segments: list[str]) -> None:
    path = "".join("/" + quote(segment, safe="") for segment in segments)
    origin = parse_origin(f"{scheme}://{host}:{port}{path}")
    assert parse_origin(str(origin)) == origin
    assert origin.covers(str(origin))
    assert origin.covers(f"{origin}/more")


@given(
    _hosts, _hosts, st.lists(_segment, max_size=4), st.lists(_segment, max_size=4), st.sampled_from(["", "?a=/../b"])
)
def test_covered_addresses_stay_below_the_prefix(
    own: str, other: str, prefix: list[str], path: list[str], query: str
) -> None:
    """Resolve dot segments after decoding again and again, as the most lenient server would."""
    try:
        origin = parse_origin(f"https://{own}/" + "/".join(prefix))
    except UnusableOrigin:
        return
    address = f"https://{other}/" + "/".join(path) + query
    if not origin.covers(address):
        return
    try:
        target = read_url(address)
    except UnusableUrl:
        pytest.fail(f"{address} is covered and cannot be called")
    assert target.host == origin.host
    resolved = _resolved(target.path.partition("?")[0])
    wanted = _resolved("/" + "/".join(origin.prefix))
    assert resolved[: len(wanted)] == wanted


def _resolved(path: str) -> list[str]:
    while unquote(path) != path:
        path = unquote(path)
    found: list[str] = []
    for segment in path.split("/"):
        plain = segment.partition(";")[0]
        if plain == "..":
            found = found[:-1]
        elif plain not in ("", "."):
            found.append(segment)
    return found


@pytest.mark.parametrize(
    ("address", "egress", "plain", "allowed"),
    [
        ("https://bank.example/x", NOTHING, [], True),
        ("smtps://mail.example:465", NOTHING, [], True),
        ("smtp+starttls://mail.example:587", NOTHING, [], True),
        ("smtp://mail.example:25", LOOPBACK, [], False),
        ("http://bank.example/", LOOPBACK, [], False),
        ("http://127.0.0.1:9/x", LOOPBACK, [], True),
        ("http://127.0.0.1:9/x", NOTHING, [], False),
        ("http://127.0.0.2/", EgressPolicy(["127.0.0.1"]), [], False),
        ("http://[::1]/", LOOPBACK, [], True),
        ("http://[::1]/", EgressPolicy(["127.0.0.0/8"]), [], False),
        ("http://[::ffff:127.0.0.1]/", LOOPBACK, [], True),
        ("http://10.0.0.1/", EgressPolicy(["10.0.0.0/8"]), [], False),
        ("http://localhost/", LOOPBACK, [], False),
        ("http://127.0.0.1.evil.example/", LOOPBACK, [], False),
        ("http://in.example:8080/v1/x", NOTHING, ["http://in.example:8080/v1"], True),
        ("http://in.example:8080/v2", NOTHING, ["http://in.example:8080/v1"], False),
        ("http://in.example/", NOTHING, ["http://in.example:8080"], False),
        ("http://in.example/", NOTHING, ["https://in.example:80"], False),
        ("not an address", LOOPBACK, [], False),
    ],
)
def test_plain_http_is_for_listed_addresses(
    address: str, egress: EgressPolicy, plain: list[str], allowed: bool
) -> None:
    assert is_confidential(address, egress=egress, plain=[parse_origin(text) for text in plain]) is allowed


def test_messages_show_no_path() -> None:
    assert shown_address("https://hooks.example/T0KEN?x=1") == "https://hooks.example"
    assert shown_address("nonsense T0KEN") == "an address that cannot be read"
    assert str(Origin("https", "a.example", 443)) == "https://a.example"
