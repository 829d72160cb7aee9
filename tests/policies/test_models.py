"""Constraints and triggers of the database."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from policies.deciding.decide import decide
from policies.drafts.edit import draft_policy_version
from policies.models import ListVersion, Overlay, Policy, PolicyDecision, PolicyVersion, Workflow, WorkflowVersion
from policies.publication.publish import retire_policy_version
from tests.policies.rulebooks import PAYMENT_RUN, PAYMENTS, asking, put_in_force, put_payment_run, rule, spec
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import Tenant


@pytest.fixture
def rulebook(work: ActingContext) -> ActingContext:
    """Create a rulebook with one policy in force and one decision."""
    put_payment_run(work)
    put_in_force(PAYMENTS, ctx=work)
    decide(asking(), ctx=work)
    return work


def refused(change: Callable[[], Any]) -> str:
    """Return the error message of the database for a refused change."""
    with pytest.raises(DatabaseError) as caught, transaction.atomic():
        checked_at_once(change)
    return str(caught.value)


def checked_at_once(change: Callable[[], Any]) -> None:
    change()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.mark.parametrize("status", ["published", "retired"])
@pytest.mark.parametrize(
    "change",
    [
        {"document": {"rules": []}},
        {"document_sha256": "0" * 64},
        {"number": 7},
        {"status": "draft"},
        {"id": uuid.UUID(int=7)},
    ],
)
def test_a_published_version_is_immutable(rulebook: ActingContext, status: str, change: dict[str, Any]) -> None:
    version = PolicyVersion.objects.get()
    if status == "retired":
        retire_policy_version(version, ctx=rulebook)
    assert "policy version" in refused(lambda: PolicyVersion.objects.filter(id=version.id).update(**change))


def test_a_draft_can_be_deleted_and_a_published_version_cannot(rulebook: ActingContext) -> None:
    published = PolicyVersion.objects.get()
    draft = draft_policy_version("payments", spec(rule("other", "allow")), ctx=rulebook).row
    assert "cannot be deleted" in refused(lambda: PolicyVersion.objects.filter(id=published.id)._raw_delete("default"))
    PolicyVersion.objects.filter(id=draft.id)._raw_delete("default")
    assert PolicyVersion.objects.get().id == published.id


def test_a_retired_version_cannot_be_published(rulebook: ActingContext) -> None:
    version = retire_policy_version(PolicyVersion.objects.get(), ctx=rulebook)
    change = {"status": "published"}
    assert "does not move" in refused(lambda: PolicyVersion.objects.filter(id=version.id).update(**change))


@pytest.mark.parametrize(
    ("model", "change"),
    [
        (WorkflowVersion, {"spec": {}}),
        (ListVersion, {"spec": []}),
        (PolicyDecision, {"outcome": "allow"}),
    ],
)
def test_decisions_are_append_only(rulebook: ActingContext, model: Any, change: dict[str, Any]) -> None:
    assert "permission denied" in refused(lambda: model.objects.update(**change))
    assert "permission denied" in refused(lambda: model.objects.all()._raw_delete("default"))

    def as_platform() -> None:
        with platform_role():
            model.objects.update(**change)

    assert "append-only" in refused(as_platform)


def test_names_and_numbers_are_unique_in_their_tenant(rulebook: ActingContext) -> None:
    tenant_id = rulebook.tenant_id
    policy, workflow = Policy.objects.get(), Workflow.objects.get()
    twins: list[Callable[[], Any]] = [
        lambda: Policy.objects.create(tenant_id=tenant_id, slug="payments"),
        lambda: Workflow.objects.create(tenant_id=tenant_id, slug="payment_run"),
        lambda: PolicyVersion.objects.create(
            tenant_id=tenant_id, policy=policy, number=1, document={}, document_sha256=""
        ),
        lambda: WorkflowVersion.objects.create(
            tenant_id=tenant_id, workflow=workflow, number=1, spec={}, spec_sha256=""
        ),
        lambda: Overlay.objects.create(
            tenant_id=tenant_id, policy=policy, scope_kind=PAYMENT_RUN.kind, scope_slug=PAYMENT_RUN.slug
        ),
    ]
    for twin in twins:
        assert "duplicate key" in refused(twin)


@pytest.mark.parametrize("change", [{"scope_kind": "team"}])
def test_an_overlay_has_a_known_scope(rulebook: ActingContext, change: dict[str, Any]) -> None:
    assert "overlay_scope_known" in refused(lambda: Overlay.objects.update(**change))


def test_foreign_keys_stay_within_the_tenant(ctx: ActingContext, other_tenant: Tenant) -> None:
    with unit_of_work(ctx.tenant_id):
        policy = Policy.objects.create(tenant_id=ctx.tenant_id, slug="payments")
    with pytest.raises(IntegrityError, match="overlay_policy_fk"), unit_of_work(other_tenant.id):
        checked_at_once(
            lambda: Overlay.objects.create(tenant_id=other_tenant.id, policy_id=policy.id, scope_kind="tenant")
        )
