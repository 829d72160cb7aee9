"""Quantiles of times from counts in buckets whose widths grow with the time. Pure.

Buckets as in DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
guarantees", VLDB 2019): with a relative error of e and g = (1 + e) / (1 - e), bucket i holds g^(i-1) < x <= g^i and
stands for 2 g^i / (g + 1), which is off by at most e of the true value. Counts of two days add up to those of both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

RELATIVE_ERROR: Final = 0.02
SHORTEST_S: Final = 0.001
_GAMMA: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)


def bucket_of(seconds: float) -> int:
    """The bucket of a time in seconds. Times below a millisecond, negative ones too, share the millisecond's."""
    return math.ceil(math.log(max(seconds, SHORTEST_S)) / math.log(_GAMMA))


def seconds_of(bucket: int) -> float:
    """The time in seconds that a bucket stands for."""
    return 2 * _GAMMA**bucket / (_GAMMA + 1)


def quantile(counts: Mapping[int, int], q: float) -> float | None:
    """The time in seconds below which the share `q` (0 to 1) of what was counted lies; None when nothing was."""
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
