"""One figure for `/metrics`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple


class Measurement(NamedTuple):
    """A gauge at this moment: instance-wide, never a tenant's. `labels` tell figures of one name apart."""

    name: str
    description: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


type Meter = Callable[[], Iterable[Measurement]]
