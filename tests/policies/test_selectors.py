"""Selectors of the rulebook: scopes, visibility and caches."""

from __future__ import annotations

import dataclasses
import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from policies import selectors
from policies.configuration.channels import upsert_channel
from policies.configuration.overlays import upsert_overlay
from policies.configuration.workflows import upsert_workflow
from policies.deciding.decide import decide
from policies.documents.overlay import OverlayScope
from policies.documents.workflow import parse_workflow
from policies.models import Workflow
from policies.publication.publish import upsert_policy
from tests.factories import acting, make_principal
from tests.policies.rulebooks import PAYMENTS, TENANT, WEB_MAIN, asking, put_in_force, put_payment_run, rule, spec
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import ActingContext, ObjectGrants, Scope
from threada_site.kernel.weighted_cache import WeightedCache
from threada_site.tenancy.models import Tenant


def granted_only(ctx: ActingContext, workflow: Workflow) -> ActingContext:
    """Return the context of a principal with read access to a single workflow."""
    grants = ObjectGrants(workflows={workflow.id: frozenset({Scope.WORKITEMS_READ})})
    return dataclasses.replace(ctx, scopes=frozenset(), grants=grants)


def test_a_workflow_in_force_is_read_with_one_statement(work: ActingContext) -> None:
    put_payment_run(work)
    first = selectors.workflow_in_force("payment_run", channel="web_main", ctx=work)
    assert first is not None
    assert (first.document.actions, first.document.data_class, first.channel_exists) == (("pay",), "internal", True)
    with CaptureQueriesContext(connection) as statements:
        again = selectors.workflow_in_force("payment_run", channel="nowhere", ctx=work)
    assert again == dataclasses.replace(first, channel_exists=False)
    assert len(statements) == 1


def test_a_new_workflow_version_is_visible_immediately(work: ActingContext) -> None:
    put_payment_run(work)
    selectors.workflow_in_force("payment_run", channel=None, ctx=work)
    upsert_workflow("payment_run", parse_workflow({"channel_required": True}), ctx=work)
    found = selectors.workflow_in_force("payment_run", channel=None, ctx=work)
    assert found is not None
    assert (found.document.channel_required, found.channel_exists) == (True, False)
    assert selectors.workflow_in_force("nothing", channel=None, ctx=work) is None


def test_another_tenant_sees_nothing(ctx: ActingContext, other_tenant: Tenant) -> None:
    with unit_of_work(ctx.tenant_id):
        put_payment_run(ctx)
        version = put_in_force(PAYMENTS, ctx=ctx)
        decision = decide(asking(), ctx=ctx)
        read = selectors.workflow_in_force("payment_run", channel="web_main", ctx=ctx)
        assert read is not None
    stranger = acting(other_tenant, make_principal(other_tenant, "eve", roles=["tenant_admin"]))
    with unit_of_work(other_tenant.id):
        assert selectors.workflow_in_force("payment_run", channel="web_main", ctx=stranger) is None
        assert selectors.workflow_by_slug("payment_run", ctx=stranger) is None
        assert selectors.channel_by_slug("web_main", ctx=stranger) is None
        assert selectors.policy_by_slug("payments", ctx=stranger) is None
        assert not selectors.policy_versions(version.policy).exists()
        assert not selectors.overlays(stranger).exists()
        assert not selectors.lists(stranger).exists()
        assert selectors.decision_for(decision.id, ctx=stranger) is None
        assert selectors.latest_decision(decision.work_item_id, ctx=stranger) is None


def test_effective_overlays_are_ordered_from_wide_to_narrow(work: ActingContext) -> None:
    put_payment_run(work)
    upsert_workflow("other", parse_workflow({}), ctx=work)
    upsert_channel("desk", ctx=work)
    for policy, scope in (
        ("on-channel", WEB_MAIN),
        ("on-desk", OverlayScope("channel", "desk")),
        ("on-workflow", OverlayScope("workflow", "payment_run")),
        ("on-other", OverlayScope("workflow", "other")),
        ("on-tenant", TENANT),
    ):
        upsert_policy(policy, spec(rule("yes", "allow")), ctx=work)
        upsert_overlay(policy, scope, ctx=work)

    def names(workflow: str, channel: str) -> list[str]:
        found = selectors.applying(selectors.overlays(work), workflow=workflow, channel=channel)
        return [overlay.policy.slug for overlay in found]

    assert names("payment_run", "web_main") == ["on-tenant", "on-workflow", "on-channel"]
    assert names("payment_run", "") == ["on-tenant", "on-workflow"]
    assert names("nothing", "desk") == ["on-tenant", "on-desk"]


def test_a_grant_on_one_workflow_shows_only_its_decisions(work: ActingContext) -> None:
    put_payment_run(work)
    upsert_workflow("other", parse_workflow({}), ctx=work)
    put_in_force(PAYMENTS, ctx=work)
    mine, theirs = (decide(asking(workflow=workflow), ctx=work) for workflow in ("payment_run", "other"))
    reader = granted_only(work, Workflow.objects.get(slug="payment_run"))
    assert [row.slug for row in selectors.workflows(reader)] == ["payment_run"]
    assert selectors.decision_for(mine.id, ctx=reader) == mine
    assert selectors.decision_for(theirs.id, ctx=reader) is None
    assert selectors.decision_for(theirs.id, ctx=work) == theirs
    assert selectors.decision_for(uuid.uuid4(), ctx=work) is None


def test_the_latest_decision_counts(work: ActingContext) -> None:
    put_payment_run(work)
    item, execution = uuid.uuid4(), uuid.uuid4()
    assert selectors.latest_decision(item, ctx=work) is None
    first = decide(asking(work_item_id=item), ctx=work)
    second = decide(asking(work_item_id=item, execution_id=execution, action="pay"), ctx=work)
    third = decide(asking(work_item_id=item), ctx=work)
    assert first.id < second.id < third.id
    assert selectors.latest_decision(item, ctx=work) == third
    assert selectors.latest_decision(item, ctx=work, execution_id=execution) == second


def test_caches_are_bounded() -> None:
    cache = WeightedCache[str, int](max_weight=10)
    cache.put("a", 1, weight=4)
    cache.put("b", 2, weight=4)
    assert cache.get("a") == 1
    cache.put("c", 3, weight=4)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]
    cache.put("d", 4, weight=100)
    assert [cache.get(key) for key in "acd"] == [None, None, 4]
    cache.put("d", 5, weight=1)
    cache.put("e", 6, weight=9)
    assert [cache.get(key) for key in "de"] == [5, 6]


@pytest.mark.parametrize("name", ["", "-1", "1.0", "99999999999999999999"])
def test_an_invalid_version_name_finds_nothing(work: ActingContext, name: str) -> None:
    version = upsert_policy("payments", spec(rule("yes", "allow")), ctx=work).row
    assert selectors.policy_version_named(version.policy, name) is None
