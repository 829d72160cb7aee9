"""Concurrent writes: one succeeds, the other is refused, nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Event
from typing import Any

import pytest
from django.db import connection

from policies.configuration.channels import upsert_channel
from policies.configuration.overlays import remove_overlay, upsert_overlay
from policies.configuration.workflows import upsert_workflow
from policies.deciding.decide import decide
from policies.documents.overlay import OverlayScope
from policies.documents.workflow import parse_workflow
from policies.drafts.edit import draft_policy_version, edit_draft
from policies.models import (
    Channel,
    EmergencyPublication,
    Overlay,
    Policy,
    PolicyDecision,
    PolicyVersion,
    WorkflowVersion,
)
from policies.publication.emergencies import confirm_emergency, end_emergency, end_overdue_emergency
from policies.publication.publish import publish_policy_version, retire_policy_version, upsert_policy
from tests.client import Api
from tests.factories import acting, make_principal
from tests.policies.emergencies import alone
from tests.policies.rulebooks import PAYMENT_RUN, PAYMENTS, asking, put_in_force, put_payment_run, receipts, rule, spec
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import Tenant

pytestmark = pytest.mark.django_db(transaction=True)

NEW = {"If-None-Match": "*"}
ALLOW, DENY = spec(rule("yes", "allow")), spec(rule("no", "deny"))


def race(ctx: ActingContext, first: Callable[[], Any], second: Callable[[], Any]) -> tuple[Any, Any]:
    """Return what each call returned or raised. The second starts just before the first commits, and waits for it."""
    has_acted = Event()

    def run(operation: Callable[[], Any], *, leads: bool) -> Any:
        try:
            if not leads:
                has_acted.wait(10)
            with unit_of_work(ctx.tenant_id):
                result = operation()
                if leads:
                    has_acted.set()
                    time.sleep(0.3)
        except errors.ThreadaError as error:
            return error
        else:
            return result
        finally:
            has_acted.set()
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        leading: Future[Any] = pool.submit(run, first, leads=True)
        following: Future[Any] = pool.submit(run, second, leads=False)
        return leading.result(30), following.result(30)


def test_of_two_publishers_of_one_draft_one_is_refused(ctx: ActingContext) -> None:
    with unit_of_work(ctx.tenant_id):
        draft = draft_policy_version("payments", ALLOW, ctx=ctx).row
    won, lost = race(ctx, *[lambda: publish_policy_version(draft, ctx=ctx)] * 2)
    assert isinstance(won, PolicyVersion)
    assert isinstance(lost, errors.VersionNotDraft)
    with unit_of_work(ctx.tenant_id):
        assert len(receipts("policy.published")) == 1


def test_of_two_versions_published_concurrently_the_later_is_in_force(ctx: ActingContext) -> None:
    with unit_of_work(ctx.tenant_id):
        one, two = (draft_policy_version("payments", document, ctx=ctx).row for document in (ALLOW, DENY))
    race(ctx, lambda: publish_policy_version(two, ctx=ctx), lambda: publish_policy_version(one, ctx=ctx))
    with unit_of_work(ctx.tenant_id):
        assert Policy.objects.get().in_force_id == one.id
        assert [entry["outcome"]["replaces"] for entry in receipts("policy.published")] == [None, two.public_id]


def test_a_concurrently_published_draft_is_not_edited(ctx: ActingContext) -> None:
    with unit_of_work(ctx.tenant_id):
        draft = draft_policy_version("payments", ALLOW, ctx=ctx).row
    _, edited = race(ctx, lambda: publish_policy_version(draft, ctx=ctx), lambda: edit_draft(draft, DENY, ctx=ctx))
    assert isinstance(edited, errors.VersionNotDraft)
    with unit_of_work(ctx.tenant_id):
        assert PolicyVersion.objects.get().document == ALLOW


def test_a_concurrently_edited_draft_is_published_with_the_edit(ctx: ActingContext) -> None:
    with unit_of_work(ctx.tenant_id):
        draft = draft_policy_version("payments", ALLOW, ctx=ctx).row
    _, published = race(ctx, lambda: edit_draft(draft, DENY, ctx=ctx), lambda: publish_policy_version(draft, ctx=ctx))
    assert published.document == DENY
    with unit_of_work(ctx.tenant_id):
        assert receipts("policy.published")[0]["policy"]["document_sha256"] == published.document_sha256


def test_concurrent_publish_and_retire_are_serialized(ctx: ActingContext) -> None:
    with unit_of_work(ctx.tenant_id):
        old = upsert_policy("payments", ALLOW, ctx=ctx).row
        new = draft_policy_version("payments", DENY, ctx=ctx).row
    race(ctx, lambda: publish_policy_version(new, ctx=ctx), lambda: retire_policy_version(old, ctx=ctx))
    with unit_of_work(ctx.tenant_id):
        assert Policy.objects.get().in_force_id == new.id
        assert receipts("policy.retired")[0]["outcome"]["was_in_force"] is False


def test_concurrent_upserts_create_one_row(ctx: ActingContext) -> None:
    results = race(ctx, *[lambda: upsert_channel("web_main", ctx=ctx)] * 2)
    assert [upserted.change for upserted in results] == ["created", "unchanged"]
    document = parse_workflow({})
    results = race(ctx, *[lambda: upsert_workflow("payment_run", document, ctx=ctx)] * 2)
    assert [upserted.change for upserted in results] == ["created", "unchanged"]
    results = race(ctx, *[lambda: upsert_policy("payments", ALLOW, ctx=ctx)] * 2)
    assert [upserted.change for upserted in results] == ["created", "unchanged"]
    results = race(ctx, *[lambda: upsert_overlay("payments", PAYMENT_RUN, ctx=ctx)] * 2)
    assert [upserted.change for upserted in results] == ["created", "unchanged"]
    with unit_of_work(ctx.tenant_id):
        counts = [model.objects.count() for model in (Channel, WorkflowVersion, PolicyVersion, Overlay)]
        assert counts == [1, 1, 1, 1]


def test_concurrent_drafts_have_different_numbers(ctx: ActingContext) -> None:
    results = race(
        ctx,
        lambda: draft_policy_version("payments", ALLOW, ctx=ctx),
        lambda: draft_policy_version("payments", DENY, ctx=ctx),
    )
    assert [upserted.row.number for upserted in results] == [1, 2]


def test_an_overlay_is_removed_once(ctx: ActingContext) -> None:
    with unit_of_work(ctx.tenant_id):
        put_payment_run(ctx)
        upsert_policy("payments", PAYMENTS, ctx=ctx)
        overlay = upsert_overlay("payments", PAYMENT_RUN, ctx=ctx).row
    removed, late = race(ctx, *[lambda: remove_overlay(Overlay(id=overlay.id), ctx=ctx)] * 2)
    assert removed is None
    assert isinstance(late, errors.NotFound)


def test_a_version_published_while_an_overlay_is_added_is_checked_against_it(ctx: ActingContext) -> None:
    with unit_of_work(ctx.tenant_id):
        put_payment_run(ctx)
        upsert_workflow("other", parse_workflow({"payload_schema": {"properties": {"x": {"type": "string"}}}}), ctx=ctx)
        upsert_policy("payments", ALLOW, ctx=ctx)
        draft = draft_policy_version("payments", PAYMENTS, ctx=ctx).row
    _, published = race(
        ctx,
        lambda: upsert_overlay("payments", OverlayScope("workflow", "other"), ctx=ctx),
        lambda: publish_policy_version(draft, ctx=ctx),
    )
    assert isinstance(published, errors.PolicyDocumentInvalid)


def test_decisions_during_publication_always_find_a_version(ctx: ActingContext) -> None:
    with unit_of_work(ctx.tenant_id):
        put_payment_run(ctx)
        put_in_force(ALLOW, ctx=ctx)
    done = Event()

    def decide_until_done() -> None:
        try:
            while not done.is_set():
                with unit_of_work(ctx.tenant_id):
                    decide(asking(), ctx=ctx)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        deciding = [pool.submit(decide_until_done) for _ in range(2)]
        try:
            for turn in range(10):
                with unit_of_work(ctx.tenant_id):
                    upsert_policy("payments", DENY if turn % 2 == 0 else ALLOW, ctx=ctx)
        finally:
            done.set()
        for each in deciding:
            each.result(30)
    with unit_of_work(ctx.tenant_id):
        reasons = {tuple(codes) for codes in PolicyDecision.objects.values_list("reason_codes", flat=True)}
        assert reasons == {("YES",), ("NO",)}
        assert PolicyVersion.objects.count() == 11


class TestEmergencies:
    """A confirmation, the end of the time box and a newer version are serialized."""

    @pytest.fixture
    def opened(self, ctx: ActingContext) -> EmergencyPublication:
        with unit_of_work(ctx.tenant_id):
            upsert_policy("payments", ALLOW, ctx=ctx)
            draft = draft_policy_version("payments", DENY, ctx=ctx).row
            alone(draft, ctx)
            return EmergencyPublication.objects.get()

    @pytest.fixture
    def second(self, tenant: Tenant) -> ActingContext:
        return acting(tenant, make_principal(tenant, "bob", roles=["policy_publisher"]))

    def test_it_is_either_confirmed_or_ended(
        self, ctx: ActingContext, opened: EmergencyPublication, second: ActingContext
    ) -> None:
        won, lost = race(ctx, lambda: confirm_emergency(opened, ctx=second), lambda: end_emergency(opened, ctx=second))
        assert (won.status, type(lost)) == ("confirmed", errors.TransitionNotAllowed)
        with unit_of_work(ctx.tenant_id):
            assert Policy.objects.get().in_force_id == opened.version_id

    def test_it_ends_once(self, ctx: ActingContext, opened: EmergencyPublication) -> None:
        with unit_of_work(ctx.tenant_id):
            EmergencyPublication.objects.update(ends_at=clock.now())
        ended = race(ctx, *[lambda: end_overdue_emergency(opened.id, ctx=ctx)] * 2)
        assert ended == (True, False)
        with unit_of_work(ctx.tenant_id):
            assert len(receipts("policy.emergency_ended")) == 1

    def test_a_newer_version_stays_in_force(self, ctx: ActingContext, opened: EmergencyPublication) -> None:
        with unit_of_work(ctx.tenant_id):
            EmergencyPublication.objects.update(ends_at=clock.now())
            draft = draft_policy_version("payments", spec(rule("third", "review")), ctx=ctx).row
        published, ended = race(
            ctx,
            lambda: publish_policy_version(draft, ctx=ctx),
            lambda: end_overdue_emergency(opened.id, ctx=ctx),
        )
        assert ended is False
        with unit_of_work(ctx.tenant_id):
            assert Policy.objects.get().in_force_id == published.id
            assert EmergencyPublication.objects.get().status == "replaced"


def test_of_two_edits_of_what_both_have_read_one_is_refused(ctx: ActingContext, admin: Api) -> None:
    with unit_of_work(ctx.tenant_id):
        put_payment_run(ctx)
        put_in_force(PAYMENTS, ctx=ctx)
        overlay = Overlay.objects.get().public_id
    made = admin.put("/integrations/bank", {"spec": {"connector": "mock", "actions": {"pay": {}}}}, NEW)
    assert made.status_code == 201, made.content
    for address, spec_ in (("/lists/blocked", {"items": []}), ("/roles/more", {"scopes": []})):
        assert admin.put(address, {"spec": spec_}, NEW).status_code == 201, address
    one, two = "2026-12-24T00:00:00Z", "2026-12-31T00:00:00Z"
    for address, bodies in {
        "/workflows/payment_run": ({"spec": {"title": "One"}}, {"spec": {"description": "Two"}}),
        "/channels/web_main": ({"name": "One"}, {"name": "Two"}),
        "/integrations/bank": ({"name": "One"}, {"spec": {"description": "Two"}}),
        f"/overlays/{overlay}": ({"starts_at": one}, {"ends_at": two}),
        "/lists/blocked": ({"spec": {"items": ["One"]}}, {"spec": {"items": ["Two"]}}),
        "/roles/more": ({"spec": {"scopes": ["workitems:read"]}}, {"spec": {"require_mfa": True}}),
    }.items():
        read = {"If-Match": admin.get(address)["ETag"]}
        first, second = (partial(Api(headers=admin.headers).patch, address, body, headers=read) for body in bodies)
        assert [answer.status_code for answer in race(ctx, first, second)] == [200, 412], address


def test_what_another_request_changes_meanwhile_is_not_deleted(ctx: ActingContext, admin: Api) -> None:
    """The second request reads the pack before the first one commits another version of it."""
    pack = {"version": "1", "documents": [{"kind": "Channel", "id": "shop"}]}
    tag = admin.put("/packs/shop", {"spec": pack}, NEW)["ETag"]
    upgrade = partial(
        Api(headers=admin.headers).put, "/packs/shop", {"spec": {**pack, "version": "2"}}, {"If-Match": tag}
    )
    delete = partial(Api(headers=admin.headers).delete, "/packs/shop", headers={"If-Match": tag})
    assert [answer.status_code for answer in race(ctx, upgrade, delete)] == [200, 412]
    assert admin.get("/packs/shop").json()["version"] == "2"


def test_of_two_creations_by_put_one_is_refused(ctx: ActingContext, admin: Api) -> None:
    for address, bodies in {
        "/workflows/orders": ({"spec": {"title": "One"}}, {"spec": {"title": "Two"}}),
        "/channels/shop": ({"name": "One"}, {"name": "Two"}),
        "/integrations/bank": tuple(
            {"spec": {"connector": "mock", "actions": {name: {}}}} for name in ("pay", "refund")
        ),
        "/lists/blocked": ({"spec": {"items": ["One"]}}, {"spec": {"items": ["Two"]}}),
        "/roles/more": ({"spec": {"scopes": ["workitems:read"]}}, {"spec": {"scopes": []}}),
        "/groups/more": ({"name": "One", "spec": {"members": []}}, {"name": "Two", "spec": {"members": []}}),
        "/retention/more": tuple({"spec": {"keep_payload": kept}} for kept in ("P90D", "P30D")),
    }.items():
        first, second = (partial(Api(headers=admin.headers).put, address, body, headers=NEW) for body in bodies)
        assert [answer.status_code for answer in race(ctx, first, second)] == [201, 412], address
