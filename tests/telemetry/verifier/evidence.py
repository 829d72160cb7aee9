"""Logs of small receipts, their evidence, and the verifier, loaded from its file."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from telemetry.exports.evidence_archive import Archive
from telemetry.tlog.note import Signer
from telemetry.tlog.tiles import levels, tiles_of
from tests.telemetry.tlog.logs import Log, key

FILE = Path(__file__).resolve().parents[3] / "telemetry" / "verifier" / "threada_verify.py"
TENANT = "tn_01kb4x00000000000000000000"
ORIGIN = f"threada.test/{TENANT}"
SIGNER = Signer(ORIGIN, key(1))
KEY = str(SIGNER.verifier_key)


def verifier() -> ModuleType:
    if "threada_verify" not in sys.modules:
        spec = importlib.util.spec_from_file_location("threada_verify", FILE)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["threada_verify"] = module
        spec.loader.exec_module(module)
    return sys.modules["threada_verify"]


def receipt_id(number: int) -> str:
    return f"rc_{number:026d}"


def body(number: int, *, tenant: str = TENANT, **more: Any) -> bytes:
    """Return a small receipt."""
    content = {"id": receipt_id(number), "kind": "thing.done", "tenant": tenant, **more}
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def log_of(count: int) -> Log:
    return Log.of([body(number) for number in range(count)])


def checkpoint(log: Log, size: int | None = None, *, signer: Signer = SIGNER) -> str:
    return str(log.checkpoint(size, origin=signer.verifier_key.name).sign([signer]))


def write_evidence(
    folder: Path,
    log: Log,
    lines: Sequence[bytes],
    positions: Sequence[int | str],
    *,
    note: str | None = None,
    tiles: bool = True,
    order: str | None = None,
) -> Path:
    """Write the unpacked evidence folder. `order`: the text of order.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    if order is not None:
        (folder / "order.txt").write_text(order)
    (folder / "receipts.ndjson").write_bytes(b"".join(line + b"\n" for line in lines))
    (folder / "positions.txt").write_text("".join(f"{position}\n" for position in positions))
    (folder / "checkpoint.txt").write_text(note or checkpoint(log))
    for level in levels(log.tree.size) if tiles else ():
        for tile in tiles_of(level, log.tree.size):
            file = folder / tile.path()
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"".join(log.nodes[node] for node in tile.nodes()))
    return folder


def whole(folder: Path, log: Log) -> Path:
    """Write evidence of all receipts of the log."""
    return write_evidence(folder, log, log.entries, range(log.tree.size))


def zipped(folder: Path) -> Path:
    archive = Archive("te_x")
    parts = [
        archive.add(str(file.relative_to(folder)), file.read_bytes())
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    ]
    target = folder.with_suffix(".zip")
    target.write_bytes(b"".join(parts) + archive.finish())
    return target


class Verdict:
    """Output of one run."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
        self.report: dict[str, Any] = json.loads(out) if out.startswith("{") else {}

    @property
    def findings(self) -> list[tuple[str, int | None, str | None]]:
        """Return (code, sequence, receipt) of each finding."""
        return [(one["code"], one["sequence"], one["receipt"]) for one in self.report["findings"]]
