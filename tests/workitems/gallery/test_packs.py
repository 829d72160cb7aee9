"""Every pack of the gallery: valid documents, tests of its policies, and sample requests up to the simulated effect."""

from __future__ import annotations

from typing import Any

import pytest

from integrations.documents import read_integration
from integrations.models import Execution
from policies.documents.payload_schema import validate
from policies.documents.title_template import parse_title
from policies.models import Policy
from tests.factories import acting, acting_system, make_principal
from tests.jobs import run_jobs
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import EntryPoint
from threada_site.tenancy.models import Tenant, User
from workitems.executions.declared_request import execute_declared
from workitems.gallery.catalogue import GalleryPack, gallery
from workitems.gallery.installation import install_from_gallery
from workitems.gallery.samples import request_sample
from workitems.items.locks import locked_item, locked_step
from workitems.models import DecisionStep, WorkItem
from workitems.steps.voting import Ballot, cast_vote

PACKS = gallery()
EFFECTS = ("allow", "review", "require_approval", "deny")


def by_id(pack: GalleryPack) -> str:
    return pack.id


def test_packs() -> None:
    assert sorted(map(by_id, PACKS)) == [
        "access",
        "data_requests",
        "deployments",
        "mcp_tools",
        "payments",
        "refunds",
        "vendor_review",
    ]


def test_packs_share_nothing_but_roles() -> None:
    names = [(value["kind"], value.get("id", value.get("policy"))) for pack in PACKS for value in pack.contents]
    assert len(names) == len(set(names))
    roles: dict[str, Any] = {}
    for pack in PACKS:
        for role in pack.roles:
            assert roles.setdefault(role["id"], role) == role


@pytest.mark.parametrize("pack", PACKS, ids=by_id)
class TestPack:
    def test_documents_say_what_people_read(self, pack: GalleryPack) -> None:
        assert pack.is_simulated
        (workflow,) = [value["spec"] for value in pack.contents if value["kind"] == "Workflow"]
        assert workflow["name"]
        assert workflow["description"]
        assert parse_title(workflow["title"])
        properties = workflow["payload_schema"]["properties"]
        assert all("title" in part for part in properties.values())
        assert {pointer.removeprefix("/") for pointer in workflow["summary"]} <= set(properties)
        (integration,) = [value["spec"] for value in pack.contents if value["kind"] == "Integration"]
        assert set(read_integration(integration).actions) <= set(workflow["actions"])
        named = {leaf["role"] for rule in pack.rules for leaf in rule.get("approvals", {}).get("all", [])}
        assert named <= {role["id"] for role in pack.roles}

    def test_policy_tests_cover_its_effects(self, pack: GalleryPack) -> None:
        (policy,) = [value["spec"] for value in pack.contents if value["kind"] == "Policy"]
        assert {test["expect"]["effect"] for test in policy["tests"]} == set(EFFECTS)
        assert {rule["reason"] for rule in policy["rules"]} == {test["expect"]["reason"] for test in policy["tests"]}

    def test_samples_match_the_form(self, pack: GalleryPack) -> None:
        assert {"require_approval", "review", "deny"} <= {sample.outcome for sample in pack.samples}
        for sample in pack.samples:
            assert validate(pack.payload_schema, dict(sample.payload)) == []

    def test_samples_go_through_to_the_simulated_effect(self, tenant: Tenant, pack: GalleryPack) -> None:
        with unit_of_work(tenant.id):
            install_from_gallery(pack, ctx=acting_system(tenant, EntryPoint.COMMAND))
            assert Policy.objects.get().in_force is not None
        rita = make_principal(tenant, "rita", roles=["requester"])
        roles = sorted(role["id"] for role in pack.roles)
        people = [make_principal(tenant, f"person-{n}", roles=["approver", *roles]) for n in range(2)]
        for number, sample in enumerate(pack.samples):
            with unit_of_work(tenant.id):
                asked = request_sample(pack, number, ctx=acting(tenant, rita))
            _decide(tenant, asked.item, people)
            run_jobs()
            with unit_of_work(tenant.id):
                item = WorkItem.objects.get(id=asked.item.id)
            assert (asked.execution is None) == (sample.outcome in ("deny", "review"))
            if sample.outcome == "deny":
                assert item.status == "refused", sample.title
                continue
            if sample.outcome == "review":
                assert item.status == "ready", sample.title
                with unit_of_work(tenant.id):
                    execute_declared(locked_item(item.id, ctx=acting_system(tenant)), ctx=acting(tenant, rita))
                _decide(tenant, item, people)
                run_jobs()
            with unit_of_work(tenant.id):
                execution = Execution.objects.get(work_item_id=item.id)
                assert WorkItem.objects.get(id=item.id).status == "resolved", sample.title
            assert (execution.status, execution.is_simulated) == ("succeeded", True), sample.title
            assert execution.result["simulated"] is True
            assert item.title


def _decide(tenant: Tenant, item: WorkItem, people: list[User]) -> None:
    """Approve every pending step of an item by all of `people` who are needed."""
    for person in people:
        with unit_of_work(tenant.id):
            step = DecisionStep.objects.filter(work_item=item, status="pending").first()
            if step is None:
                return
            found, locked = locked_step(step.id, ctx=acting_system(tenant))
            ballot = Ballot(envelope_sha256=locked.envelope_sha256, decision="approve")
            cast_vote(found, locked, ballot, ctx=acting(tenant, person))
