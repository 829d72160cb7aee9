"""Open steps of an emergency publication are decided again when it ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from pytest_django import Settings

from policies.models import EmergencyPublication, Policy, PolicyVersion
from policies.publication.publish import publish_policy_version
from policies.publication.rules import Emergency
from policies.sweeps import enqueue_due_emergency_ends
from tests.factories import acting, acting_system
from tests.journeys.demo import LARGE, SMALL, Demo
from tests.policies.emergencies import run_after_the_notice
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.four_eyes import turn_on_four_eyes
from threada_site.kernel import clock
from threada_site.kernel.context import Authentication, AuthenticationMethod
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES
from threada_site.tenancy.models import User

EMERGENCY = Emergency("The finance team is away.", timedelta(hours=1))
ONE_OF_SECURITY = {
    "rules": [
        {
            "id": "ask",
            "when": "ctx.action == 'pay'",
            "effect": "require_approval",
            "reason": "ASK_SECURITY",
            "approvals": {"role": "security", "count": 1},
        },
        {"id": "rest", "when": "true", "effect": "allow", "reason": "REST"},
    ]
}


@pytest.fixture
def first(demo: Demo, settings: Settings) -> str:
    """Publish a version in an emergency by `admin`. Return the version that was in force before."""
    settings.THREADA_EMERGENCY_NOTICE_SECONDS = 0
    with unit_of_work(demo.tenant.id):
        turn_on_four_eyes(POLICY_FOUR_EYES, ctx=acting_system(demo.tenant))
    admin = demo.api("admin")
    before = admin.get("/policies/payments").json()["policy_version_id"]
    admin.post("/policies/payments/versions", {"document": ONE_OF_SECURITY})
    user = User.objects.get(username="admin")
    session = Authentication(method=AuthenticationMethod.SESSION)
    ctx = replace(acting(demo.tenant, user), authentication=session, reauthenticated_at=clock.now())
    with unit_of_work(demo.tenant.id):
        draft = PolicyVersion.objects.get(policy__slug="payments", number=2)
        publish_policy_version(draft, ctx=ctx, emergency=EMERGENCY)
    run_after_the_notice()
    return str(before)


def time_is_over(demo: Demo) -> None:
    with unit_of_work(demo.tenant.id):
        EmergencyPublication.objects.update(ends_at=clock.now() - timedelta(seconds=1))
    enqueue_due_emergency_ends(now=clock.now())
    demo.wait()


def test_unconfirmed_it_is_as_if_it_had_never_been(demo: Demo, first: str) -> None:
    large, small = demo.hand_in(LARGE), demo.hand_in(SMALL)
    demo.execute(large)
    demo.execute(small)
    steps = [demo.step_of(item) for item in (large, small)]
    time_is_over(demo)
    with unit_of_work(demo.tenant.id):
        in_force = Policy.objects.select_related("in_force").get(slug="payments").in_force
        assert in_force is not None
        assert in_force.public_id == first
    assert [demo.step_of_id(step["decision_step_id"])["status"] for step in steps] == ["superseded", "superseded"]
    late = demo.vote("security-1", steps[0])
    assert (late.status_code, late.json()["reason_code"]) == (409, "envelope_changed")
    renewed_step = demo.step_of(large)
    assert renewed_step["policy_version_ids"] == [first]
    assert demo.vote("finance-1", renewed_step).status_code == 201
    assert demo.client.get("/decision-steps", {"work_item_id": small, "status": "pending"}).json()["data"] == []
    assert demo.item(small)["status"] != "awaiting_approval"  # the previous version allows it
    assert demo.check_receipts() > 0


def test_confirmed_it_stays(demo: Demo, first: str) -> None:
    item = demo.hand_in(LARGE)
    demo.execute(item)
    step = demo.step_of(item)
    demo.join("pat", roles=("policy_publisher",))
    assert demo.api("pat").post("/policies/payments/versions/2/confirm-emergency", {}).status_code == 200
    time_is_over(demo)
    assert demo.step_of_id(step["decision_step_id"])["status"] == "pending"
    assert demo.vote("security-1", step).status_code == 201
    assert demo.api("admin").get("/policies/payments").json()["version"] == 2
