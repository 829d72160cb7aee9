"""Who may see which cases: all of the tenant, or those of single workflows."""

from __future__ import annotations

import pytest
from guardian.shortcuts import assign_perm

from policies.models import Workflow
from tests.client import Api
from tests.factories import make_token
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.context import Scope
from threada_site.tenancy.models import Tenant
from workitems import selectors
from workitems.items.locks import locked_execution, locked_item, locked_step


def grant(office: Office, name: str, workflow: str, *scopes: Scope) -> None:
    """Scopes on one workflow alone."""
    with unit_of_work(office.tenant.id):
        for scope in scopes:
            assign_perm(scope.codename, office.people[name], Workflow.objects.get(slug=workflow))


@pytest.fixture
def narrow(office: Office) -> Office:
    """Nina may read, write, execute and decide on `travel` alone."""
    office.upsert_workflow("travel")
    office.join("nina", roles=())
    grant(
        office,
        "nina",
        "travel",
        Scope.WORKITEMS_READ,
        Scope.WORKITEMS_WRITE,
        Scope.ACTIONS_EXECUTE,
        Scope.DECISIONS_DECIDE,
    )
    return office


def test_a_narrow_grant_shows_one_workflow(narrow: Office) -> None:
    payment, step, execution = narrow.awaiting()
    trip = narrow.create(workflow="travel", by="ada")
    ctx = narrow.ctx("nina")
    with unit_of_work(narrow.tenant.id):
        assert [row.id for row in selectors.work_items(ctx)] == [trip.id]
        assert selectors.work_item(payment.id, ctx=ctx) is None
        assert not selectors.decision_steps(ctx).exists()
        assert not selectors.executions(ctx).exists()
        for lock, row in ((locked_item, payment), (locked_step, step), (locked_execution, execution)):
            with pytest.raises(errors.NotFound):
                lock(row.id, ctx=ctx)  # type: ignore[operator]
    with unit_of_work(narrow.tenant.id):
        assert {row.id for row in selectors.work_items(narrow.ctx("wim"))} == {payment.id, trip.id}


def test_a_narrow_grant_writes_in_one_workflow(narrow: Office) -> None:
    assert narrow.create(workflow="travel", by="nina").workflow == "travel"
    with pytest.raises(errors.PermissionDenied):
        narrow.create(by="nina")


def test_a_narrow_grant_over_http(narrow: Office) -> None:
    payment, step, execution = narrow.awaiting()
    trip = narrow.create(workflow="travel", by="ada")
    api = Api(make_token(narrow.tenant, narrow.people["nina"]))
    assert [row["work_item_id"] for row in api.get("/work-items").json()["data"]] == [trip.public_id]
    assert api.get("/decision-steps").json()["data"] == []
    assert api.get("/executions").json()["data"] == []
    for path in (
        f"/work-items/{payment.public_id}",
        f"/work-items/{payment.public_id}/timeline",
        f"/decision-steps/{step.public_id}",
        f"/executions/{execution.public_id}",
    ):
        assert api.get(path).status_code == 404, path
    body = {"decision": "approve", "envelope_sha256": step.envelope_sha256}
    assert api.post(f"/decision-steps/{step.public_id}/votes", body).status_code == 404
    assert api.get("/telemetry/events").json()["reason_code"] == "scope_missing"


def test_reading_is_not_writing(narrow: Office) -> None:
    narrow.join("rob", roles=("viewer",))
    grant(narrow, "rob", "travel", Scope.WORKITEMS_WRITE)
    item = narrow.create()
    api = Api(make_token(narrow.tenant, narrow.people["rob"]))
    answer = api.post(f"/work-items/{item.public_id}/cancel", {})
    assert (answer.status_code, answer.json()["reason_code"]) == (403, "permission_denied")
    assert narrow.item(item).status == "new"


def test_steps_that_wait_for_somebody(office: Office) -> None:
    _, first, _ = office.awaiting()
    _, second, _ = office.awaiting(by="ada", requester="fay")
    office.vote(first, "finn")

    def mine(name: str) -> set[object]:
        ctx = office.ctx(name)
        with unit_of_work(office.tenant.id):
            return {step.id for step in selectors.steps_pending_for(ctx, selectors.decision_steps(ctx))}

    assert mine("fay") == {first.id}
    assert mine("finn") == {second.id}
    assert mine("fred") == {first.id, second.id}
    assert mine("vera") == mine("rita") == set()


def test_outside_a_unit_of_work_nothing_is_seen(office: Office) -> None:
    office.create()
    assert list(selectors.work_items(office.system)) == []


def test_another_tenant_sees_nothing(office: Office, other_tenant: Tenant) -> None:
    item = office.create()
    with unit_of_work(other_tenant.id):
        assert not selectors.work_items(office.system).exists()
        assert selectors.work_item(item.id, ctx=office.system) is None
