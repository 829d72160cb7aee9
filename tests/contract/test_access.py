"""Every operation refuses callers without permission with the right problem, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.client import Api
from tests.contract.document import Operation, check_problem, in_tenants
from tests.contract.world import World, receipts_after, receipts_count
from threada_site.kernel import ids, tokens
from threada_site.kernel.context import Scope

OPERATIONS = in_tenants()
SCOPED = [operation for operation in OPERATIONS if operation.scope is not None]
BEYOND_READING = [operation for operation in SCOPED if operation.scope is not Scope.WORKITEMS_READ]
WITH_VARIABLES = [
    pytest.param(operation, name, id=f"{operation}-{name}") for operation in OPERATIONS for name in operation.variables
]
NOWHERE = ids.new_uuid()
ILL_FORMED = ("nonsense", "wi_", "%20", "WI_01K9ZQ6W4VE9QTR1N5M2D3C4B5", "%00", "-", "ü", "9" * 30)

pytestmark = pytest.mark.django_db
every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)


def call(operation: Operation, api: Api, path: str, headers: dict[str, str] | None = None) -> Any:
    """Send a request with the documented example body, and a precondition if one is needed."""
    if operation.method == "PATCH":
        headers = {"If-Match": "*", **(headers or {})}
    return api.send(operation.method, path, operation.body, headers=headers)


@contextmanager
def leaving(world: World, *receipts: tuple[str, str], rows: dict[str, str] | None = None) -> Iterator[None]:
    """Assert that the block adds these receipts of refusals: tenant and reason code of each, and changes no row.

    `rows` are the digests of before, if they are not those of the world as it was made.
    """
    count = receipts_count()
    yield
    assert receipts_after(count) == [(tenant, "request.refused", [code]) for tenant, code in receipts]
    assert world.rows_now() == (rows or world.rows_made())


def test_there_are_operations() -> None:
    assert len(OPERATIONS) >= 108
    assert len(WITH_VARIABLES) >= 76
    assert len(SCOPED) >= 105


@every_operation
def test_without_a_token(world: World, operation: Operation) -> None:
    with leaving(world):
        answer = call(operation, Api(), operation.at(world.home.ids))
    check_problem(answer, 401, "credential_missing", operation=operation)
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="threada"'


@every_operation
def test_with_a_token_that_is_none(world: World, operation: Operation) -> None:
    """Check a scheme alone, another scheme, malformed tokens, a wrong checksum and an unknown token."""
    unissued = tokens.new_token()
    malformed = ("Bearer", "Bearer thr_short", "Basic dXNlcjpwYXNz", "Bearer thr_\u00fc", f"Bearer {unissued[:-1]}!")
    with leaving(world):
        for sent in (*malformed, f"Bearer {unissued}"):
            answer = call(operation, Api(headers={"Authorization": sent}), operation.at(world.home.ids))
            check_problem(answer, 401, "credential_invalid", operation=operation)
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="threada"'


@every_operation
def test_with_a_revoked_token(world: World, operation: Operation) -> None:
    with leaving(world, ("home", "credential_revoked")):
        answer = call(operation, Api(world.revoked), operation.at(world.home.ids))
    check_problem(answer, 401, "credential_revoked", operation=operation)
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="threada"'


@every_operation
def test_with_an_expired_token(world: World, operation: Operation) -> None:
    with leaving(world, ("home", "credential_expired")):
        answer = call(operation, Api(world.expired), operation.at(world.home.ids))
    check_problem(answer, 401, "credential_expired", operation=operation)
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="threada"'


@every_operation
def test_in_a_tenant_that_is_not_the_tokens(world: World, operation: Operation) -> None:
    slugs, others = ("abroad", "nowhere"), ("HOME", "", "home,abroad")
    for names, receipts in ((slugs, [("home", "tenant_mismatch")] * 2), (others, [])):
        with leaving(world, *receipts):
            for named in names:
                answer = call(operation, world.home.admin, operation.at(world.home.ids), {"Threada-Tenant": named})
                check_problem(answer, 403, "tenant_mismatch", operation=operation)


@every_operation
def test_with_a_role_not_held(world: World, operation: Operation) -> None:
    with leaving(world, *[("home", "role_not_held")] * 4):
        for named in ("auditor", "nonsense", "", "TENANT_ADMIN"):
            answer = call(operation, world.home.admin, operation.at(world.home.ids), {"Threada-Role": named})
            check_problem(answer, 403, "role_not_held", operation=operation)


@pytest.mark.parametrize("operation", SCOPED, ids=str)
def test_with_a_token_without_the_scope(world: World, operation: Operation) -> None:
    """Check existing and missing ids: the scope is checked before existence."""
    assert operation.scope is not None
    api = world.without(operation.scope)
    with leaving(world, *[("home", "scope_missing")] * 2):
        for values in (world.home.ids, dict.fromkeys(operation.variables, "nonsense")):
            body = check_problem(call(operation, api, operation.at(values)), 403, "scope_missing", operation=operation)
            assert operation.scope.value in body["detail"]


@pytest.mark.parametrize("operation", BEYOND_READING, ids=str)
def test_with_a_scope_whose_role_was_withdrawn(world: World, operation: Operation) -> None:
    with leaving(world, ("home", "scope_missing")):
        answer = call(operation, Api(world.stripped), operation.at(world.home.ids))
    check_problem(answer, 403, "scope_missing", operation=operation)


@pytest.mark.parametrize("operation", BEYOND_READING, ids=str)
def test_narrowed_to_a_role_without_the_scope(world: World, operation: Operation) -> None:
    with leaving(world, ("home", "scope_missing")):
        answer = call(operation, Api(world.narrowed), operation.at(world.home.ids), {"Threada-Role": "viewer"})
    check_problem(answer, 403, "scope_missing", operation=operation)


@pytest.mark.parametrize(("operation", "name"), WITH_VARIABLES)
def test_what_another_tenant_has_is_not_there(world: World, operation: Operation, name: str) -> None:
    """Check that ids of another tenant, unknown ids and invalid ids have the same answer."""
    answers = []
    values = (world.abroad.ids[name], absent(world.home.ids[name]), *ILL_FORMED)
    with leaving(world, *[("home", "not_found")] * len(values)):
        for value in values:
            answer = call(operation, world.home.admin, operation.at({**world.home.ids, name: value}))
            body = check_problem(answer, 404, "not_found", operation=operation)
            answers.append({**body, "correlation_id": ""})
    assert all(body == answers[0] for body in answers)


@pytest.mark.parametrize("operation", [operation for operation in OPERATIONS if operation.variables], ids=str)
def test_all_ids_of_another_tenant_are_not_there(world: World, operation: Operation) -> None:
    with leaving(world, ("home", "not_found")):
        answer = call(operation, world.home.admin, operation.at(world.abroad.ids))
    check_problem(answer, 404, "not_found", operation=operation)


def test_an_action_on_another_tenants_item_finds_nothing(world: World) -> None:
    (operation,) = (operation for operation in OPERATIONS if str(operation) == "executeAction")
    answers = []
    for value in (world.abroad.ids["work_item_id"], ids.public_id(ids.WORK_ITEM, NOWHERE), "nonsense"):
        body = {**operation.body, "work_item_id": value}
        with leaving(world, ("home", "not_found")):
            answer = world.home.admin.post(operation.path, body)
        answers.append({**check_problem(answer, 404, "not_found", operation=operation), "correlation_id": ""})
    assert answers[0] == answers[1] == answers[2]


def test_a_reader_finds_its_own(world: World) -> None:
    """Check that the addresses of the refusals above answer permitted callers."""
    for operation in OPERATIONS:
        if operation.method == "GET":
            query = {"workflow_id": world.home.ids["workflow_id"]} if operation.path == "/policies/effective" else None
            answer = world.home.admin.get(operation.at(world.home.ids), query)
            if operation.path.endswith(("/proof", "/evidence", "/checkpoints/instance")):
                # No sealer runs: only readers get the answer that a receipt is not sealed yet.
                what = "checkpoint" if operation.path.endswith("/instance") else "receipt"
                assert (answer.status_code, answer.json()["reason_code"]) == (409, f"{what}_not_sealed")
                continue
            if operation.path.endswith("/tools"):
                assert (answer.status_code, answer.json()["reason_code"]) == (422, "invalid_request")  # it has no tools
                continue
            assert answer.status_code == 200, (operation.path, answer.content)
            if operation.path.endswith("/download"):
                b"".join(answer.streaming_content)


def absent(known: str) -> str:
    """Return a well-formed id of the same kind as `known` that does not exist."""
    prefix, _, suffix = known.rpartition("_")
    return ids.public_id(prefix, NOWHERE) if prefix and len(suffix) == 26 else "nobody-made-this"
