"""Arithmetic of leased tokens, on a clock that tests move and with buckets in memory."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from threada_site.tenancy.rate_leases import LEASE_SECONDS, Bucket, Granted, Leases, Wanted, lend_alone

BUCKET = Bucket("credential", "credential:1", rate=100, burst=500)
OTHER = Bucket("tenant", "tenant:1", rate=200, burst=1000)
SMALL = Bucket("address", "address:1", rate=1, burst=5)


class Shared:
    """Buckets as the database keeps them, for several `Leases` on one clock."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.statements = 0
        self.refused: Counter[str] = Counter()
        self._levels: dict[str, tuple[float, float]] = {}

    def now(self) -> float:
        return self.time

    def lend(self, wanted: Sequence[Wanted], refused: Counter[str]) -> list[Granted]:
        self.statements += 1
        self.refused += refused
        return [self._one(want) for want in wanted]

    def _one(self, want: Wanted) -> Granted:
        level, at = self._levels.get(want.bucket.key, (float(want.bucket.burst), self.time))
        level = min(want.bucket.burst, level + want.bucket.rate * (self.time - at))
        tokens = int(min(want.tokens, level))
        self._levels[want.bucket.key] = (level - tokens, self.time)
        return Granted(tokens, level - tokens)

    def process(self) -> Leases:
        return Leases(self.lend, now=self.now)


def admitted(leases: Leases, bucket: Bucket, tries: int) -> int:
    return sum(taken is not None and taken.retry_s is None for taken in (leases.take([bucket]) for _ in range(tries)))


def test_without_buckets_nothing_is_limited() -> None:
    leases = Shared().process()
    assert (leases.take([]), leases.owe([]), leases.refusal([])) == (None, None, None)


def test_a_block_is_spent_without_another_statement() -> None:
    shared = Shared()
    leases = shared.process()
    assert admitted(leases, BUCKET, BUCKET.block) == BUCKET.block == 25
    assert shared.statements == 1
    leases.take([BUCKET])
    assert shared.statements == 2


def test_several_buckets_are_leased_in_one_statement() -> None:
    shared = Shared()
    leases = shared.process()
    leases.take([BUCKET, OTHER])
    assert shared.statements == 1


def test_a_burst_passes_and_then_the_rate() -> None:
    shared = Shared()
    leases = shared.process()
    assert admitted(leases, BUCKET, 1000) == 500
    passed = 0
    for _ in range(100):  # ten seconds
        shared.time += 0.1
        passed += admitted(leases, BUCKET, 50)
    assert 950 <= passed <= 1000


def test_a_refused_request_needs_no_statement() -> None:
    shared = Shared()
    leases = shared.process()
    admitted(leases, BUCKET, 500)
    leases.take([BUCKET])
    before = shared.statements
    assert admitted(leases, BUCKET, 10_000) == 0
    assert shared.statements == before
    shared.time += 0.2
    leases.take([BUCKET])
    assert shared.refused["credential"] == 10_001


def test_an_empty_bucket_spends_nothing_of_the_other() -> None:
    shared = Shared()
    leases = shared.process()
    assert admitted(leases, SMALL, 10) == 5
    before = leases.take([OTHER])
    refused = leases.take([OTHER, SMALL])
    after = leases.take([OTHER])
    assert before is not None
    assert refused is not None
    assert after is not None
    assert (refused.kind, refused.retry_s) == ("address", 1)
    assert after.remaining == before.remaining - 1


def test_an_answer_states_the_tightest_bucket() -> None:
    leases = Shared().process()
    state = leases.take([BUCKET, OTHER])
    assert state is not None
    assert (state.kind, state.limit, state.remaining, state.reset_s, state.retry_s) == ("credential", 500, 499, 1, None)


def test_the_wait_is_rounded_up_to_whole_seconds() -> None:
    shared = Shared()
    leases = shared.process()
    slow = Bucket("credential", "slow", rate=1, burst=1)
    leases.owe([slow])
    leases.owe([slow])
    leases.owe([slow])
    refused = leases.take([slow])
    assert refused is not None
    assert (refused.remaining, refused.retry_s) == (0, 3)
    shared.time += 2.5
    assert (leases.take([slow]) or refused).retry_s == 1


def test_what_is_owed_is_paid_by_the_next_lease() -> None:
    shared = Shared()
    leases = shared.process()
    for _ in range(30):
        leases.owe([BUCKET])
    assert shared.statements == 0
    assert admitted(leases, BUCKET, 1000) == 470


def test_what_is_owed_without_end_is_paid_in_between() -> None:
    shared = Shared()
    leases = shared.process()
    owed = 0
    while leases.refusal([BUCKET]) is None:
        leases.owe([BUCKET])
        leases.pay([BUCKET])
        owed += 1
        assert owed < 1000
    assert 500 <= owed <= 500 + 2 * BUCKET.block
    assert shared.statements < 30


def test_a_lease_expires() -> None:
    shared = Shared()
    leases = shared.process()
    leases.take([BUCKET])
    shared.time += LEASE_SECONDS - 1
    leases.take([BUCKET])
    assert shared.statements == 1
    shared.time += LEASE_SECONDS + 1
    leases.take([BUCKET])
    assert shared.statements == 2


def test_processes_that_stop_spending_hold_one_block_each() -> None:
    """A process that leases and then does nothing withholds a block from the others, which is refilled meanwhile."""
    shared = Shared()
    for _ in range(4):
        shared.process().take([BUCKET])
    busy = shared.process()
    assert admitted(busy, BUCKET, 1000) == 500 - 4 * BUCKET.block
    shared.time += 5
    assert admitted(busy, BUCKET, 1000) == 500


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 2), st.integers(1, 60)), max_size=60))
def test_processes_together_keep_to_the_limit(steps: list[tuple[int, float, int]]) -> None:
    shared = Shared()
    processes = [shared.process() for _ in range(4)]
    bucket = Bucket("credential", "k", rate=10, burst=50)
    began, passed = shared.time, 0
    for process, pause, tries in steps:
        shared.time += pause
        passed += admitted(processes[process], bucket, tries)
        held = len(processes) * bucket.block
        assert passed <= bucket.burst + bucket.rate * (shared.time - began) + held


def test_a_process_counts_alone_if_it_cannot_lease() -> None:
    shared = Shared()
    leases = Leases(lend_alone, now=shared.now)
    assert admitted(leases, BUCKET, 1000) == 500
    shared.time += 1
    assert admitted(leases, BUCKET, 1000) == 100


def test_a_failed_lease_loses_no_count() -> None:
    shared = Shared()
    works = [True]

    def lend(wanted: Sequence[Wanted], refused: Counter[str]) -> list[Granted]:
        if not works[0]:
            raise ConnectionError
        return shared.lend(wanted, refused)

    leases = Leases(lend, now=shared.now)
    admitted(leases, SMALL, 8)
    works[0] = False
    shared.time += 1.1
    try:
        leases.take([SMALL])
    except ConnectionError:
        works[0] = True
    leases.take([SMALL])
    assert shared.refused["address"] == 3


def test_threads_of_a_process_share_its_lease() -> None:
    shared = Shared()
    leases = shared.process()
    passed: list[int] = []
    threads = [threading.Thread(target=lambda: passed.append(admitted(leases, BUCKET, 400))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == 500


def test_what_is_spent_without_a_statement_is_bounded_and_paid_by_the_next_lease() -> None:
    shared = Shared()
    leases = shared.process()
    leases.take([SMALL])
    spent = [leases.spend_known([SMALL]) for _ in range(10)]
    assert [taken is not None and taken.retry_s is None for taken in spent] == [True] * 4 + [False] * 6
    assert (shared.statements, leases.spend_known([])) == (1, None)
    assert admitted(leases, SMALL, 1) == 0
    shared.time += 2
    assert admitted(leases, SMALL, 5) == 2


def test_a_request_may_need_several_tokens() -> None:
    shared = Shared()
    leases = Leases(shared.lend, now=shared.now)
    refusals = [leases.take([BUCKET, OTHER], 15) for _ in range(33)]
    assert all(admission is not None and admission.retry_s is None for admission in refusals)
    refused = leases.take([BUCKET, OTHER], 15)  # 5 of 500 are left
    assert refused is not None
    assert (refused.kind, refused.retry_s) == ("credential", 1)
    statements = shared.statements
    assert leases.is_empty([BUCKET], 15)
    assert leases.take([BUCKET], 15) is not None
    assert shared.statements == statements  # known without asking
    assert not leases.is_empty([BUCKET])
    small = leases.take([BUCKET])
    assert small is not None
    assert small.retry_s is None
    shared.time += 0.2
    again = leases.take([BUCKET, OTHER], 15)
    assert again is not None
    assert again.retry_s is None


def test_no_request_needs_more_than_a_full_bucket() -> None:
    shared = Shared()
    leases = Leases(shared.lend, now=shared.now)
    first, second = leases.take([SMALL], 64), leases.take([SMALL], 64)
    assert first is not None
    assert first.retry_s is None
    assert second is not None
    assert second.retry_s == 5
