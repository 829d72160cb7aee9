"""Every operation refuses callers without permission with the right problem, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pytest_django import Settings

from tests.client import Api
from tests.contract.document import Operation, check_problem, in_tenants
from tests.contract.world import World, receipts_after, receipts_count
from threada_site.kernel import ids, tokens
from threada_site.kernel.context import Scope

OPERATIONS = in_tenants()
SCOPED = [operation for operation in OPERATIONS if operation.scope is not None]
WITH_VARIABLES = [(operation, name) for operation in OPERATIONS for name in operation.variables]
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
def test_without_a_token_in_force(world: World, operation: Operation) -> None:
    """Check no token, a scheme alone, another scheme, malformed tokens, a wrong checksum, an unknown, a revoked and an
    expired token."""
    unissued = tokens.new_token()
    malformed = ("Bearer", "Bearer thr_short", "Basic dXNlcjpwYXNz", "Bearer thr_\u00fc", f"Bearer {unissued[:-1]}!")
    callers = [
        (Api(), "credential_missing"),
        *((Api(headers={"Authorization": sent}), "credential_invalid") for sent in (*malformed, f"Bearer {unissued}")),
        (Api(world.revoked), "credential_revoked"),
        (Api(world.expired), "credential_expired"),
    ]
    with leaving(world, ("home", "credential_revoked"), ("home", "credential_expired")):
        for api, code in callers:
            answer = call(operation, api, operation.at(world.home.ids))
            check_problem(answer, 401, code, operation=operation)
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="threada"'


@every_operation
def test_in_another_tenant_or_role(world: World, operation: Operation) -> None:
    """Check tenants that are not the token's and roles that are not held. Receipts name only tenants that may exist."""
    tenants = ("abroad", "nowhere", "HOME", "", "home,abroad")
    roles = ("auditor", "nonsense", "", "TENANT_ADMIN")
    with leaving(world, *[("home", "tenant_mismatch")] * 2, *[("home", "role_not_held")] * 4):
        for header, code, values in (("Tenant", "tenant_mismatch", tenants), ("Role", "role_not_held", roles)):
            for named in values:
                headers = {f"Threada-{header}": named}
                answer = call(operation, world.home.admin, operation.at(world.home.ids), headers)
                check_problem(answer, 403, code, operation=operation)


@pytest.mark.parametrize("operation", SCOPED, ids=str)
def test_without_the_scope(world: World, operation: Operation) -> None:
    """Check a token without it, for existing and missing ids: the scope is checked before existence.

    Beyond reading, check also a scope whose role was withdrawn, and a token narrowed to a role without it.
    """
    assert operation.scope is not None
    own, missing = world.home.ids, dict.fromkeys(operation.variables, "nonsense")
    lacking = world.without(operation.scope)
    calls: list[tuple[Api, dict[str, str], dict[str, str]]] = [(lacking, own, {}), (lacking, missing, {})]
    if operation.scope is not Scope.WORKITEMS_READ:
        calls += [(Api(world.stripped), own, {}), (Api(world.narrowed), own, {"Threada-Role": "viewer"})]
    with leaving(world, *[("home", "scope_missing")] * len(calls)):
        for api, values, headers in calls:
            answer = call(operation, api, operation.at(values), headers)
            body = check_problem(answer, 403, "scope_missing", operation=operation)
            assert operation.scope.value in body["detail"]


@pytest.mark.usefixtures("step_up")
@pytest.mark.parametrize("operation", [operation for operation in OPERATIONS if operation.variables], ids=str)
def test_what_another_tenant_has_is_not_there(world: World, operation: Operation, settings: Settings) -> None:
    """Check that ids of another tenant, unknown ids and invalid ids have the same answer."""
    settings.THREADA_REFUSAL_RECEIPTS = 1_000  # all have receipts, whether or not a new minute begins meanwhile
    own, theirs = world.home.ids, world.abroad.ids
    tried = [theirs] + [
        {**own, name: value} for name in operation.variables for value in (theirs[name], absent(own[name]), *ILL_FORMED)
    ]
    answers = []
    with leaving(world, *[("home", "not_found")] * len(tried)):
        for values in tried:
            answer = call(operation, world.home.admin, operation.at(values))
            body = check_problem(answer, 404, "not_found", operation=operation)
            answers.append({**body, "correlation_id": ""})
    for place in range(1, len(answers), 2 + len(ILL_FORMED)):
        of_one_variable = answers[place : place + 2 + len(ILL_FORMED)]
        assert all(body == of_one_variable[0] for body in of_one_variable)


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
