"""Quantiles of durations from counts in exponential buckets. Pure.

Buckets as in DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
guarantees", VLDB 2019): with a relative error of e and g = (1 + e) / (1 - e), bucket i contains g^(i-1) < x <= g^i and
is represented by 2 g^i / (g + 1), which differs by at most e from the true value. Counts of several days can be added.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

RELATIVE_ERROR: Final = 0.02
SHORTEST_S: Final = 0.001
_GAMMA: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)


def bucket_of(seconds: float) -> int:
    """Return the bucket of a duration in seconds.

    Durations below one millisecond, also negative ones, share one bucket.
    """
    return math.ceil(math.log(max(seconds, SHORTEST_S)) / math.log(_GAMMA))


def seconds_of(bucket: int) -> float:
    """Return the duration in seconds that represents a bucket."""
    return 2 * _GAMMA**bucket / (_GAMMA + 1)


def quantile(counts: Mapping[int, int], q: float) -> float | None:
    """Return the duration in seconds below which the share `q` (0 to 1) of the counts lies, or None without counts."""
    total = sum(counts.values())
    if total <= 0:
        return None
    rank = q * (total - 1)
    seen = 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen > rank:
            return seconds_of(bucket)
    raise AssertionError("the last bucket reaches every rank")
