"""Publication by one person in an emergency: announced, in force, confirmed or ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from pytest_django import Settings

from policies.drafts.edit import edit_draft
from policies.metrics import emergency_metrics
from policies.models import EmergencyPublication, Policy, PolicyVersion
from policies.publication.announcements import PUT_IN_FORCE, put_emergency_in_force
from policies.publication.emergencies import confirm_emergency, end_emergency, end_overdue_emergency
from policies.publication.publish import publish_policy_version, retire_policy_version
from policies.publication.rules import Emergency
from policies.sweeps import enqueue_due_emergencies, enqueue_due_emergency_ends
from tests.client import Api
from tests.factories import acting_system, make_principal, make_token
from tests.jobs import lose_all_jobs, queued_jobs, run_jobs
from tests.policies.emergencies import FIRE, alone, announced, at_the_console, noticed
from tests.policies.publication.test_publish import (
    ALLOW,
    DENY,
    REVIEW,
    ann,
    bob,
    checked,
    colleague,
    confirmed,
    drafted,
    four_eyes,
)
from tests.policies.rulebooks import receipts
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.change_sets.propose import propose
from threada_site.identity.change_sets.publish import publish
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, Authentication, AuthenticationMethod
from threada_site.tenancy.authority_models import AccountDependence, DependenceReason
from threada_site.tenancy.models import Tenant

__all__ = ["ann", "bob", "four_eyes"]


def by_two(document: dict[str, Any], ctx: ActingContext, second: ActingContext) -> PolicyVersion:
    """Publish a document by two people."""
    draft = checked(document, ctx)
    confirmed(draft, ctx, second)
    draft.refresh_from_db()
    return draft


def retired(version: PolicyVersion, ctx: ActingContext, second: ActingContext) -> None:
    """Retire a version by two people."""
    with pytest.raises(errors.ConfirmationRequired) as refused, transaction.atomic():
        retire_policy_version(version, ctx=ctx)
    change_set = propose(refused.value.change, ctx=ctx)
    publish(change_set, change_set.digest, ctx=second)


def depends(tenant: Tenant, ctx: ActingContext, on: ActingContext) -> None:
    """Record that `on` created the account of `ctx`."""
    AccountDependence.objects.create(
        tenant_id=tenant.id,
        user_id=ctx.principal_id,
        depends_on_id=on.principal_id,
        reason=DependenceReason.CREATED,
    )


def notified() -> list[str]:
    """Return the people who are notified of an emergency publication."""
    return [
        job["person_id"]
        for name, job in queued_jobs(telling=True)
        if name == "workitems.notify_person" and job["kind"] == "policy_emergency"
    ]


class TestAnnouncements:
    def test_all_stewards_are_notified_before_it_takes_effect(
        self, four_eyes: ActingContext, ann: ActingContext, tenant: Tenant
    ) -> None:
        stewards = {str(make_principal(tenant, name, roles=["tenant_admin"]).id) for name in ("ada", "ben")}
        version = announced(drafted(ALLOW, ann), ann)
        assert (version.status, Policy.objects.get().in_force) == ("draft", None)
        assert set(notified()) == stewards
        emergency = EmergencyPublication.objects.get()
        assert emergency.takes_effect_at - emergency.published_at == timedelta(seconds=60)
        assert not put_emergency_in_force(emergency.id, ctx=acting_system(tenant))
        assert Policy.objects.get().in_force is None
        assert noticed().status == "open"
        assert Policy.objects.get().in_force_id == version.id

    def test_a_token_or_an_old_password_is_refused(self, four_eyes: ActingContext, ann: ActingContext) -> None:
        draft = drafted(ALLOW, ann)
        token = Authentication(method=AuthenticationMethod.PERSONAL_TOKEN)
        for ctx in (
            ann,
            replace(at_the_console(ann), authentication=token),
            replace(at_the_console(ann), reauthenticated_at=None),
            replace(at_the_console(ann), reauthenticated_at=clock.now() - timedelta(minutes=6)),
        ):
            with pytest.raises(errors.StepUpRequired):
                publish_policy_version(draft, ctx=ctx, emergency=FIRE)
        assert notified() == []

    def test_a_changed_draft_does_not_come_into_force(self, four_eyes: ActingContext, ann: ActingContext) -> None:
        draft = announced(drafted(ALLOW, ann), ann)
        edit_draft(draft, DENY, ctx=ann)
        assert noticed(is_in_force=False).status == "withdrawn"
        assert Policy.objects.get().in_force is None
        assert receipts("policy.emergency_ended")[0]["outcome"]["emergency"] == "withdrawn"

    def test_anybody_who_may_publish_can_withdraw_it(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext
    ) -> None:
        draft = announced(drafted(ALLOW, ann), ann)
        emergency = EmergencyPublication.objects.get()
        with pytest.raises(errors.TransitionNotAllowed):
            confirm_emergency(emergency, ctx=bob)
        assert end_emergency(emergency, ctx=bob).status == "withdrawn"
        assert Policy.objects.get().in_force is None
        announced(draft, ann)

    def test_a_publication_by_two_people_withdraws_it(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext
    ) -> None:
        announced(drafted(ALLOW, ann), ann)
        proper = by_two(DENY, ann, bob)
        assert EmergencyPublication.objects.get().status == "withdrawn"
        assert Policy.objects.get().in_force_id == proper.id

    def test_a_job_puts_it_in_force_and_a_sweep_finds_a_lost_one(
        self, ctx: ActingContext, tenant: Tenant, settings: Settings
    ) -> None:
        settings.THREADA_EMERGENCY_NOTICE_SECONDS = 0
        ann = colleague(tenant, "ann")
        with unit_of_work(tenant.id):
            announced(drafted(ALLOW, ann), ann)
        lose_all_jobs("policies.%")
        assert enqueue_due_emergencies(now=clock.now()) == 1
        assert enqueue_due_emergencies(now=clock.now()) == 1
        assert [name for name in run_jobs() if name.startswith("policies.")] == [PUT_IN_FORCE]
        with unit_of_work(tenant.id):
            assert EmergencyPublication.objects.get().status == "open"


class TestLimits:
    def test_there_is_a_cool_down(self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext) -> None:
        alone(drafted(ALLOW, ann), ann)
        confirm_emergency(EmergencyPublication.objects.get(), ctx=bob)
        draft = drafted(DENY, ann)
        for ctx in (ann, bob):
            with pytest.raises(errors.EmergencyNotAvailable):
                announced(draft, ctx)
        EmergencyPublication.objects.update(closed_at=clock.now() - timedelta(hours=24, seconds=1))
        announced(draft, ann)

    def test_nobody_uses_it_twice_without_a_confirmation(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext, tenant: Tenant
    ) -> None:
        alone(drafted(ALLOW, ann), ann)
        end_emergency(EmergencyPublication.objects.get(), ctx=bob)
        EmergencyPublication.objects.update(closed_at=clock.now() - timedelta(days=100))
        puppet = colleague(tenant, "puppet")
        depends(tenant, puppet, on=ann)
        draft = drafted(DENY, ann)
        for ctx in (ann, puppet):
            with pytest.raises(errors.EmergencyNotAvailable):
                announced(draft, ctx)
        announced(draft, bob)

    def test_a_second_account_cannot_confirm(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext, tenant: Tenant
    ) -> None:
        alone(drafted(ALLOW, ann), ann)
        emergency = EmergencyPublication.objects.get()
        puppet = colleague(tenant, "puppet")
        depends(tenant, puppet, on=ann)
        with pytest.raises(errors.SecondPersonRequired):
            confirm_emergency(emergency, ctx=puppet)
        assert confirm_emergency(emergency, ctx=bob).status == "confirmed"

    def test_another_policy_is_not_limited(self, four_eyes: ActingContext, ann: ActingContext) -> None:
        alone(drafted(ALLOW, ann), ann)
        other = drafted(REVIEW, ann)
        with pytest.raises(errors.EmergencyPending):
            announced(other, ann)


class TestEndings:
    def test_one_person_can_publish_for_a_limited_time(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext
    ) -> None:
        before = by_two(ALLOW, ann, bob)
        version = alone(drafted(DENY, ann), ann)
        assert Policy.objects.get().in_force_id == version.id
        opened = EmergencyPublication.objects.get()
        assert (opened.status, opened.reason, opened.published_by) == ("open", FIRE.reason, ann.principal_id)
        assert opened.replaced_version_id == before.id
        assert timedelta(0) <= opened.ends_at - opened.published_at - FIRE.lasts <= timedelta(seconds=60)
        (body,) = receipts("policy.published_in_emergency")
        assert (body["outcome"]["published_by"], body["outcome"]["replaces"]) == (ann.actor, before.public_id)
        assert receipts("policy.emergency_announced")[0]["actor"]["principal"] == ann.actor
        assert FIRE.reason not in str(body)
        assert len(receipts("policy.published")) == 1

    @pytest.mark.parametrize(
        ("emergency", "place"),
        [
            (Emergency(" ", timedelta(hours=1)), "/emergency/reason"),
            (Emergency("nineteen characters", timedelta(hours=1)), "/emergency/reason"),
            (Emergency("nineteen characters          ", timedelta(hours=1)), "/emergency/reason"),
            (Emergency("x" * 20, timedelta(hours=1)), "/emergency/reason"),
            (Emergency("x" * 10 + " " + "x" * 10, timedelta(hours=1)), "/emergency/reason"),
            (Emergency("x" * 501, timedelta(hours=1)), "/emergency/reason"),
            (Emergency(FIRE.reason, timedelta(minutes=4)), "/emergency/lasts"),
            (Emergency(FIRE.reason, timedelta(hours=24, seconds=1)), "/emergency/lasts"),
        ],
    )
    def test_it_needs_a_reason_and_a_time_box(
        self, four_eyes: ActingContext, ann: ActingContext, emergency: Emergency, place: str
    ) -> None:
        draft = drafted(ALLOW, ann)
        with pytest.raises(errors.InvalidRequest) as refused:
            publish_policy_version(draft, ctx=at_the_console(ann), emergency=emergency)
        assert [entry.pointer for entry in refused.value.errors] == [place]
        assert Policy.objects.get().in_force is None

    def test_checks_still_run(self, four_eyes: ActingContext, ann: ActingContext) -> None:
        test = {"given": {}, "expect": {"effect": "deny"}}
        draft = drafted(ALLOW, ann)
        PolicyVersion.objects.filter(id=draft.id).update(document={**ALLOW, "tests": [test]})
        with pytest.raises(errors.PolicyTestsFailed):
            announced(draft, ann)

    def test_the_publisher_must_be_a_person(self, four_eyes: ActingContext, ann: ActingContext, tenant: Tenant) -> None:
        for ctx in (colleague(tenant, "robot", kind="service"), acting_system(tenant)):
            with pytest.raises(errors.PersonRequired):
                announced(drafted(ALLOW, ann), ctx)

    def test_one_at_a_time(self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext) -> None:
        alone(drafted(ALLOW, ann), ann)
        with pytest.raises(errors.EmergencyPending), transaction.atomic():
            announced(drafted(DENY, ann), bob)
        assert PolicyVersion.objects.get(status="published").document == ALLOW

    def test_a_second_person_confirms(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext, tenant: Tenant
    ) -> None:
        version = alone(drafted(ALLOW, ann), ann)
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
        alone(drafted(ALLOW, ann), ann)
        for confirmer in (ann.principal_id, None):
            with pytest.raises(IntegrityError, match="emergencypublication_confirmed_by_another"), transaction.atomic():
                EmergencyPublication.objects.update(status="confirmed", closed_by=confirmer)

    def test_it_ends_with_its_time_box(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext, tenant: Tenant
    ) -> None:
        before = by_two(ALLOW, ann, bob)
        version = alone(drafted(DENY, ann), ann, applies_to_open=True)
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
        alone(drafted(ALLOW, ann), ann)
        end_emergency(EmergencyPublication.objects.get(), ctx=bob)
        assert Policy.objects.get().in_force is None

    def test_a_retired_previous_version_is_not_put_back(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext
    ) -> None:
        before = by_two(ALLOW, ann, bob)
        alone(drafted(DENY, ann), ann)
        retired(before, ann, bob)
        end_emergency(EmergencyPublication.objects.get(), ctx=ann)
        assert Policy.objects.get().in_force is None

    def test_a_regular_publication_replaces_it(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext
    ) -> None:
        version = alone(drafted(ALLOW, ann), ann)
        proper = by_two(DENY, ann, bob)
        version.refresh_from_db()
        assert (version.status, EmergencyPublication.objects.get().status) == ("retired", "replaced")
        assert Policy.objects.get().in_force_id == proper.id
        assert receipts("policy.emergency_ended")[0]["outcome"]["in_force"] == proper.public_id

    def test_retiring_the_version_closes_it(
        self, four_eyes: ActingContext, ann: ActingContext, bob: ActingContext
    ) -> None:
        version = alone(drafted(ALLOW, ann), ann)
        retired(version, ann, bob)
        assert EmergencyPublication.objects.get().status == "retired"
        assert Policy.objects.get().in_force is None

    def test_the_sweep_ends_overdue_emergencies_of_every_tenant(self, ctx: ActingContext, tenant: Tenant) -> None:
        ann = colleague(tenant, "ann")
        with unit_of_work(tenant.id):
            alone(drafted(ALLOW, ann), ann)
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


def test_the_api_refuses_a_token(tenant: Tenant) -> None:
    ada = Api(make_token(tenant, make_principal(tenant, "ada", roles=["tenant_admin"])))
    ada.post("/policies", {"policy_id": "payments", "document": ALLOW})
    sent = {"emergency": {"reason": FIRE.reason, "lasts": "PT4H"}}
    refused = ada.post("/policies/payments/versions/1/publish", sent)
    assert (refused.status_code, refused.json()["reason_code"]) == (403, "step_up_required")
    assert ada.get("/policies/payments").json()["version"] is None
    short = {"emergency": {"reason": "x", "lasts": "PT4H"}}
    refused = ada.post("/policies/payments/versions/1/publish", short)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/emergency/reason")


def test_an_emergency_is_confirmed_and_ended_through_the_api(tenant: Tenant) -> None:
    ann, bob = colleague(tenant, "ann"), colleague(tenant, "bob")
    tokens = [make_token(tenant, make_principal(tenant, name, roles=["policy_publisher"])) for name in ("ann", "bob")]
    own, other = map(Api, tokens)
    with unit_of_work(tenant.id):
        alone(drafted(ALLOW, ann), ann)
    path = "/policies/payments/versions/1"
    emergency = own.get("/policies/payments").json()["emergency"]
    assert (emergency["status"], emergency["published_by"]) == ("open", ann.actor)
    assert own.get("/policies").json()["data"][0]["emergency"] == emergency
    refused = own.post(f"{path}/confirm-emergency", {})
    assert (refused.status_code, refused.json()["reason_code"]) == (403, "second_person_required")
    settled = other.post(f"{path}/confirm-emergency", {}).json()["emergency"]
    assert (settled["status"], settled["closed_by"]) == ("confirmed", bob.actor)
    refused = other.post(f"{path}/end-emergency", {})
    assert (refused.status_code, refused.json()["reason_code"]) == (409, "transition_not_allowed")
    with unit_of_work(tenant.id):
        EmergencyPublication.objects.update(closed_at=clock.now() - timedelta(days=2))
        alone(drafted(DENY, bob), bob)
    ended = own.post("/policies/payments/versions/2/end-emergency", {}).json()
    assert (ended["status"], ended["emergency"]["status"]) == ("retired", "ended")
    assert own.get("/policies/payments").json()["version"] == 1
    listed = own.get("/policies/payments/versions").json()["data"]
    assert [row["emergency"] and row["emergency"]["status"] for row in listed] == ["ended", "confirmed"]
