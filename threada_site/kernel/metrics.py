"""One metric of `/metrics`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple


class Metric(NamedTuple):
    """Value of a gauge of the whole instance. `labels` distinguish metrics with the same name."""

    name: str
    description: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


type MetricsCollector = Callable[[], Iterable[Metric]]
