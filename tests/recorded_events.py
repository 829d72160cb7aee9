"""Plugin that records an example of every kind of receipt that tests write.

`python -m pytest -p tests.recorded_events --record-events FILE PATHS` adds to FILE one receipt of each kind that FILE lacks, with
ids, digests and times replaced. `telemetry/receipts/event_examples.json` is such a file.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

_ID: Final = "01m8eh3p6cekr9sj4kd3n5t3z6"
_BLOCKS: Final = ("subject", "inputs", "evidence", "policy", "outcome")
_MASKS: Final = (
    (re.compile(r"\b([a-z]{2,4}_)[0-9a-hjkmnp-tv-z]{26}\b"), rf"\g<1>{_ID}"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "3f" * 32),
    (re.compile(r"\b[0-9a-f]{32}\b"), "3f" * 16),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "2026-11-27T12:00:00Z"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-events", metavar="FILE", help="add an example of every kind of receipt that FILE lacks")


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("--record-events")
    if not path:
        return
    from telemetry.receipts import record

    file, written = Path(path), record.body_bytes
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}

    def body_bytes(*args: Any, **kwargs: Any) -> bytes:
        body = written(*args, **kwargs)
        value = orjson.loads(body)
        if value["kind"] not in found:
            found[value["kind"]] = masked(value)
            file.write_text(as_file(found))
        return body

    record.body_bytes = body_bytes


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
