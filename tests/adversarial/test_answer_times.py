"""Response times do not tell ids of another tenant from ids that nobody has (hostile experiment 24)."""

from __future__ import annotations

import gc
import math
import random
import statistics
import time
from bisect import bisect_right
from collections.abc import Sequence

import pytest

from tests.client import Api
from tests.factories import make_principal, make_token
from tests.journeys.conftest import demo
from tests.journeys.demo import LARGE, Demo
from threada_site.kernel import ids
from threada_site.tenancy.models import Tenant

__all__ = ["demo"]

pytestmark = [pytest.mark.adversarial, pytest.mark.quiet, pytest.mark.timeout(900)]

PAIRS = 300
ROUNDS = 4
KS_FACTOR = math.sqrt(-math.log(0.01 / 2) / 2)
"""c(0.01) of the two-sample Kolmogorov-Smirnov test: equal distributions differ by more in one of a hundred samples."""


def largest_difference(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the Kolmogorov-Smirnov statistic of two samples."""
    first, second = sorted(one), sorted(other)
    return max(
        abs(bisect_right(first, value) / len(first) - bisect_right(second, value) / len(second))
        for value in (*first, *second)
    )


def seconds_of(stranger: Api, path: str) -> float:
    began = time.perf_counter()
    answer = stranger.get(path)
    took = time.perf_counter() - began
    assert answer.status_code == 404
    return took


def differs(stranger: Api, theirs: str, nobodys: str) -> str:
    """Return a description of how times differ in one round, or an empty string."""
    samples: tuple[list[float], list[float]] = ([], [])
    order = random.Random(PAIRS)  # by chance, so that neither drift nor what recurs meets one of them more often
    gc.collect()
    gc.disable()
    try:
        for _ in range(PAIRS):
            for place in order.sample((0, 1), 2):
                samples[place].append(seconds_of(stranger, (theirs, nobodys)[place]))
    finally:
        gc.enable()
    statistic, most = largest_difference(*samples), KS_FACTOR * math.sqrt(2 / PAIRS)
    medians = [statistics.median(each) * 1000 for each in samples]
    result = f"{theirs}: KS {statistic:.3f} (at most {most:.3f}), medians {medians[0]:.2f} and {medians[1]:.2f} ms"
    print(result)
    return result if statistic > most or abs(medians[0] / medians[1] - 1) > 0.05 else ""


def test_times_of_foreign_and_unknown_ids_have_one_distribution(demo: Demo, other_tenant: Tenant) -> None:
    item = demo.hand_in(LARGE)
    execution = demo.execute(item).json()["execution_id"]
    step = demo.step_of(item)["decision_step_id"]
    receipt = demo.story(item)[0]["receipt_id"]
    stranger = Api(make_token(other_tenant, make_principal(other_tenant, "eve", roles=("tenant_admin",))))
    for pattern, theirs in (
        ("/work-items/{}", item),
        ("/executions/{}", execution),
        ("/decision-steps/{}", step),
        ("/receipts/{}", receipt),
        ("/integrations/{}", "int_bank"),
        ("/policies/{}", "payments"),
    ):
        prefix = theirs.split("_")[0]
        nobodys = theirs[:-1] + "x" if len(theirs) < 20 else ids.public_id(prefix, ids.new_uuid())
        for warm_up in range(20):
            seconds_of(stranger, pattern.format((theirs, nobodys)[warm_up % 2]))
        # A difference that is there is there in every round; one in a hundred rounds differs by chance.
        rounds = [differs(stranger, pattern.format(theirs), pattern.format(nobodys)) for _ in range(1)]
        while rounds[-1] and len(rounds) < ROUNDS:
            rounds.append(differs(stranger, pattern.format(theirs), pattern.format(nobodys)))
        assert not rounds[-1], rounds
