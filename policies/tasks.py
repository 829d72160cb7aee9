"""Jobs of the rulebook. Each opens its own units of work and calls one service. Concurrent runs are safe."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from policies.publication.announcements import PUT_IN_FORCE, put_emergency_in_force
from policies.publication.emergencies import end_overdue_emergency
from policies.replay import request as replays
from policies.replay.run import run_replay as run
from policies.replay.shadow_run import run_shadow as compare_shadow
from policies.sweeps import (
    END_EMERGENCY,
    RUN_SHADOW,
    enqueue_due_emergencies,
    enqueue_due_emergency_ends,
    enqueue_due_replays,
    enqueue_due_shadows,
)
from threada_site.database.unit_of_work import unit_of_work
from threada_site.jobs.context import job_context, tenant_of_job
from threada_site.jobs.enqueue import MAINTENANCE_QUEUE, REPLAY_QUEUE
from threada_site.jobs.registry import periodic, task
from threada_site.kernel import clock


@task(END_EMERGENCY, queue=MAINTENANCE_QUEUE)
def end_emergency(tenant_id: str, emergency_id: str) -> None:
    """End an emergency publication that was not confirmed within its time box."""
    ctx = job_context(tenant_of_job(tenant_id))
    with unit_of_work(ctx.tenant_id):
        end_overdue_emergency(uuid.UUID(emergency_id), ctx=ctx)


@task(PUT_IN_FORCE, queue=MAINTENANCE_QUEUE)
def put_in_force(tenant_id: str, emergency_id: str) -> None:
    """Put an announced emergency publication in force after its notice."""
    ctx = job_context(tenant_of_job(tenant_id))
    with unit_of_work(ctx.tenant_id):
        put_emergency_in_force(uuid.UUID(emergency_id), ctx=ctx)


@task(replays.RUN, queue=REPLAY_QUEUE, can_stop=True)
def run_replay(*, tenant_id: str, replay_id: str, is_asked_to_stop: Callable[[], bool] = lambda: False) -> None:
    """Run a replay to its end. If the worker shuts down, another worker continues it."""
    run(uuid.UUID(replay_id), ctx=job_context(tenant_of_job(tenant_id)), is_asked_to_stop=is_asked_to_stop)


@task(RUN_SHADOW, queue=REPLAY_QUEUE)
def run_shadow(tenant_id: str, shadow_id: str) -> None:
    """Compare a shadow with the decisions since its last run."""
    compare_shadow(uuid.UUID(shadow_id), ctx=job_context(tenant_of_job(tenant_id)))


@periodic("policies.sweep", queue=MAINTENANCE_QUEUE, cron="* * * * * */5")
def sweep() -> None:
    """Enqueue due work every five seconds: emergencies past notice or time box, idle replays, and shadows."""
    enqueue_due_emergencies(now=clock.now())
    enqueue_due_emergency_ends(now=clock.now())
    enqueue_due_replays(now=clock.now())
    enqueue_due_shadows()
