"""A tenant with something of everything to look at."""

from __future__ import annotations

from dataclasses import dataclass

from tests.journeys.demo import LARGE, Demo


@dataclass(frozen=True)
class Busy:
    """Ids: an item whose payment waits for finance, its step, its execution."""

    item: str
    step: str
    execution: str
    envelope_sha256: str


def busy_tenant(demo: Demo) -> Busy:
    """The demo tenant with a large payment that waits for two people of finance, and an export."""
    item = demo.hand_in(LARGE)
    demo.wait()
    execution = demo.execute(item).json()["execution_id"]
    step = demo.step_of(item)
    demo.client.post("/telemetry/exports", {})
    return Busy(item, step["decision_step_id"], execution, step["envelope_sha256"])
