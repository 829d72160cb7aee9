"""Own cases: which work items a principal sees that is only a requester, and what it may do with them."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from integrations.models import Execution
from policies.models import PolicyDecision
from tests.console.sign_in import sign_in
from tests.factories import acting_system
from tests.jobs import run_jobs
from tests.workitems.office import Office
from threada_site.database.unit_of_work import current_visibility, require_unit_of_work, unit_of_work
from threada_site.identity.grants.object_grants import grant_scope_on
from threada_site.identity.grants.role_grants import grant_role
from threada_site.identity.groups import define_group
from threada_site.identity.roles import define_role, set_role_visibility
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, Scope, Visibility
from threada_site.tenancy.models import Role
from workitems import selectors
from workitems.configuration.kinds.roles_and_groups import ROLE
from workitems.models import DecisionStep, Participant, WorkItem
from workitems.steps.reachability_sweep import sweep_reachability

CASE_TABLES: list[Any] = [WorkItem, DecisionStep, Execution, PolicyDecision]


@pytest.fixture
def others(office: Office) -> Office:
    """Return an office with ron and rosa, who request and execute, and rita's payment that awaits approval."""
    office.join("ron", roles=("client",))
    office.join("rosa", roles=("client",))
    office.awaiting()
    return office


def seen(office: Office, name: str, **options: Any) -> set[uuid.UUID]:
    ctx = office.ctx(name, **options)
    with unit_of_work(office.tenant.id, actor=ctx):
        return set(selectors.work_items(ctx).values_list("id", flat=True))


def make_own_decider(office: Office, name: str, group: str = "board") -> None:
    """Add a member who decides, and whose only role is marked `own`."""
    with unit_of_work(office.tenant.id):
        define_role(
            "own-decider", frozenset({Scope.WORKITEMS_READ, Scope.DECISIONS_DECIDE}), ctx=acting_system(office.tenant)
        )
        Role.objects.filter(tenant_id=office.tenant.id, slug="own-decider").update(visibility=Visibility.OWN)
    office.join(name, roles=("own-decider",))
    with unit_of_work(office.tenant.id):
        define_group(group, [name], ctx=acting_system(office.tenant))


@pytest.mark.django_db
class TestWorkItems:
    def test_a_requester_sees_own_items_and_those_on_its_behalf(self, others: Office) -> None:
        own = others.create(by="ron")
        on_behalf = others.create(by="ada", requester="ron")
        others.create(by="rosa")
        assert seen(others, "ron") == {own.id, on_behalf.id}
        listed = others.api("ron").get("/work-items").json()["data"]
        assert [item["work_item_id"] for item in listed] == [on_behalf.public_id, own.public_id]

    def test_the_submitter_sees_what_it_submitted_for_others(self, others: Office) -> None:
        with unit_of_work(others.tenant.id):
            define_role(
                "clerk",
                frozenset({Scope.WORKITEMS_READ, Scope.WORKITEMS_WRITE, Scope.WORKITEMS_ON_BEHALF}),
                ctx=acting_system(others.tenant),
            )
            Role.objects.filter(tenant_id=others.tenant.id, slug="clerk").update(visibility=Visibility.OWN)
        others.join("carl", roles=("clerk",))
        item = others.create(by="carl", requester="ron")
        assert seen(others, "carl") == seen(others, "ron") == {item.id}

    def test_other_roles_see_the_tenant(self, others: Office) -> None:
        everything = seen(others, "ada")
        assert everything
        assert seen(others, "wim") == seen(others, "fay") == everything
        with unit_of_work(others.tenant.id):
            grant_role(others.people["ron"], "viewer", ctx=acting_system(others.tenant))
        assert seen(others, "ron") == everything
        assert seen(others, "ron", role="requester") == set()

    def test_a_grant_on_a_workflow_widens_to_that_workflow(self, others: Office) -> None:
        others.upsert_workflow("refunds")
        refund = others.create(by="rita", workflow="refunds")
        own = others.create(by="ron")
        with unit_of_work(others.tenant.id):
            item = selectors.work_item(refund.id, ctx=others.system)
            assert item is not None
            grant_scope_on(
                others.people["ron"],
                Scope.WORKITEMS_READ,
                item.workflow_version.workflow,
                ctx=acting_system(others.tenant),
            )
        assert seen(others, "ron") == {refund.id, own.id}
        api = others.api("ron")
        assert {item["work_item_id"] for item in api.get("/work-items").json()["data"]} == {
            refund.public_id,
            own.public_id,
        }
        assert api.get("/executions").json()["data"] == api.get("/decision-steps").json()["data"] == []

    def test_delegations_of_others_are_not_shown(self, others: Office) -> None:
        """They tell who is absent and why."""
        for delegate_name in ("finn", "fay"):
            body = {
                "delegate": delegate_name,
                "ends_at": clock.rfc3339(clock.now() + timedelta(days=1)),
                "reason": "ill",
            }
            by = {"finn": "fay", "fay": "fred"}[delegate_name]
            assert others.api(by).post("/delegations", body).status_code == 201
        ron, wim = others.api("ron"), others.api("wim")
        shown = [row["delegation_id"] for row in wim.get("/delegations").json()["data"]]
        assert len(shown) == 2
        assert ron.get("/delegations").json()["data"] == []
        assert ron.get(f"/delegations/{shown[0]}").status_code == 404
        page = "/console/workitems/delegation/"
        assert shown[0] in sign_in(others.people["wim"]).get(page).content.decode()
        browser = sign_in(others.people["ron"])
        assert shown[0] not in browser.get(page).content.decode()
        assert browser.get(f"{page}{shown[0]}/").status_code == 404

    def test_pages_of_own_items_keep_their_order(self, others: Office) -> None:
        mine = [others.create(by="ron").public_id for _ in range(3)]
        mine += [others.create(by="ada", requester="ron").public_id for _ in range(2)]
        api, found, cursor = others.api("ron"), [], ""
        while True:
            page = api.get("/work-items", {"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
            found += [item["work_item_id"] for item in page["data"]]
            cursor = page["next_cursor"]
            if not page["has_more"]:
                break
        assert found == mine[::-1]


@pytest.mark.django_db
class TestActing:
    def test_a_requester_cannot_act_on_an_item_of_another(self, others: Office) -> None:
        with unit_of_work(others.tenant.id):
            execution = Execution.objects.get()
            item = WorkItem.objects.get(id=execution.work_item_id)
        ron = others.api("ron")
        body = {"work_item_id": item.public_id, "integration_id": "bank", "action_id": "pay"}
        for answer in (
            ron.get(f"/work-items/{item.public_id}"),
            ron.get(f"/work-items/{item.public_id}/timeline"),
            ron.get(f"/work-items/{item.public_id}/explain"),
            ron.patch(f"/work-items/{item.public_id}", {"payload": {"amount": 1}}),
            ron.post(f"/work-items/{item.public_id}/cancel", {}),
            ron.post("/actions/execute", body),
            ron.get(f"/executions/{execution.public_id}"),
            ron.post(f"/executions/{execution.public_id}/cancel", {}),
            ron.post(f"/executions/{execution.public_id}/undo", {}),
        ):
            assert (answer.status_code, answer.json()["reason_code"]) == (404, "not_found")
        assert others.item(item).status == "awaiting_approval"

    def test_a_requester_acts_on_its_own_items(self, others: Office) -> None:
        ron = others.api("ron")
        item = ron.post("/work-items", {"workflow_id": "payments", "channel_id": "web", "payload": {"amount": 500}})
        item_id = item.json()["work_item_id"]
        body = {"work_item_id": item_id, "integration_id": "bank", "action_id": "pay"}
        started = ron.post("/actions/execute", body)
        assert started.status_code == 202, started.content
        execution_id = started.json()["execution_id"]
        assert [one["execution_id"] for one in ron.get("/executions").json()["data"]] == [execution_id]
        assert [one["work_item_id"] for one in ron.get("/decision-steps").json()["data"]] == [item_id]
        decision = ron.get(f"/executions/{execution_id}").json()["policy_decision_id"]
        assert ron.get(f"/policy-decisions/{decision}").status_code == 200
        assert others.api("rosa").get(f"/policy-decisions/{decision}").status_code == 404
        assert ron.post(f"/executions/{execution_id}/cancel", {}).status_code == 200
        assert ron.post(f"/work-items/{item_id}/cancel", {}).status_code == 200


@pytest.mark.django_db
class TestEligibleApprovers:
    RULE = {
        "id": "board",
        "when": "ctx.action == 'pay'",
        "effect": "require_approval",
        "reason": "BOARD",
        "approvals": {"group": "board"},
    }
    REST = {"id": "rest", "when": "true", "effect": "allow", "reason": "REST"}

    def test_a_notice_of_a_step_names_its_approvers(self, office: Office) -> None:
        make_own_decider(office, "bo")
        office.put_rules(self.RULE, self.REST)
        item, step, _ = office.awaiting()
        assert office.api("bo").get("/decision-steps").json()["data"] == []
        run_jobs()
        assert seen(office, "bo") == {item.id}
        ballot = {"decision": "approve", "envelope_sha256": step.envelope_sha256}
        voted = office.api("bo").post(f"/decision-steps/{step.public_id}/votes", ballot)
        assert voted.status_code == 201, voted.content
        with unit_of_work(office.tenant.id):
            assert list(Participant.objects.values_list("principal_id", flat=True)) == [office.people["bo"].id]

    def test_members_who_become_approvers_are_named_by_the_sweep(self, office: Office) -> None:
        office.put_rules(self.RULE, self.REST)
        item, _, _ = office.awaiting()
        run_jobs()
        sweep_reachability()
        make_own_decider(office, "bo")
        assert seen(office, "bo") == set()
        sweep_reachability()
        assert seen(office, "bo") == {item.id}


@pytest.mark.django_db
class TestRowLevelSecurity:
    def visible(self, tenant_id: uuid.UUID, actor: ActingContext | None) -> list[int]:
        with unit_of_work(tenant_id, actor=actor):
            return [model.objects.count() for model in CASE_TABLES]

    def test_case_tables_show_own_cases_without_any_filter(self, others: Office) -> None:
        others.create(by="ron")
        everything = self.visible(others.tenant.id, None)
        assert self.visible(others.tenant.id, others.ctx("wim")) == everything
        assert self.visible(others.tenant.id, others.ctx("ron")) == [1, 0, 0, 0]
        assert self.visible(others.tenant.id, others.ctx("rosa")) == [0, 0, 0, 0]
        assert self.visible(others.tenant.id, others.ctx("rita")) == [everything[0] - 1, *everything[1:]]

    def test_without_a_visibility_there_are_no_rows(self, others: Office) -> None:
        with unit_of_work(others.tenant.id), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('app.visibility', '', true)")
            assert [model.objects.count() for model in CASE_TABLES] == [0, 0, 0, 0]

    def test_services_work_on_the_whole_tenant(self, others: Office) -> None:
        tenant_id = others.tenant.id
        with unit_of_work(tenant_id, actor=others.ctx("rosa")):
            assert current_visibility() is Visibility.OWN
            with unit_of_work(tenant_id):
                assert WorkItem.objects.count() == 0
                require_unit_of_work(tenant_id, reads_cases=False)
                assert WorkItem.objects.count() == 0
                require_unit_of_work(tenant_id)
                assert (current_visibility(), WorkItem.objects.count()) == (Visibility.TENANT, 1)
            assert (current_visibility(), WorkItem.objects.count()) == (Visibility.OWN, 0)

    def test_selectors_leave_out_others_also_inside_services(self, others: Office) -> None:
        ctx = others.ctx("rosa")
        with unit_of_work(others.tenant.id):
            for select in (selectors.work_items, selectors.decision_steps, selectors.executions):
                assert not select(ctx).exists()


@pytest.mark.django_db
class TestVisibilityOfRoles:
    def test_a_role_of_own_cases_has_only_scopes_on_cases(self, office: Office) -> None:
        ctx = acting_system(office.tenant)
        with unit_of_work(office.tenant.id):
            with pytest.raises(errors.InvalidRequest, match="telemetry:read"):
                set_role_visibility("operator", Visibility.OWN, ctx=ctx)
            with pytest.raises(errors.InvalidRequest, match="workflow:manage"):
                define_role("requester", frozenset({Scope.WORKFLOW_MANAGE}), ctx=ctx)
            set_role_visibility("viewer", Visibility.OWN, ctx=ctx)
        assert office.bodies("role.visibility_set")[-1]["inputs"] == {"role": "viewer", "visibility": "own"}

    def test_a_second_steward_confirms_a_wider_visibility(self, office: Office) -> None:
        office.join("bea", roles=("tenant_admin",))
        with unit_of_work(office.tenant.id):
            assert Role.objects.get(slug="requester").visibility == Visibility.OWN
            with pytest.raises(errors.ConfirmationRequired):
                set_role_visibility("requester", Visibility.TENANT, ctx=office.ctx("ada"))

    def test_documents_set_it(self, office: Office) -> None:
        spec = {"scopes": ["workitems:read"], "visibility": "own"}
        document = {"kind": "Role", "id": "guest", "spec": spec}
        with unit_of_work(office.tenant.id):
            changes = [ROLE.apply(document, acting_system(office.tenant)).change.value for _ in range(2)]
            assert changes == ["created", "unchanged"]
            assert Role.objects.get(slug="guest").visibility == Visibility.OWN
            assert document in [stored.document for stored in ROLE.export(acting_system(office.tenant))]
