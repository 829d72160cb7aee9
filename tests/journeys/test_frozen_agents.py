"""Pages of agents, and freezes of them: no request is accepted, nothing is sent, and an owner may set and lift one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin import site as admin_site
from django.db import IntegrityError, transaction
from django.urls import reverse

from integrations.freezes.covering import is_blocked
from integrations.freezes.scope import FreezeScope, Place
from integrations.models import Execution, Freeze
from tests.console.sign_in import confirm, sign_in
from tests.factories import acting, acting_system
from tests.journeys.demo import LARGE, Demo
from threada_site.database.roles import owner_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.owners import set_owner
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ObjectGrants, Scope, Visibility
from threada_site.tenancy.models import Agent, User
from workitems.models import Permit


@pytest.fixture
def buyer(demo: Demo) -> User:
    """Return an agent of security-1."""
    demo.join("buyer", kind="agent")
    agent = User.objects.get(username="buyer")
    with unit_of_work(demo.tenant.id):
        set_owner(agent, "security-1", ctx=acting_system(demo.tenant))
    return agent


def page_of(agent: User) -> str:
    return reverse("admin:tenancy_agent_change", args=[agent.public_id])


def button(agent: User, name: str) -> str:
    return reverse(f"admin:tenancy_agent_{name}", args=[agent.public_id])


def test_a_frozen_agent_requests_nothing_and_nothing_of_it_is_sent(demo: Demo, buyer: User) -> None:
    api = demo.api("buyer")
    item = demo.hand_in(LARGE, by=api)
    demo.wait()
    execution = demo.execute(item, by=api).json()["execution_id"]
    body = {"scope": {"principal": "buyer"}, "reason": "It buys too much."}
    demo.join("opal", roles=("operator",))
    for name, scope, status in (
        ("buyer", {"principal": "buyer"}, 403),
        ("finance-2", {"principal": "buyer"}, 403),
        ("opal", {"principal": "finance-1"}, 422),
        ("opal", {"principal": "nobody"}, 422),
        ("opal", {"principal": "buyer", "workflow": "payment_run"}, 422),
    ):
        assert demo.api(name).post("/freezes", {**body, "scope": scope}).status_code == status
    answer = demo.api("opal").post("/freezes", body)
    assert answer.status_code == 201, answer.content
    freeze = answer.json()
    assert freeze["scope"] == {"principal": "buyer"}
    requests = (("GET", "/me"), ("GET", "/work-items"), ("POST", "/work-items"), ("POST", "/mcp"))
    for method, path in requests:
        refused = api.get(path) if method == "GET" else api.post(path, {})
        assert (refused.status_code, refused.json()["reason_code"]) == (403, "principal_frozen"), path
    step = demo.step_of(item)
    for name in ("finance-1", "finance-2"):
        assert demo.vote(name, step).json()["counted"] is True
    demo.wait()
    shown = demo.execution(execution)
    assert (shown["status"], shown["blocked_by_freeze_id"]) == ("started", freeze["freeze_id"])
    with unit_of_work(demo.tenant.id):
        assert [run.public_id for run in Execution.objects.filter(is_blocked(demo.tenant.id))] == [execution]
    assert demo.api("opal").post(f"/freezes/{freeze['freeze_id']}/lift", {}).status_code == 403
    lifted = demo.api("admin").post(f"/freezes/{freeze['freeze_id']}/lift", {})
    assert lifted.status_code == 200, lifted.content
    assert api.get("/me").status_code == 200
    assert demo.execution(execution)["blocked_by_freeze_id"] is None


def test_an_owner_freezes_the_agent_and_lifts_only_that(demo: Demo, buyer: User) -> None:
    demo.hand_in(LARGE, by=demo.api("buyer"))
    permit: dict[str, Any] = {"workflow": "payment_run", "integration": "int_bank", "action": "pay", "rule": {}}
    permit |= {name: ids.new_uuid() for name in ("workflow_id", "step_id", "work_item_id")}
    with unit_of_work(demo.tenant.id):
        for number, named in enumerate((buyer.public_id, "pr_x")):
            Permit.objects.create(
                tenant_id=demo.tenant.id, status="in_effect", body=b"{}", sha256=str(number), used_count=2,
                limits={"principals": [named], "max_count": 5}, ends_at=clock.now() + timedelta(days=1),
                grants_as_of=clock.now(), proposed_by=buyer, **permit,
            )  # fmt: skip
    owner, other, admin = (sign_in(User.objects.get(username=name)) for name in ("security-1", "finance-2", "admin"))
    page = owner.get(page_of(buyer))
    assert "Freeze agent" in page.content.decode()
    assert [case.title for case in page.context["activity"].cases] == ["Pay Hooli EUR 20,000.00"]
    assert "pay" in next(one.actions for one in page.context["requestable"] if one.workflow == "payment_run")
    assert page.context["credentials"]
    assert [(one.used, one.most) for one in page.context["permits"]] == [(2, 5)]
    assert "2 of 5" in page.content.decode()
    with unit_of_work(demo.tenant.id), owner_role():  # no receipt states them, which the end of the journey would name
        Permit.objects.all().delete()
    assert other.get(page_of(buyer)).context["credentials"] is None
    reader = acting(demo.tenant, User.objects.get(username="finance-2"))
    workflow = {ids.new_uuid(): frozenset({Scope.WORKITEMS_READ})}
    with unit_of_work(demo.tenant.id):
        agents: Any = admin_site.get_model_admin(Agent)
        assert agents.rows(reader).exists()
        limited = replace(reader, visibility=Visibility.OWN, grants=ObjectGrants(workflows=workflow))
        assert not agents.rows(limited).exists()
    assert "Freeze agent" not in other.get(page_of(buyer)).content.decode()
    refused = confirm(other, button(buyer, "freeze"), follow=True)
    assert "You do not hold actions:freeze" in refused.content.decode()
    assert "buyer is frozen." in confirm(owner, button(buyer, "freeze"), follow=True).content.decode()
    assert demo.api("buyer").get("/me").json()["reason_code"] == "principal_frozen"
    listed = owner.get(reverse("admin:tenancy_agent_changelist")).content.decode()
    assert "frozen" in listed
    assert "buyer is no longer frozen." in confirm(owner, button(buyer, "lift"), follow=True).content.decode()
    assert demo.api("buyer").get("/me").status_code == 200
    assert "buyer is frozen." in confirm(admin, button(buyer, "freeze"), follow=True).content.decode()
    assert "Lift freeze" not in owner.get(page_of(buyer)).content.decode()
    refused = confirm(owner, button(buyer, "lift"), follow=True)
    assert "You do not hold integrations:manage" in refused.content.decode()
    with unit_of_work(demo.tenant.id):
        assert [row.lifted_at is None for row in Freeze.objects.order_by("id")] == [False, True]
    assert admin.get(f"/console/agents/{buyer.public_id}/")["Location"] == page_of(buyer)


def test_an_owner_freezes_its_own_agent_by_api(demo: Demo, buyer: User) -> None:
    """A token that only reads, another agent, and the agent itself do not; neither does any larger scope."""
    demo.join("sue", roles=("viewer",))
    demo.join("requester-1", roles=("requester",))
    body = {"scope": {"principal": "buyer"}, "reason": "It buys too much."}

    def refusal(name: str, scope: dict[str, str]) -> str:
        answer = demo.api(name).post("/freezes", {**body, "scope": scope})
        assert answer.status_code == 403, answer.content
        return str(answer.json()["reason_code"])

    for owner, larger in (("sue", "scope_missing"), ("requester-1", "scope_missing")):
        with unit_of_work(demo.tenant.id):
            set_owner(buyer, owner, ctx=acting_system(demo.tenant))
        for scope in ({}, {"workflow": "payment_run"}, {"integration": "int_bank"}):
            assert refusal(owner, scope) == larger
    assert refusal("buyer", {"principal": "buyer"}) == "permission_denied"
    assert refusal("finance-2", {"principal": "buyer"}) in ("permission_denied", "scope_missing")
    answer = demo.api("requester-1").post("/freezes", body)
    assert answer.status_code == 201, answer.content
    with unit_of_work(demo.tenant.id):
        set_owner(buyer, "sue", ctx=acting_system(demo.tenant))
    assert refusal("sue", {"principal": "buyer"}) == "scope_missing"  # a viewer's token only reads


def test_a_refused_freeze_does_not_say_which_agents_exist(demo: Demo, buyer: User) -> None:
    demo.join("requester-1", roles=("requester",))
    answers = []
    for name in ("buyer", "nobody", "finance-1"):
        body = {"scope": {"principal": name}, "reason": "Curious."}
        answer = demo.api("requester-1").post("/freezes", body)
        said = {key: text for key, text in answer.json().items() if key not in ("correlation_id", "instance")}
        answers.append((answer.status_code, str(said).replace(name, "NAME")))
    assert len(set(answers)) == 1, answers
    assert answers[0][0] == 403


def test_a_freeze_names_an_agent_alone(demo: Demo, buyer: User) -> None:
    scope = FreezeScope(principal="buyer", principal_id=buyer.id)
    assert scope.covers(Place("payment_run", "int_bank", "pay", buyer.id))
    assert not scope.covers(Place("payment_run", "int_bank", "pay", ids.new_uuid()))
    assert not scope.covers(Place("payment_run"))
    with pytest.raises(ValueError, match="alone"):
        FreezeScope(workflow="payment_run", principal="buyer")
    wrong: list[dict[str, Any]] = [{"principal": "buyer"}, {"principal_id": buyer.id}]
    wrong += [{"principal": "buyer", "principal_id": buyer.id, "workflow": "payment_run"}]
    for row in wrong:
        with (
            pytest.raises(IntegrityError, match="freeze_scope_principal"),
            unit_of_work(demo.tenant.id),
            transaction.atomic(),
        ):
            Freeze.objects.create(tenant_id=demo.tenant.id, reason="x", **row)
