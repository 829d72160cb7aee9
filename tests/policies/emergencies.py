"""Emergency publications by people at the console."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from policies.models import EmergencyPublication, PolicyVersion
from policies.publication.announcements import PUT_IN_FORCE, put_emergency_in_force
from policies.publication.publish import publish_policy_version
from policies.publication.rules import Emergency
from policies.sweeps import enqueue_due_emergencies
from tests.factories import acting_system
from tests.jobs import lose_all_jobs, run_jobs
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext, Authentication, AuthenticationMethod

FIRE = Emergency("The bank's system answers twice.", timedelta(hours=4))


def at_the_console(ctx: ActingContext) -> ActingContext:
    """Return the context in a session in which the password was entered just now."""
    session = Authentication(method=AuthenticationMethod.SESSION, at=clock.now(), factors=("password",))
    return replace(ctx, authentication=session, reauthenticated_at=clock.now())


def announced(draft: PolicyVersion, ctx: ActingContext, **more: Any) -> PolicyVersion:
    """Announce the emergency publication of a draft."""
    return publish_policy_version(draft, ctx=at_the_console(ctx), emergency=FIRE, **more)


def noticed(*, is_in_force: bool = True) -> EmergencyPublication:
    """Let the time of the notice pass, and put the announced emergency in force."""
    emergency = EmergencyPublication.objects.get(status="announced")
    EmergencyPublication.objects.filter(id=emergency.id).update(takes_effect_at=clock.now() - timedelta(seconds=1))
    assert put_emergency_in_force(emergency.id, ctx=acting_system(emergency.tenant)) == is_in_force
    emergency.refresh_from_db()
    return emergency


def run_after_the_notice() -> list[str]:
    """Run all jobs once the notice is over. Return their names.

    The job that waits for the end of the notice is lost, because a test's transaction has the time of its beginning.
    """
    lose_all_jobs(PUT_IN_FORCE)
    enqueue_due_emergencies(now=clock.now())
    return run_jobs()


def alone(draft: PolicyVersion, ctx: ActingContext, **more: Any) -> PolicyVersion:
    """Put a draft in force in an emergency."""
    version = announced(draft, ctx, **more)
    noticed()
    version.refresh_from_db()
    return version
