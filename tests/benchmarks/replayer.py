"""One replay in its own process: `python -m tests.benchmarks.replayer TENANT POLICY DAY` prints its cost."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from datetime import UTC, datetime, timedelta

import django


def main(slug: str, policy: str, day: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "threada_site.settings"
    django.setup()
    from policies import selectors
    from policies.models import PolicyReplay
    from policies.replay.request import ReplayRequest, request_replay
    from policies.replay.run import run_replay
    from tests.factories import acting_system
    from threada_site.database.unit_of_work import unit_of_work
    from threada_site.tenancy.models import Tenant

    tenant = Tenant.objects.get(slug=slug)
    ctx = acting_system(tenant)
    after = datetime.fromisoformat(day).replace(tzinfo=UTC)
    with unit_of_work(tenant.id):
        found = selectors.policy_by_slug(policy, ctx=ctx)
        assert found is not None
        draft = selectors.policy_versions(found).order_by("-number").first()
        assert draft is not None
        window = ReplayRequest(created_after=after, created_before=after + timedelta(days=28))
        replay = request_replay(draft, window, ctx=ctx, by_job=False)
    begun = time.perf_counter()
    run_replay(replay.id, ctx=ctx)
    seconds = time.perf_counter() - begun
    with unit_of_work(tenant.id):
        done = PolicyReplay.objects.get(id=replay.id)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {"replayed": done.replayed, "flipped": done.flipped, "seconds": seconds, "peak_mb": peak_mb}
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
