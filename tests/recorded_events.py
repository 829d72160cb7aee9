"""Plugin that records an example of every kind of receipt that tests write.

`python -m pytest -n 0 -p tests.recorded_events --record-events PATHS` compares the examples of
`telemetry/receipts/event_examples.json` with the receipts that the product writes in tests. An example with other members than all of
them is replaced by the receipt with the most members, with ids, digests, times and addresses replaced.
`recorded_examples.json` beside it lists the kinds that were compared or replaced.
"""

from __future__ import annotations

import json
import re
import sys
from types import FrameType
from typing import Any, Final

import orjson
import pytest

_ID: Final = "01m8eh3p6cekr9sj4kd3n5t3z6"
_BLOCKS: Final = ("subject", "inputs", "evidence", "policy", "outcome")
_MASKS: Final = (
    (re.compile(r"\b([a-z]{2,6}_)[0-9a-hjkmnp-tv-z]{26}\b"), rf"\g<1>{_ID}"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "3f" * 32),
    (re.compile(r"\b[0-9a-f]{32}\b"), "3f" * 16),
    (re.compile(r"\b(127\.0\.0\.1|localhost):\d{4,5}\b"), "api.example.com"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "2026-11-27T12:00:00Z"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-events", action="store_true", help="add missing examples of receipts")


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--record-events"):
        return
    from telemetry.receipts import record
    from telemetry.receipts.event_kinds import EVENT_KINDS
    from telemetry.receipts.event_page import EXAMPLES, RECORDED, event_examples, recorded_kinds

    written, found, recorded = record.body_bytes, event_examples(), set(recorded_kinds())
    replaced: dict[str, set[str]] = {}

    def body_bytes(*args: Any, **kwargs: Any) -> bytes:
        body = written(*args, **kwargs)
        receipt = orjson.loads(body)
        kind = receipt["kind"]
        if kind not in EVENT_KINDS or kind in recorded or is_by_test():
            return body
        example = masked(receipt)
        members = members_of(example)
        if kind in found and members == members_of(found[kind]):
            recorded.add(kind)
        elif len(members) > len(replaced.get(kind, ())):
            found[kind], replaced[kind] = example, members
        EXAMPLES.write_text(as_file(found))
        RECORDED.write_text(json.dumps(sorted(recorded | set(replaced)), indent=1) + "\n")
        return body

    record.body_bytes = body_bytes


def is_by_test() -> bool:
    """Return True if a test wrote the receipt that is being recorded, instead of the product."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and "/telemetry/receipts/" in frame.f_code.co_filename:
        frame = frame.f_back
    return frame is not None and "/tests/" in frame.f_code.co_filename


def members_of(value: Any, place: str = "") -> set[str]:
    """Return the pointers of all members of a JSON object, apart from those of its subject."""
    if not isinstance(value, dict):
        return {place}
    return {
        found for name, inner in value.items() if name != "subject" for found in members_of(inner, f"{place}/{name}")
    }


def masked(receipt: dict[str, Any]) -> dict[str, Any]:
    """Return the blocks of a receipt that its kind determines, with ids, digests and times replaced."""
    text = json.dumps({name: receipt[name] for name in _BLOCKS if receipt.get(name)})
    for pattern, replacement in _MASKS:
        text = pattern.sub(replacement, text)
    blocks: dict[str, Any] = json.loads(text)
    return blocks


def as_file(examples: dict[str, Any]) -> str:
    """Return the text of a file of examples: one line for each kind."""
    lines = (f"  {json.dumps(kind)}: {json.dumps(examples[kind], sort_keys=True)}" for kind in sorted(examples))
    return "{\n" + ",\n".join(lines) + "\n}\n"
