"""Choice of the jobs to publish: the statements of the relay.

The broker contains few messages at a time: as many as the running workers have slots for, and a few more. So the order
is decided here, by priority, and the broker's queues need no priorities, delays or tenants.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from django.db import connection

from threada_site.jobs.engines.celery.outbox import LEASE_S

RELAY_LEASE_S: Final = 5
_MOST_AT_ONCE: Final = 500


class PoolCapacity(NamedTuple):
    """A pool, the queues it takes jobs from, and the number of messages it has room for."""

    pool: str
    queues: tuple[str, ...]
    free: int


class DueJob(NamedTuple):
    """A job that is due and not published."""

    id: int
    queue: str
    priority: int


class OutboundJob(NamedTuple):
    """A job whose message is to be sent."""

    id: int
    token: str
    task: str
    pool: str


def plan_publication(capacities: Sequence[PoolCapacity], due: Sequence[DueJob]) -> dict[str, list[int]]:
    """Assign due jobs to pools.

    Each pool takes the jobs with the highest priority of its queues, the oldest first. Earlier pools choose first.
    """
    left = sorted(due, key=lambda job: (-job.priority, job.id))
    plan: dict[str, list[int]] = {}
    for capacity in capacities:
        plan[capacity.pool] = [job.id for job in left if job.queue in capacity.queues][: max(capacity.free, 0)]
        taken = set(plan[capacity.pool])
        left = [job for job in left if job.id not in taken]
    return plan


def acquire_relay_lease(holder: str) -> bool:
    """Become the relay for a few seconds. Return False while another process is."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tenancy_relay (holder, lease_until) VALUES (%(me)s, clock_timestamp() + %(lease)s * interval "
            "'1 second') ON CONFLICT (is_only) DO UPDATE SET holder = %(me)s, lease_until = excluded.lease_until "
            "WHERE tenancy_relay.holder = %(me)s OR tenancy_relay.lease_until < clock_timestamp() RETURNING 1",
            {"me": holder, "lease": RELAY_LEASE_S},
        )
        return cursor.fetchone() is not None


def release_relay_lease(holder: str) -> None:
    """Give up the relay lease so that another process may start at once."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM tenancy_relay WHERE holder = %s", [holder])


def pool_capacities(pools: Mapping[str, tuple[str, ...]]) -> list[PoolCapacity]:
    """Return the capacity of each pool: what running workers offer, less what is published and not done."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT l.key, sum((l.value->>'capacity')::int) "
            "FROM tenancy_worker w CROSS JOIN LATERAL jsonb_each(w.pools) l "
            "WHERE w.beat_at > now() - %s * interval '1 second' GROUP BY l.key",
            [LEASE_S],
        )
        capacities: dict[str, int] = defaultdict(int, {pool: int(capacity) for pool, capacity in cursor.fetchall()})
        cursor.execute("SELECT pool, count(*) FROM tenancy_job WHERE published_at IS NOT NULL GROUP BY pool")
        out = dict(cursor.fetchall())
    return [PoolCapacity(pool, queues, capacities[pool] - out.get(pool, 0)) for pool, queues in pools.items()]


def due_jobs(capacities: Sequence[PoolCapacity]) -> list[DueJob]:
    """Return due jobs: of each queue as many as its pools have room for."""
    wanted: dict[str, int] = defaultdict(int)
    for capacity in capacities:
        for queue in capacity.queues if capacity.free > 0 else ():
            wanted[queue] = min(wanted[queue] + capacity.free, _MOST_AT_ONCE)
    if not wanted:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT j.id, j.queue, j.priority FROM unnest(%s::text[], %s::int[]) AS q(queue, most) CROSS JOIN LATERAL ("
            "SELECT id, queue, priority FROM tenancy_job WHERE queue = q.queue AND published_at IS NULL "
            "AND run_at <= now() ORDER BY priority DESC, id LIMIT q.most) j",
            [list(wanted), list(wanted.values())],
        )
        return [DueJob(*row) for row in cursor.fetchall()]


def mark_published(plan: Mapping[str, Sequence[int]]) -> list[OutboundJob]:
    """Mark jobs as published and return them in order.

    They are marked before they are sent, so that a worker which takes a message finds its row published.
    """
    pools = {job: pool for pool, jobs in plan.items() for job in jobs}
    if not pools:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE tenancy_job j SET published_at = now(), pool = p.pool FROM unnest(%s::bigint[], %s::text[]) "
            "AS p(id, pool) WHERE j.id = p.id AND j.published_at IS NULL RETURNING j.id, j.token::text, j.task, j.pool",
            [list(pools), list(pools.values())],
        )
        marked = {row[0]: OutboundJob(*row) for row in cursor.fetchall()}
    return [marked[job] for job in pools if job in marked]


def unmark(jobs: Sequence[int]) -> None:
    """Mark jobs as not published because sending failed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE tenancy_job SET published_at = NULL, pool = NULL WHERE id = ANY(%s) AND taken_at IS NULL",
            [list(jobs)],
        )


def unmark_lost() -> int:
    """Mark jobs as not published whose message no worker takes although a slot of their pool is free. Return how
    many."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH there AS (
                SELECT l.key AS pool, sum((l.value->>'slots')::int) AS slots
                  FROM tenancy_worker w CROSS JOIN LATERAL jsonb_each(w.pools) l
                 WHERE w.beat_at > now() - %(lease)s * interval '1 second' GROUP BY l.key),
            busy AS (SELECT pool, count(*) AS n FROM tenancy_job WHERE taken_at IS NOT NULL GROUP BY pool)
            UPDATE tenancy_job j SET published_at = NULL, pool = NULL FROM there t LEFT JOIN busy b ON b.pool = t.pool
             WHERE j.pool = t.pool AND coalesce(b.n, 0) < t.slots AND j.taken_at IS NULL
               AND j.published_at <= now() - %(lease)s * interval '1 second'
            """,
            {"lease": LEASE_S},
        )
        return int(cursor.rowcount)


def forget_workers() -> None:
    """Delete workers that have been dead for ten minutes."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM tenancy_worker WHERE beat_at < now() - interval '10 minutes'")
