"""Principals that see only their own cases: other cases do not exist for them, in any operation of the API."""

from __future__ import annotations

from typing import Any

import pytest

from tests.client import Api
from tests.contract.document import Operation, check_problem, in_tenants
from tests.contract.test_access import absent, call, leaving
from tests.contract.world import World
from tests.factories import acting_system, make_principal, make_token
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.roles import write_roles
from threada_site.kernel.context import ALL_SCOPES, Scope, Visibility
from threada_site.tenancy.models import Role

OF_CASES = ("work_item_id", "decision_step_id", "execution_id", "policy_decision_id")
ON_THE_TENANT = ("policy_replay_id", "policy_shadow_id")
"""Variables of resources that report on cases of all requesters."""
ON_A_CASE = [
    pytest.param(operation, name, id=f"{operation}-{name}")
    for operation in in_tenants()
    for name in operation.variables
    if name in (*OF_CASES, *ON_THE_TENANT)
]
CORRELATION = {"Threada-Correlation-Id": "the-same-for-all-requests"}

pytestmark = pytest.mark.django_db


@pytest.fixture
def stranger(world: World) -> Api:
    """Return a client of a principal that holds nearly every scope by a role marked `own`, and no case."""
    tenant = world.home.tenant
    with unit_of_work(tenant.id):
        write_roles({"own-cases": ALL_SCOPES - {Scope.TELEMETRY_READ}}, ctx=acting_system(tenant))
        Role.objects.filter(tenant_id=tenant.id, slug="own-cases").update(visibility=Visibility.OWN)
    return Api(make_token(tenant, make_principal(tenant, "nosy", roles=("own-cases",))))


def test_operations_on_cases_are_found() -> None:
    assert len(ON_A_CASE) >= 25
    assert {parameters.values[1] for parameters in ON_A_CASE} == {*OF_CASES, *ON_THE_TENANT}


@pytest.mark.parametrize(("operation", "name"), ON_A_CASE)
def test_a_strangers_case_answers_like_a_random_id(
    world: World, stranger: Api, operation: Operation, name: str
) -> None:
    known = world.home.ids[name]
    answers = []
    with leaving(world, *[("home", "not_found")] * 2, rows=world.rows_now()):
        for value in (known, absent(known)):
            answer = call(operation, stranger, operation.at({**world.home.ids, name: value}), CORRELATION)
            check_problem(answer, 404, "not_found", operation=operation)
            answers.append(answer.content)
    assert answers[0] == answers[1]


def test_a_strangers_item_cannot_be_acted_on_by_its_id_in_a_body(world: World, stranger: Api) -> None:
    (execute,) = (operation for operation in in_tenants() if str(operation) == "executeAction")
    item = world.home.ids["work_item_id"]
    answers = [
        stranger.post(execute.path, {**execute.body, "work_item_id": value}, headers=CORRELATION)
        for value in (item, absent(item))
    ]
    check_problem(answers[0], 404, "not_found", operation=execute)
    assert answers[0].content == answers[1].content


@pytest.mark.parametrize(
    ("path", "member", "prefix"),
    [("/executions/replays", "execution_ids", "execution_id"), ("/decision-steps/batch-votes", "votes", "")],
)
def test_bulk_operations_do_not_find_cases_of_others(
    world: World, stranger: Api, path: str, member: str, prefix: str
) -> None:
    def body(value: str) -> dict[str, Any]:
        if prefix:
            return {member: [value]}
        return {member: [{"decision_step_id": value, "decision": "approve", "envelope_sha256": "0" * 64}]}

    known = world.home.ids[prefix or "decision_step_id"]
    answers = [stranger.post(path, body(value), headers=CORRELATION) for value in (known, absent(known))]
    texts = [answer.content.decode().replace(known, "").replace(absent(known), "") for answer in answers]
    assert answers[0].status_code == answers[1].status_code
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    "path", ["/work-items", "/decision-steps", "/executions", "/policy-replays", "/policy-shadows"]
)
def test_lists_leave_out_cases_of_others(world: World, stranger: Api, path: str) -> None:
    assert world.home.admin.get(path).json()["data"]
    assert stranger.get(path).json()["data"] == []


def test_one_role_of_several_limits_a_request(world: World) -> None:
    tenant = world.home.tenant
    both = Api(make_token(tenant, make_principal(tenant, "both", roles=("requester", "viewer"))))
    address = f"/work-items/{world.home.ids['work_item_id']}"
    assert both.get(address).status_code == 200
    assert both.get(address, headers={"Threada-Role": "viewer"}).status_code == 200
    assert both.get(address, headers={"Threada-Role": "requester"}).status_code == 404
    assert both.get("/work-items", headers={"Threada-Role": "requester"}).json()["data"] == []
