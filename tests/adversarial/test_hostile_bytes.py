"""Hostile bytes sent to a real server are refused as problems; nothing is stored and memory does not grow."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

import pytest

from tests.adversarial.server import Answer, Server, running_server
from tests.adversarial.waiting import until
from tests.contract.document import PROBLEM_MEMBERS, PROBLEM_TYPE, Operation, operations, resolved
from tests.contract.hostile import GARBAGE, MEGABYTE, MISSHAPEN, STATUS, UNREADABLE
from tests.examples import CHOSEN
from threada_site.kernel.context import DOCUMENTED_SCOPES, with_implied
from threada_site.kernel.errors import REASONS

pytestmark = [pytest.mark.adversarial, pytest.mark.timeout(600)]

# Tables that refusals write to: receipts, the sealed log, and responses under an idempotency key.
_MAY_GROW: Final = {
    "telemetry_instancecheckpoint",
    "telemetry_instanceentry",
    "telemetry_instancenode",
    "telemetry_receipt",
    "telemetry_refusalcount",
    "telemetry_sealqueueentry",
    "telemetry_logleaf",
    "telemetry_lognode",
    "telemetry_checkpoint",
    "telemetry_summarycount",
    "telemetry_summaryrollup",
    "api_idempotencyrecord",
}
# Refused by the HTTP server before the application runs: with a plain status and a closed connection.
_BY_THE_SERVER: Final = {400, 414, 431}
SHARE: Final = 1 if CHOSEN == "many" else 4
"""One of so many garbage values is tried at each place, another one at the next: `tests/contract` tries them everywhere."""
MOST_GROWTH: Final = 30 * MEGABYTE

OPERATIONS: Final = operations()
HELD: Final = with_implied(frozenset(DOCUMENTED_SCOPES))
# Endpoints that check shapes with the demo's token. Callbacks give one response to everything unsigned.
WITH_BODY: Final = [
    operation
    for operation in OPERATIONS
    if operation.body is not None and not operation.is_public and operation.scope in HELD
]
GOOD: Final = b'{"workflow_id": "policy_review", "channel_id": "web_main", "payload": {"question": "Still there?"}}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("hostile")) as running:
        settle(running)
        yield running
        check_that_it_still_works(running)


@pytest.fixture(autouse=True)
def nothing_stored(server: Server) -> Iterator[None]:
    """Assert that a test leaves nothing but receipts, and that a normal request succeeds after it."""
    before = rows(server)
    yield
    settle(server)
    assert rows(server) == before
    served = server.send("GET", "/me")
    assert (served.status, served.json()["tenant"]) == (200, "demo")
    assert "Traceback" not in server.log.read_text()
    assert "internal_error" not in server.log.read_text()


def rows(server: Server) -> dict[str, int]:
    return {
        table: count
        for table, count in server.rows().items()
        if table not in _MAY_GROW and not table.startswith("procrastinate_")
    }


def settle(server: Server) -> None:
    """Wait until the items of the demo have been decided."""
    until(lambda: not server.send("GET", "/work-items?status=new").json()["data"], seconds=60)


def check_that_it_still_works(server: Server) -> None:
    """Assert that after all attacks a normal request becomes a case that the worker decides."""
    answer = server.send("POST", "/work-items", GOOD, chunked=True)
    assert (answer.status, answer.json()["status"]) == (201, "new")
    settle(server)
    decided = server.send("GET", f"/work-items/{answer.json()['work_item_id']}")
    assert decided.json()["status"] == "ready"


def address(operation: Operation) -> str:
    return operation.at(dict.fromkeys(operation.variables, "nonsense"))


def check_refusal(answer: Answer, status: int | None = None, code: str | None = None) -> None:
    """Assert that the response is a problem with a 4xx status, or a plain refusal of the HTTP server."""
    assert 400 <= answer.status < 500, answer
    if not answer.body and status is None:
        assert answer.status in _BY_THE_SERVER
        return
    problem = answer.json()
    assert answer.headers["content-type"] == PROBLEM_TYPE
    assert problem.keys() - {"reasons"} == PROBLEM_MEMBERS
    assert problem["status"] == answer.status == REASONS[problem["reason_code"]].status
    assert answer.headers["threada-correlation-id"] == problem["correlation_id"]
    if status is not None:
        assert (answer.status, problem["reason_code"]) == (status, code)


@pytest.mark.parametrize(("body", "code"), UNREADABLE.values(), ids=UNREADABLE)
def test_body_that_is_not_json_is_refused(server: Server, body: bytes, code: str) -> None:
    for target in ("/work-items", "/actions/execute", "/policies", "/executions/nonsense/cancel"):
        check_refusal(server.send("POST", target, body), STATUS[code], code)
        check_refusal(server.send("POST", target, body, chunked=True), STATUS[code], code)


@pytest.mark.parametrize("body", MISSHAPEN.values(), ids=MISSHAPEN)
def test_body_with_another_shape_is_refused(server: Server, body: bytes) -> None:
    for operation in WITH_BODY:
        if operation.raw["requestBody"]["required"]:
            # PUT and PATCH look at what they would change first: whether it exists, may be changed, and was read.
            expected = (422, "invalid_request") if operation.method == "POST" else ()
            check_refusal(server.send(operation.method, address(operation), body), *expected)


def test_payload_over_256_kb_is_refused(server: Server) -> None:
    for size in (256 * 1024, 300_000, MEGABYTE - 200):
        body = b'{"workflow_id": "policy_review", "payload": {"q": "' + b"a" * size + b'"}}'
        check_refusal(server.send("POST", "/work-items", body), 413, "payload_too_large")


def test_other_media_type_is_refused(server: Server) -> None:
    for media_type in (
        "text/plain",
        "",
        "application/xml",
        "multipart/form-data; boundary=x",
        "application/json5",
        "/",
    ):
        answer = server.send("POST", "/work-items", GOOD, media_type=media_type)
        check_refusal(answer, 415, "unsupported_media_type")


def test_form_of_a_token_exchange_is_read_without_a_credential(server: Server) -> None:
    form = b"grant_type=password"
    head = "POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    answer = server.exchange(f"{head}Connection: close\r\nContent-Length: {len(form)}\r\n\r\n".encode() + form)
    assert (answer.status, answer.json()["error"]) == (400, "unsupported_grant_type")


def test_wrong_content_length_is_refused(server: Server) -> None:
    head = f"POST /work-items HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.token}\r\n"
    head += "Content-Type: application/json\r\nConnection: close\r\n"
    for line in ("abc", "-5", "1e3", "9" * 5000, "99999999999999999999", "5\r\nContent-Length: 6"):
        check_refusal(server.exchange(f"{head}Content-Length: {line}\r\n\r\n".encode() + GOOD))
    check_refusal(server.exchange(f"{head}Content-Length: 5\r\n\r\n".encode() + GOOD), 400, "malformed_json")
    check_refusal(server.exchange(f"{head}\r\n".encode()), 422, "invalid_request")
    for chunk in (b"zz\r\n{}\r\n0\r\n\r\n", b"-1\r\n{}\r\n", b"FFFFFFFFFFFFFFFFF\r\n{}"):
        answer = server.exchange(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk)
        assert answer.status in (0, 400), answer


def test_truncated_body_is_refused(server: Server) -> None:
    head = f"POST /work-items HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.token}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(GOOD)}\r\n\r\n"
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
            connection.sendall(head.encode() + GOOD[:-10])


def test_slow_bodies_do_not_delay_other_clients(server: Server) -> None:
    """Send a few slow bodies at a time: each occupies a thread of the server until its client sends or disconnects."""
    head = f"POST /work-items HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.token}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 20\r\n\r\n"
    slow = [socket.create_connection(("127.0.0.1", server.port), 30) for _ in range(3)]
    for connection in slow:
        connection.sendall(head.encode())
    for byte in b'{"payload": NaN     ':
        for connection in slow:
            connection.sendall(bytes([byte]))
        assert server.send("GET", "/healthz").status == 200
    for connection in slow:
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
        connection.close()


def test_unauthenticated_slow_bodies_are_refused_at_once(server: Server) -> None:
    """Refuse requests without a credential before reading the body."""
    head = (
        "POST /work-items HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"
    )
    slow = [socket.create_connection(("127.0.0.1", server.port), 10) for _ in range(50)]
    for connection in slow:
        connection.sendall(head.encode())
    for connection in slow:
        assert connection.recv(100).startswith(b"HTTP/1.1 401")
        connection.close()


def test_hostile_headers_are_refused(server: Server) -> None:
    for name in ("Threada-Tenant", "Threada-Role", "Idempotency-Key", "Threada-Correlation-Id", "Accept", "X-Any"):
        for value in ("", "\xff\xfe", "a" * 60_000, "a" * 600_000, "'", "\x01", "\x00", "a\r\n b"):
            answer = server.send("POST", "/work-items/nonsense/cancel", b"{}", [(name, value)])
            check_refusal(answer)
    check_refusal(server.send("GET", "/me", headers=[(f"X-{number}", "a") for number in range(2000)]))
    check_refusal(server.send("GET", "/me", headers=[("Host", "evil.example")]))


def test_hostile_request_lines_are_refused(server: Server) -> None:
    for line in (
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET",
        b"GET /me HTTP/9.9",
        b"G\x00T /me HTTP/1.1",
        b"GET \xff HTTP/1.1",
    ):
        answer = server.exchange(line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert answer.status in (0, 400, 505), (line, answer)
    for target in (
        "/work-items/%00",
        "/work-items/..%2F..%2Fme",
        "/work-items/%2e%2e/me",
        "/%",
        "/%zz",
        "/%ff",
        "//me",
    ):
        check_refusal(server.send("GET", target), 404, "not_found")
    for target in ("/work-items/\x00", "/work-items/\xff", "/" + "a" * 20_000, "/" + "a" * 200_000, "*", "http://x:y/"):
        check_refusal(server.send("GET", target))
    for method in ("BREW", "CONNECT", "TRACE", "OPTIONS", "PUT"):
        check_refusal(server.send(method, "/work-items"))


def test_garbage_in_every_path_is_refused(server: Server) -> None:
    values = (*GARBAGE[1:], "a/b", "x" * 3000)
    for number, operation in enumerate(operation for operation in OPERATIONS if operation.variables):
        for value in values[number % SHARE :: SHARE]:
            target = operation.at(dict.fromkeys(operation.variables, quote(value, safe="")))
            body = None if operation.body is None else b"{}"
            answer = server.send(operation.method, target, body, [("Idempotency-Key", "garbage")])
            check_refusal(answer)


def test_garbage_in_every_query_parameter_is_refused(server: Server) -> None:
    places = [
        (operation.path, entry["name"])
        for operation in OPERATIONS
        for entry in map(resolved, operation.raw["parameters"])
        if entry["in"] == "query" and not operation.variables
    ]
    assert len(places) > len(GARBAGE)
    for number, (path, name) in enumerate(places):
        for value in GARBAGE[number % SHARE :: SHARE]:
            answer = server.send("GET", f"{path}?{name}={quote(value, safe='')}")
            assert answer.status < 500, (path, name, value)
            if answer.status != 200:  # an empty list if the filter matches nothing
                check_refusal(answer)
    check_refusal(server.send("GET", "/work-items?" + "&".join(f"x{number}=1" for number in range(3000))))
    check_refusal(server.send("GET", "/work-items?%ff=%fe&=&&a"))


def test_memory_does_not_grow(server: Server) -> None:
    """Assert that hundreds of requests with the largest bodies cost no memory once every thread has handled some."""
    hostile = [body for body, _ in UNREADABLE.values()] + list(MISSHAPEN.values())
    before = server.web_memory()
    for _ in range(100):
        server.send("POST", "/work-items", MISSHAPEN["80,000 keys"])
        server.send("POST", "/work-items", UNREADABLE["10 MB"][0], chunked=True)
    first = server.web_memory()
    for _ in range(8):
        for body in hostile:
            check_refusal(server.send("POST", "/work-items", body))
            check_refusal(server.send("POST", "/work-items", body, chunked=True))
    last = server.web_memory()
    print(f"{before / MEGABYTE:.0f} MB, {first / MEGABYTE:.0f} MB, {16 * len(hostile)} later {last / MEGABYTE:.0f} MB")
    assert last - first < MOST_GROWTH
