"""Publication by one person, by two people, and in an emergency."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction

from policies.drafts.edit import draft_policy_version, edit_draft
from policies.metrics import emergency_metrics
from policies.models import EmergencyPublication, Policy, PolicyReplay, PolicyVersion
from policies.publication.emergencies import confirm_emergency, end_emergency, end_overdue_emergency
from policies.publication.publish import publish_policy_version, retire_policy_version, upsert_policy
from policies.publication.rules import Emergency
from policies.replay.request import Against, ReplayRequest, request_replay
from policies.replay.run import run_replay
from policies.sweeps import enqueue_due_emergency_ends
from tests.client import Api
from tests.factories import acting, acting_system, make_principal, make_token
from tests.jobs import queued_jobs, run_jobs
from tests.policies.rulebooks import receipt_kinds, receipts, rule, spec
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.four_eyes import turn_on_four_eyes
from threada_site.identity.owners import set_owner
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES
from threada_site.tenancy.models import Tenant

ALLOW, DENY, REVIEW = spec(rule("yes", "allow")), spec(rule("no", "deny")), spec(rule("look", "review"))
FIRE = Emergency("The bank's system answers twice.", timedelta(hours=4))


def colleague(tenant: Tenant, name: str, **more: Any) -> ActingContext:
    return acting(tenant, make_principal(tenant, name, roles=["policy_author", "policy_publisher"], **more))


@pytest.fixture
def ann(tenant: Tenant) -> ActingContext:
    return colleague(tenant, "ann")


@pytest.fixture
def bob(tenant: Tenant) -> ActingContext:
    return colleague(tenant, "bob")


@pytest.fixture
def four_eyes(work: ActingContext) -> ActingContext:
    """Open a unit of work in a tenant that requires four eyes for policies."""
    turn_on_four_eyes(POLICY_FOUR_EYES, ctx=work)
    return work


def replayed(draft: PolicyVersion, **request: Any) -> PolicyReplay:
    """Run a replay of the draft to its end. Return the draft."""
    ctx = acting_system(draft.tenant)
    replay = request_replay(draft, ReplayRequest(**request), ctx=ctx, by_job=False)
    assert run_replay(replay.id, ctx=ctx)
    return replay


def checked(document: dict[str, Any], ctx: ActingContext) -> PolicyVersion:
    """Return a draft that only needs a second person."""
    draft = drafted(document, ctx)
    replayed(draft)
    return draft


def drafted(document: dict[str, Any], ctx: ActingContext) -> PolicyVersion:
    return draft_policy_version("payments", document, ctx=ctx).row


class TestFourEyes:
    def test_without_four_eyes_one_person_suffices(self, work: ActingContext, ann: ActingContext) -> None:
        assert publish_policy_version(drafted(ALLOW, ann), ctx=ann).status == "published"

    def test_another_person_publishes(self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext) -> None:
        draft = checked(ALLOW, ann)
        before = receipt_kinds()
        with pytest.raises(errors.SecondPersonRequired):
            publish_policy_version(draft, ctx=ann)
        draft.refresh_from_db()
        assert (draft.status, receipt_kinds()) == ("draft", before)
        published = publish_policy_version(draft, ctx=bob)
        assert (published.status, published.published_by) == ("published", bob.principal_id)

    def test_no_editor_can_publish(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext, tenant: Tenant
    ) -> None:
        draft = edit_draft(drafted(ALLOW, ann), DENY, ctx=bob).row
        assert (draft.created_by, draft.written_by) == (bob.principal_id, [ann.principal_id, bob.principal_id])
        draft = edit_draft(draft, ALLOW, ctx=bob).row
        for author in (ann, bob):
            with pytest.raises(errors.SecondPersonRequired):
                publish_policy_version(draft, ctx=author)
        replayed(draft)
        assert publish_policy_version(draft, ctx=colleague(tenant, "cleo")).status == "published"

    @pytest.mark.parametrize("kind", ["service", "agent"])
    def test_only_people_can_publish(
        self, four_eyes: ActingContext, ann: ActingContext, tenant: Tenant, kind: str
    ) -> None:
        draft = drafted(ALLOW, ann)
        for ctx in (colleague(tenant, "robot", kind=kind), acting_system(tenant)):
            with pytest.raises(errors.PersonRequired):
                publish_policy_version(draft, ctx=ctx)

    def test_the_owner_of_the_writer_cannot_publish(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext, tenant: Tenant
    ) -> None:
        agent = make_principal(tenant, "agent", kind="agent", roles=["policy_author"])
        set_owner(agent, "ann", ctx=acting_system(tenant))
        draft = checked(ALLOW, acting(tenant, agent))
        with pytest.raises(errors.SecondPersonRequired):
            publish_policy_version(draft, ctx=ann)
        assert publish_policy_version(draft, ctx=bob).status == "published"

    def test_a_finished_replay_is_required(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext, tenant: Tenant
    ) -> None:
        """The replay must cover this document, be finished, and use the version in force or the recorded decisions."""
        draft = drafted(ALLOW, ann)
        with pytest.raises(errors.ReplayReportRequired):
            publish_policy_version(draft, ctx=bob)
        replay = request_replay(draft, ReplayRequest(), ctx=ann, by_job=False)
        with pytest.raises(errors.ReplayReportRequired):
            publish_policy_version(draft, ctx=bob)
        assert run_replay(replay.id, ctx=ann)
        edited = edit_draft(draft, DENY, ctx=ann).row
        with pytest.raises(errors.ReplayReportRequired):
            publish_policy_version(edited, ctx=bob)
        back = edit_draft(edited, ALLOW, ctx=ann).row
        published = publish_policy_version(back, ctx=bob)
        assert receipts("policy.published")[0]["outcome"]["replay"] == replay.public_id
        one, other = checked(DENY, ann), checked(REVIEW, ann)
        publish_policy_version(one, ctx=bob)
        with pytest.raises(errors.ReplayReportRequired):  # its baseline is no longer in force
            publish_policy_version(other, ctx=bob)
        replayed(other, against=Against.RECORDED)
        assert publish_policy_version(other, ctx=bob).policy_id == published.policy_id

    def test_upserting_alone_creates_a_draft(
        self, four_eyes: ActingContext, ann: ActingContext, tenant: Tenant
    ) -> None:
        for ctx in (ann, acting_system(tenant)):
            assert upsert_policy("payments", ALLOW, ctx=ctx).row.status == "draft"
        assert Policy.objects.get().in_force is None
        assert "policy.published" not in receipt_kinds()


def test_apply_creates_drafts_under_four_eyes(
    tenant: Tenant, tmp_path: Any, ann: ActingContext, capsys: pytest.CaptureFixture[str]
) -> None:
    with unit_of_work(tenant.id):
        turn_on_four_eyes(POLICY_FOUR_EYES, ctx=acting_system(tenant))
    file = tmp_path / "payments.yaml"
    file.write_text("kind: Policy\nid: payments\nspec: {rules: [{id: a, when: 'true', effect: allow, reason: OK}]}\n")
    call_command("apply", str(file), tenant="acme")
    assert "+ Policy payments (created, a draft that another person must publish)" in capsys.readouterr().out
    call_command("apply", str(file), tenant="acme")
    assert "  Policy payments (unchanged, a draft that another person must publish)" in capsys.readouterr().out
    with unit_of_work(tenant.id):
        version = PolicyVersion.objects.get()
        assert (version.status, version.written_by, Policy.objects.get().in_force) == ("draft", [], None)
        replayed(version)
        assert publish_policy_version(version, ctx=ann).status == "published"


class TestEmergency:
    def test_one_person_can_publish_for_a_limited_time(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext
    ) -> None:
        before = publish_policy_version(checked(ALLOW, ann), ctx=bob)
        version = publish_policy_version(drafted(DENY, ann), ctx=ann, emergency=FIRE)
        assert Policy.objects.get().in_force_id == version.id
        opened = EmergencyPublication.objects.get()
        assert (opened.status, opened.reason, opened.published_by) == ("open", FIRE.reason, ann.principal_id)
        assert opened.replaced_version_id == before.id
        assert opened.ends_at - opened.published_at == FIRE.lasts
        (body,) = receipts("policy.published_in_emergency")
        assert (body["actor"]["principal"], body["outcome"]["replaces"]) == (ann.actor, before.public_id)
        assert FIRE.reason not in str(body)
        assert len(receipts("policy.published")) == 1

    @pytest.mark.parametrize(
        ("emergency", "place"),
        [
            (Emergency(" ", timedelta(hours=1)), "/emergency/reason"),
            (Emergency("x" * 501, timedelta(hours=1)), "/emergency/reason"),
            (Emergency("why", timedelta(minutes=4)), "/emergency/lasts"),
            (Emergency("why", timedelta(days=7, seconds=1)), "/emergency/lasts"),
        ],
    )
    def test_it_needs_a_reason_and_a_time_box(
        self, four_eyes: ActingContext, ann: ActingContext, emergency: Emergency, place: str
    ) -> None:
        draft = drafted(ALLOW, ann)
        with pytest.raises(errors.InvalidRequest) as refused:
            publish_policy_version(draft, ctx=ann, emergency=emergency)
        assert [entry.pointer for entry in refused.value.errors] == [place]
        assert Policy.objects.get().in_force is None

    def test_checks_still_run(self, four_eyes: ActingContext, ann: ActingContext) -> None:
        test = {"given": {}, "expect": {"effect": "deny"}}
        draft = drafted(ALLOW, ann)
        PolicyVersion.objects.filter(id=draft.id).update(document={**ALLOW, "tests": [test]})
        with pytest.raises(errors.PolicyTestsFailed):
            publish_policy_version(draft, ctx=ann, emergency=FIRE)

    def test_the_publisher_must_be_a_person(self, four_eyes: ActingContext, ann: ActingContext, tenant: Tenant) -> None:
        for ctx in (colleague(tenant, "robot", kind="service"), acting_system(tenant)):
            with pytest.raises(errors.PersonRequired):
                publish_policy_version(drafted(ALLOW, ann), ctx=ctx, emergency=FIRE)

    def test_one_at_a_time(self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext) -> None:
        publish_policy_version(drafted(ALLOW, ann), ctx=ann, emergency=FIRE)
        with pytest.raises(errors.EmergencyPending), transaction.atomic():
            publish_policy_version(drafted(DENY, ann), ctx=bob, emergency=FIRE)
        assert PolicyVersion.objects.get(status="published").document == ALLOW

    def test_a_second_person_confirms(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext, tenant: Tenant
    ) -> None:
        version = publish_policy_version(drafted(ALLOW, ann), ctx=ann, emergency=FIRE)
        opened = EmergencyPublication.objects.get()
        with pytest.raises(errors.SecondPersonRequired):
            confirm_emergency(opened, ctx=ann)
        with pytest.raises(errors.PersonRequired):
            confirm_emergency(opened, ctx=colleague(tenant, "robot", kind="agent"))
        assert measured() == 1
        confirmed = confirm_emergency(opened, ctx=bob)
        assert (confirmed.status, confirmed.closed_by) == ("confirmed", bob.principal_id)
        assert measured() == 0
        (body,) = receipts("policy.emergency_confirmed")
        assert (body["outcome"]["published_by"], body["actor"]["principal"]) == (ann.actor, bob.actor)
        with pytest.raises(errors.TransitionNotAllowed):
            confirm_emergency(opened, ctx=bob)
        overdue(opened)
        assert not end_overdue_emergency(opened.id, ctx=acting_system(tenant))
        assert Policy.objects.get().in_force_id == version.id

    def test_the_database_requires_another_person_to_confirm(
        self, four_eyes: ActingContext, ann: ActingContext
    ) -> None:
        publish_policy_version(drafted(ALLOW, ann), ctx=ann, emergency=FIRE)
        for confirmer in (ann.principal_id, None):
            with pytest.raises(IntegrityError, match="emergencypublication_confirmed_by_another"), transaction.atomic():
                EmergencyPublication.objects.update(status="confirmed", closed_by=confirmer)

    def test_it_ends_with_its_time_box(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext, tenant: Tenant
    ) -> None:
        before = publish_policy_version(checked(ALLOW, ann), ctx=bob)
        version = publish_policy_version(drafted(DENY, ann), ctx=ann, emergency=FIRE, applies_to_open=True)
        opened = EmergencyPublication.objects.get()
        assert not end_overdue_emergency(opened.id, ctx=acting_system(tenant))
        overdue(opened)
        with pytest.raises(errors.EmergencyOver):
            confirm_emergency(opened, ctx=bob)
        assert end_overdue_emergency(opened.id, ctx=acting_system(tenant))
        assert not end_overdue_emergency(opened.id, ctx=acting_system(tenant))
        version.refresh_from_db()
        before.refresh_from_db()
        assert (version.status, before.superseded_at) == ("retired", None)
        assert Policy.objects.get().in_force_id == before.id
        (body,) = receipts("policy.emergency_ended")
        assert (body["actor"]["kind"], body["outcome"]["in_force"]) == ("system", before.public_id)
        assert body["outcome"]["emergency"] == "ended"
        pinned = [
            job["policy_version_ids"] for name, job in queued_jobs() if name == "workitems.re_evaluate_for_policies"
        ]
        assert pinned == [[str(before.id)], [str(version.id)]]

    def test_without_a_previous_version_nothing_is_in_force_afterwards(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext
    ) -> None:
        publish_policy_version(drafted(ALLOW, ann), ctx=ann, emergency=FIRE)
        end_emergency(EmergencyPublication.objects.get(), ctx=bob)
        assert Policy.objects.get().in_force is None

    def test_a_retired_previous_version_is_not_put_back(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext
    ) -> None:
        before = publish_policy_version(checked(ALLOW, ann), ctx=bob)
        publish_policy_version(drafted(DENY, ann), ctx=ann, emergency=FIRE)
        retire_policy_version(before, ctx=ann)
        end_emergency(EmergencyPublication.objects.get(), ctx=ann)
        assert Policy.objects.get().in_force is None

    def test_a_regular_publication_replaces_it(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext
    ) -> None:
        alone = publish_policy_version(drafted(ALLOW, ann), ctx=ann, emergency=FIRE)
        proper = publish_policy_version(checked(DENY, ann), ctx=bob)
        alone.refresh_from_db()
        assert (alone.status, EmergencyPublication.objects.get().status) == ("retired", "replaced")
        assert Policy.objects.get().in_force_id == proper.id
        assert receipts("policy.emergency_ended")[0]["outcome"]["in_force"] == proper.public_id

    def test_retiring_the_version_closes_it(self, four_eyes: ActingContext, ann: ActingContext) -> None:
        alone = publish_policy_version(drafted(ALLOW, ann), ctx=ann, emergency=FIRE)
        retire_policy_version(alone, ctx=ann)
        assert EmergencyPublication.objects.get().status == "retired"
        assert Policy.objects.get().in_force is None

    def test_the_sweep_ends_overdue_emergencies_of_every_tenant(self, ctx: ActingContext, tenant: Tenant) -> None:
        ann = colleague(tenant, "ann")
        with unit_of_work(tenant.id):
            publish_policy_version(drafted(ALLOW, ann), ctx=ann, emergency=FIRE)
            opened = EmergencyPublication.objects.get()
        assert enqueue_due_emergency_ends(now=clock.now()) == 0
        with unit_of_work(tenant.id):
            overdue(opened)
        assert enqueue_due_emergency_ends(now=clock.now()) == 1
        assert enqueue_due_emergency_ends(now=clock.now()) == 1
        assert [name for name in run_jobs() if name.startswith("policies.")] == ["policies.end_emergency"]
        with unit_of_work(tenant.id):
            assert EmergencyPublication.objects.get().status == "ended"


def overdue(emergency: EmergencyPublication) -> None:
    EmergencyPublication.objects.filter(id=emergency.id).update(ends_at=clock.now() - timedelta(seconds=1))


def measured() -> float:
    with platform_role():
        (metric,) = emergency_metrics()
    return metric.value


def test_through_the_api(tenant: Tenant, ctx: ActingContext) -> None:
    def client(name: str) -> Api:
        principal = make_principal(tenant, name, roles=["policy_author", "policy_publisher"])
        return Api(make_token(tenant, principal))

    ann, bob = client("ann"), client("bob")
    with unit_of_work(tenant.id):
        turn_on_four_eyes(POLICY_FOUR_EYES, ctx=ctx)
    ann.post("/policies", {"policy_id": "payments", "document": ALLOW})
    path = "/policies/payments/versions/1"
    refused = ann.post(f"{path}/publish", {})
    assert (refused.status_code, refused.json()["reason_code"]) == (403, "second_person_required")
    sent = {"emergency": {"reason": "The bank answers twice.", "lasts": "PT4X"}}
    refused = ann.post(f"{path}/publish", sent)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/emergency/lasts")
    sent["emergency"]["lasts"] = "PT4H"
    published = ann.post(f"{path}/publish", sent).json()
    me = ann.get("/me").json()["principal_id"]
    assert (published["in_force"], published["written_by"]) == (True, [me])
    emergency = published["emergency"]
    assert (emergency["status"], emergency["reason"], emergency["published_by"]) == (
        "open", "The bank answers twice.", me,
    )  # fmt: skip
    assert ann.get("/policies/payments").json()["emergency"] == emergency
    assert ann.get("/policies").json()["data"][0]["emergency"] == emergency
    refused = ann.post(f"{path}/confirm-emergency", {})
    assert (refused.status_code, refused.json()["reason_code"]) == (403, "second_person_required")
    confirmed = bob.post(f"{path}/confirm-emergency", {}).json()["emergency"]
    assert (confirmed["status"], confirmed["closed_by"]) == ("confirmed", bob.get("/me").json()["principal_id"])
    refused = bob.post(f"{path}/end-emergency", {})
    assert (refused.status_code, refused.json()["reason_code"]) == (409, "transition_not_allowed")
    second = bob.post("/policies/payments/versions", {"document": DENY}).json()
    assert second["emergency"] is None
    bob.post("/policies/payments/versions/2/publish", sent)
    ended = ann.post("/policies/payments/versions/2/end-emergency", {}).json()
    assert (ended["status"], ended["emergency"]["status"]) == ("retired", "ended")
    assert ann.get("/policies/payments").json()["version"] == 1
    listed = ann.get("/policies/payments/versions").json()["data"]
    assert [row["emergency"] and row["emergency"]["status"] for row in listed] == ["ended", "confirmed"]


def test_an_unknown_writer_excludes_nobody(work: ActingContext, ann: ActingContext) -> None:
    """Writers may be ids of removed principals; they are listed and exclude nobody else."""
    draft = drafted(ALLOW, ann)
    PolicyVersion.objects.filter(id=draft.id).update(written_by=[uuid.UUID(int=7)])
    assert publish_policy_version(draft, ctx=ann).written_by == [uuid.UUID(int=7)]
