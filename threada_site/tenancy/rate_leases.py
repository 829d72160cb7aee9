"""Tokens of rate limits that a process has leased and not spent yet. Pure. Safe with several threads.

A bucket is shared by all processes and lies in the database. A process leases a block of its tokens in one statement
and spends them without another one. So all processes together exceed the limit of a bucket by their unspent blocks at
most, and by what `owe` and `spend_known` spend in advance, which the next lease pays.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

LEASE_SECONDS: Final = 60.0
"""Unspent tokens of a lease expire after this time."""
_BLOCKS_PER_BURST: Final = 20
_PAUSE_S: Final = 0.1
"""An empty bucket is asked again after this time at the earliest."""
_MOST_BUCKETS: Final = 20_000
_STRIPES: Final = 64


@dataclass(frozen=True, slots=True)
class Bucket:
    """Token bucket of one subject: `rate` tokens per second are added, up to `burst`."""

    kind: str
    key: str
    rate: int
    burst: int

    @property
    def block(self) -> int:
        """Return the number of tokens that one lease asks for."""
        return max(1, self.burst // _BLOCKS_PER_BURST)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Tokens to lease from a bucket."""

    bucket: Bucket
    tokens: int


@dataclass(frozen=True, slots=True)
class Granted:
    """Tokens that were leased, and those that were left in the bucket."""

    tokens: int
    left: float


@dataclass(frozen=True, slots=True)
class Admission:
    """State of the bucket with the smallest share of tokens left, after a request was admitted or refused.

    `limit` and `remaining`: tokens. `reset_s`: seconds until the bucket is full. `retry_s`: seconds until the request
    may be sent again; None if it is admitted. `kind`: that of the bucket.
    """

    kind: str
    limit: int
    remaining: int
    reset_s: int
    retry_s: int | None = None


type Lend = Callable[[Sequence[Wanted], Counter[str]], Sequence[Granted] | None]
"""Lease tokens and add the refused requests by kind. None: it cannot, so the process counts alone."""


def lend_alone(_wanted: Sequence[Wanted], _refused: Counter[str]) -> None:
    """Leave counting to the process: its buckets are its own."""


@dataclass(slots=True)
class _Lease:
    """`tokens`: unspent ones; negative after `owe`. `left`: level of the bucket at `asked_at`."""

    left: float
    asked_at: float
    tokens: int = 0
    empty_until: float = 0.0


class Leases:
    """Leases of one process. `lend` is called without a lock on other buckets."""

    def __init__(self, lend: Lend, *, now: Callable[[], float] = time.monotonic) -> None:
        self._lend = lend
        self._now = now
        self._leases: OrderedDict[str, _Lease] = OrderedDict()
        self._lock = threading.Lock()
        self._asking = tuple(threading.Lock() for _ in range(_STRIPES))
        self._refused: Counter[str] = Counter()

    def take(self, buckets: Sequence[Bucket], tokens: int = 1) -> Admission | None:
        """Spend `tokens` of each bucket, or none if one has fewer. Return None without buckets.

        No request needs more than a full bucket has.
        """
        if not buckets:
            return None
        missing, admission = self._spend(buckets, tokens)
        if admission is not None:
            return admission
        with self._asking[hash(missing[-1].key) % _STRIPES]:
            missing, admission = self._spend(buckets, tokens)  # another thread may have leased meanwhile
            if admission is not None:
                return admission
            self._ask(missing, tokens)
            _, admission = self._spend(buckets, tokens, is_last=True)
        return admission

    def owe(self, buckets: Sequence[Bucket], tokens: int = 1) -> Admission | None:
        """Spend `tokens` of each bucket that the next lease of it will pay for. Return None without buckets."""
        with self._lock:
            now = self._now()
            for bucket in buckets:
                lease = self._lease(bucket, now)
                lease.tokens -= _needed(bucket, tokens)
                if lease.empty_until > now:
                    lease.empty_until += _needed(bucket, tokens) / bucket.rate
            return self._state(buckets, now) if buckets else None

    def spend_known(self, buckets: Sequence[Bucket]) -> Admission | None:
        """Spend one token of each bucket, as far as this process knows of tokens in it, and owe what is not leased.

        Runs no statement, so it may be called inside a transaction, which would lock the buckets for others. Return
        None without buckets.
        """
        with self._lock:
            now = self._now()
            for bucket in buckets:
                if self._wait(bucket, now) > 0 or self._level(bucket, now) < 1:
                    return self._refuse(bucket, now)
            for bucket in buckets:
                self._lease(bucket, now).tokens -= 1
            return self._state(buckets, now) if buckets else None

    def pay(self, buckets: Sequence[Bucket]) -> None:
        """Lease tokens for buckets of which more than a block is owed, so that an empty one is noticed."""
        with self._lock:
            now = self._now()
            owed = [
                each for each in buckets if self._lease(each, now).tokens < -each.block and not self._wait(each, now)
            ]
        if owed:
            self._ask(owed)

    def refusal(self, buckets: Iterable[Bucket], tokens: int = 1) -> Admission | None:
        """Return the refusal of a request if a bucket is known to have fewer tokens, and count it. Spend nothing."""
        with self._lock:
            now = self._now()
            short = (bucket for bucket in buckets if self._wait(bucket, now, tokens) > 0)
            return next((self._refuse(bucket, now, tokens) for bucket in short), None)

    def is_empty(self, buckets: Iterable[Bucket], tokens: int = 1) -> bool:
        """Return True if a bucket is known to have fewer tokens. Count nothing."""
        with self._lock:
            now = self._now()
            return any(self._wait(bucket, now, tokens) > 0 for bucket in buckets)

    def count(self, kind: str) -> None:
        """Count a refusal of this kind, which the next lease stores."""
        with self._lock:
            self._refused[kind] += 1

    def store(self) -> None:
        """Store what `count` counted. Requests do so with their next lease; processes without requests call this."""
        with self._lock:
            counted, self._refused = self._refused, Counter()
        if counted and self._lend([], counted) is None:
            with self._lock:
                self._refused.update(counted)

    def clear(self) -> None:
        """Forget all leases."""
        with self._lock:
            self._leases.clear()
            self._refused.clear()

    def _spend(
        self, buckets: Sequence[Bucket], tokens: int, *, is_last: bool = False
    ) -> tuple[list[Bucket], Admission | None]:
        """Return the buckets with too few tokens and the result. Without a result, tokens must be leased first."""
        with self._lock:
            now = self._now()
            missing = [bucket for bucket in buckets if self._lease(bucket, now).tokens < _needed(bucket, tokens)]
            for bucket in missing:
                if is_last or self._wait(bucket, now, tokens) > 0:
                    return missing, self._refuse(bucket, now, tokens)
            if missing:
                return missing, None
            for bucket in buckets:
                self._lease(bucket, now).tokens -= _needed(bucket, tokens)
            return missing, self._state(buckets, now)

    def _ask(self, buckets: Sequence[Bucket], tokens: int = 1) -> None:
        with self._lock:
            now = self._now()
            wanted = [
                Wanted(bucket, max(bucket.block, _needed(bucket, tokens)) - self._lease(bucket, now).tokens)
                for bucket in buckets
            ]
            refused, self._refused = self._refused, Counter()
        try:
            granted = self._lend(wanted, refused)
        except BaseException:
            with self._lock:
                self._refused.update(refused)
            raise
        with self._lock:
            now = self._now()
            for number, want in enumerate(wanted):
                lease = self._lease(want.bucket, now)
                found = granted[number] if granted is not None else _alone(want, lease, now)
                lease.tokens += found.tokens
                lease.left, lease.asked_at = found.left, now
                needed = _needed(want.bucket, tokens)
                if lease.tokens < needed:
                    lease.empty_until = now + max((needed - lease.tokens - found.left) / want.bucket.rate, _PAUSE_S)

    def _lease(self, bucket: Bucket, now: float) -> _Lease:
        lease = self._leases.get(bucket.key)
        if lease is None:
            lease = self._leases[bucket.key] = _Lease(left=bucket.burst, asked_at=now)
            if len(self._leases) > _MOST_BUCKETS:
                self._leases.popitem(last=False)
            return lease
        self._leases.move_to_end(bucket.key)
        if lease.tokens > 0 and now - lease.asked_at > LEASE_SECONDS:
            lease.tokens = 0
        return lease

    def _wait(self, bucket: Bucket, now: float, tokens: int = 1) -> float:
        lease = self._lease(bucket, now)
        return max(0.0, lease.empty_until - now) if lease.tokens < _needed(bucket, tokens) else 0.0

    def _refuse(self, bucket: Bucket, now: float, tokens: int = 1) -> Admission:
        self._refused[bucket.kind] += 1
        wait = self._wait(bucket, now, tokens)
        retry = max(1, math.ceil(wait))
        reset = max(retry, math.ceil((bucket.burst - self._level(bucket, now)) / bucket.rate))
        return Admission(bucket.kind, bucket.burst, 0, reset, retry)

    def _state(self, buckets: Sequence[Bucket], now: float) -> Admission:
        bucket = min(buckets, key=lambda each: self._level(each, now) / each.burst)
        level = self._level(bucket, now)
        return Admission(bucket.kind, bucket.burst, math.floor(level), math.ceil((bucket.burst - level) / bucket.rate))

    def _level(self, bucket: Bucket, now: float) -> float:
        """Estimate the tokens that are left: those of the lease, and those of the bucket if nobody else spends any."""
        lease = self._lease(bucket, now)
        refilled = lease.left + bucket.rate * (now - lease.asked_at)
        return min(float(bucket.burst), max(0.0, refilled + lease.tokens))


def _needed(bucket: Bucket, tokens: int) -> int:
    return min(tokens, bucket.burst)


def _alone(wanted: Wanted, lease: _Lease, now: float) -> Granted:
    """Grant tokens from a bucket of this process, whose level is `lease.left`."""
    bucket = wanted.bucket
    level = min(float(bucket.burst), lease.left + bucket.rate * (now - lease.asked_at))
    tokens = math.floor(min(wanted.tokens, level))
    return Granted(tokens, level - tokens)
