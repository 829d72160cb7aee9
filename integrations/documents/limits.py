"""Members `limits` and `breaker` of an integration document.

limits: {concurrency: 5, rate: {calls: 100, per: PT1M}}
breaker: {failures: 10, rest: PT30S}
"""

from __future__ import annotations

from typing import Final

from integrations.documents.fields import Fields
from integrations.limits.rules import UNBOUNDED, Limits

MEMBERS: Final = frozenset({"limits", "breaker"})


def read_limits(spec: Fields) -> Limits:
    """Return the limits in the spec, with defaults for missing members."""
    limits = spec.object("limits", known=("concurrency", "rate"))
    rate = limits.object("rate", known=("calls", "per"))
    breaker = spec.object("breaker", known=("failures", "rest"))
    if "rate" in limits and rate.is_object and "calls" not in rate:
        rate.refuse("is required", "calls", code="required")
    return Limits(
        concurrency=limits.whole_number("concurrency", 1, lowest=1, highest=1000) if "concurrency" in limits else None,
        calls=rate.whole_number("calls", 1, lowest=1, highest=1000) if "calls" in rate else None,
        per_s=rate.seconds("per", UNBOUNDED.per_s, highest=86_400),
        failures=breaker.whole_number("failures", UNBOUNDED.failures, lowest=1, highest=1000),
        backoff_s=breaker.seconds("rest", UNBOUNDED.backoff_s, highest=3600),
    )
