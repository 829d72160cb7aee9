"""Hostile bodies, queries, paths and headers are answered with 4xx problems, and nothing is stored."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.contract.document import Operation, check_problem, in_tenants, resolved
from tests.contract.hostile import GARBAGE, MEGABYTE, MISSHAPEN, STATUS, UNREADABLE
from tests.contract.world import World
from threada_site.api.bodies import reading_undeclared

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("step_up")]

OPERATIONS = {str(operation): operation for operation in in_tenants()}
WITH_BODY = [operation for operation in OPERATIONS.values() if operation.body is not None]
SOME_WITH_BODY = [OPERATIONS[name] for name in ("createWorkItem", "editWorkItem", "castVote", "retirePolicyVersion")]
WITH_QUERY = [
    pytest.param(OPERATIONS[name], entry["name"], id=f"{name}-{entry['name']}")
    for name in ("listWorkItems", "listDecisionSteps", "listEvents", "readEffectivePolicies")
    for entry in map(resolved, OPERATIONS[name].raw["parameters"])
    if entry["in"] == "query"
]
SENT_HEADERS = (
    "Threada-Tenant",
    "Threada-Role",
    "Threada-Correlation-Id",
    "Idempotency-Key",
    "If-Match",
    "traceparent",
    "Accept",
    "Content-Length",
    "Content-Encoding",
    "X-Forwarded-Host",
)


@pytest.fixture(autouse=True)
def nothing_stored(world: World) -> Iterator[None]:
    """Check that no table except receipts and idempotency records has new rows."""
    yield
    assert world.rows_now() == world.rows_made()


def send(world: World, operation: Operation, body: Any, **more: Any) -> Any:
    headers = {"If-Match": "*"}
    return world.home.admin.send(operation.method, operation.at(world.home.ids), body, headers=headers, **more)


@pytest.mark.parametrize(("body", "code"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_not_json_is_refused(world: World, body: bytes, code: str) -> None:
    for operation in SOME_WITH_BODY:
        answer = send(world, operation, body)
        check_problem(answer, STATUS[code], code, operation=operation)
        assert len(answer.content) < 1000


@pytest.mark.parametrize("operation", WITH_BODY, ids=str)
def test_every_body_is_read_strictly(world: World, operation: Operation) -> None:
    for name in ("NaN", "duplicate keys", "depth of arrays", "1e130000", "10 MB"):
        body, code = UNREADABLE[name]
        check_problem(send(world, operation, body), STATUS[code], code, operation=operation)


@pytest.mark.parametrize("operation", WITH_BODY, ids=str)
def test_what_has_another_shape_is_refused(world: World, operation: Operation) -> None:
    for name, body in MISSHAPEN.items():
        if name in ("null", "an array") and not operation.raw["requestBody"]["required"]:
            continue  # an empty body is allowed here
        if len(body) > 1000 and operation not in SOME_WITH_BODY:
            continue  # one check for all of them
        answer = send(world, operation, body)
        assert check_problem(answer, 422, "invalid_request", operation=operation)["errors"]
        assert len(answer.content) < len(body) + 20_000


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "application/json5", ",;/"],
)
def test_other_media_types_are_refused(world: World, media_type: str) -> None:
    for operation in WITH_BODY:
        answer = send(world, operation, operation.body or {"reason": "x"}, content_type=media_type)
        check_problem(answer, 415, "unsupported_media_type", operation=operation)


def test_large_payloads_are_refused(world: World) -> None:
    payload = {"text": "a" * 270_000}
    created = world.home.admin.post("/work-items", {"workflow_id": "home-flow", "payload": payload})
    edited = world.home.admin.edit(f"/work-items/{world.home.ids['work_item_id']}", {"payload": payload})
    for answer in (created, edited):
        check_problem(answer, 413, "payload_too_large")


@pytest.mark.parametrize(("operation", "name"), WITH_QUERY)
def test_garbage_in_a_query_parameter(world: World, operation: Operation, name: str) -> None:
    query = {"workflow_id": world.home.ids["workflow_id"]} if str(operation) == "readEffectivePolicies" else {}
    for value in GARBAGE:
        answer = world.home.admin.get(operation.at(world.home.ids), {**query, name: value})
        if answer.status_code == 200:
            assert "data" in answer.json() or "policies" in answer.json()
        else:
            assert answer.status_code in (400, 422), (value, answer.content)
            check_problem(answer, answer.status_code, answer.json()["reason_code"], operation=operation)


@pytest.mark.parametrize("operation", [operation for operation in OPERATIONS.values() if operation.variables], ids=str)
def test_garbage_in_a_path(world: World, operation: Operation) -> None:
    for value in ("\x00", "a\x00b", "%", "..", "\ud7ff\uffff", "9" * 5000, "x" * 300, "\u0661", "\r\n"):
        path = operation.at(dict.fromkeys(operation.variables, quote(value, safe="")))
        answer = world.home.admin.send(operation.method, path, operation.body, headers={"Idempotency-Key": "garbage"})
        check_problem(answer, 404, "not_found", operation=operation)


@pytest.mark.parametrize("name", SENT_HEADERS)
def test_garbage_in_a_header(world: World, name: str) -> None:
    for operation in (OPERATIONS["listWorkItems"], OPERATIONS["readWorkItem"], OPERATIONS["cancelWorkItem"]):
        path = operation.at(dict.fromkeys(operation.variables, "nonsense"))
        for value in ("", "\x00", "\xfc\xff", "\xb2", "9" * 5000, "a" * 8000, "*/*;q=\x01,", "'\"\\", "chunked"):
            answer = world.home.admin.send(operation.method, path, operation.body, headers={name: value})
            assert answer.status_code < 500, (value, answer.content)
            if answer.status_code >= 400:
                check_problem(answer, answer.status_code, answer.json()["reason_code"], operation=operation)


def test_more_query_parameters_than_anybody_reads(world: World) -> None:
    answer = world.home.admin.get("/work-items", {f"x{number}": "1" for number in range(3000)})
    check_problem(answer, 400, "bad_request", operation=OPERATIONS["listWorkItems"])


def test_methods_that_are_not_there(world: World) -> None:
    methods: dict[str, set[str]] = {}
    for operation in OPERATIONS.values():
        methods.setdefault(operation.at(world.home.ids), set()).add(operation.method)
    for path, present in methods.items():
        for method in {"PUT", "DELETE", "OPTIONS", "BREW"} - present:
            answer = world.home.admin.send(method, path, b"{}")
            check_problem(answer, 405, "method_not_allowed")
            assert present <= set(answer.headers["Allow"].split(", "))


def test_head_is_get_without_a_body(world: World) -> None:
    answer = world.home.admin.send("HEAD", "/work-items")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    "path",
    ["/nowhere", "/work-items/", "//work-items", "/%00", "/work-items/a/b/c", "/work-items/..%2F..%2Fme", "/%ff%fe"],
)
def test_addresses_that_are_not_there(world: World, path: str) -> None:
    check_problem(world.home.admin.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"reason": 7}', 422, "invalid_request"),
        (b'{"reason": NaN}', 400, "json_not_interoperable"),
        (b" " * MEGABYTE + b"{", 413, "payload_too_large"),
        (b"", 400, "malformed_json"),
        (b"{}", 404, "not_found"),
    ],
)
def test_a_body_of_undeclared_length_is_read(world: World, body: bytes, status: int, code: str) -> None:
    """Send chunked bodies without a length. `{}` is read and refused for its unknown id."""
    environ: dict[str, Any] = {"REQUEST_METHOD": "POST", "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    reading_undeclared(lambda *_: [])(environ, None)
    environ["wsgi.input"] = io.BytesIO(body)
    headers = {**world.home.admin.headers, "Transfer-Encoding": "chunked"}
    answer = world.home.admin.client.generic(
        "POST", "/work-items/nonsense/cancel", content_type="application/json", headers=headers, **environ
    )
    check_problem(answer, status, code)
