"""Members `limits` and `breaker` of an integration document.

limits: {concurrency: 5, rate: {calls: 100, per: PT1M}}
breaker: {failures: 10, rest: PT30S}
"""

from __future__ import annotations

from integrations.documents.fields import Fields
from integrations.documents.model import UNBOUNDED, Limits


def read_limits(spec: Fields) -> Limits:
    """Return the limits in the spec, with defaults for missing members."""
    limits, breaker = spec.object("limits"), spec.object("breaker")
    rate = limits.object("rate")
    return Limits(
        concurrency=limits.value("concurrency"),
        calls=rate.value("calls"),
        per_s=rate.seconds("per", UNBOUNDED.per_s, highest=86_400),
        failures=breaker.value("failures", UNBOUNDED.failures),
        backoff_s=breaker.seconds("rest", UNBOUNDED.backoff_s, highest=3600),
    )
