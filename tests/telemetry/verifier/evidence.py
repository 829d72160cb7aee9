"""Logs of small receipts, their evidence, and the verifier, loaded from its file."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from telemetry.exports.evidence_archive import Archive
from telemetry.log.key_file import SigningKey
from telemetry.receipts.signature import ReceiptSigner
from telemetry.tlog.note import Signer, sign
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


WEB, WORKER = SigningKey.new("web"), SigningKey.new("worker")


def signer(key: SigningKey) -> ReceiptSigner:
    """Return the signer of a role."""
    return ReceiptSigner(key.verifier_key(key.name), key.private_key)


def written(number: int, *, entry_point: str = "api", second: int = 0) -> bytes:
    """Return a small receipt with what its signature binds."""
    return body(number, actor={"entry_point": entry_point}, occurred_at=f"2026-11-30T12:00:0{second}.000Z")


def write_signed(folder: Path) -> Path:
    """Write evidence of three receipts of the web, written together, and of one of the worker."""
    lines = [*(written(number) for number in range(3)), written(3, entry_point="job")]
    whole(folder, Log.of(lines))
    signatures = [
        *signer(WEB).sign(lines[:3], tenant=TENANT),
        *signer(WORKER).sign(lines[3:], tenant=TENANT),
    ]
    (folder / "signatures.txt").write_text("".join(f"{signature}\n" for signature in signatures))
    endorse(folder, str(WEB.verifier_key("web")), str(WORKER.verifier_key("worker")))
    return folder


def endorse(folder: Path, *words: str, signer: Signer | None = None) -> None:
    """Write the note that endorses keys of receipts, signed by the key of the log."""
    name = "threada.test/receipt-keys"
    text = "".join(f"{line}\n" for line in (name, *words))
    (folder / "receipt-keys.txt").write_text(str(sign(text, [signer or Signer(name, key(1))])))


def _with_signatures(folder: Path, change: Callable[[list[str]], None]) -> Path:
    file = folder / "signatures.txt"
    lines = file.read_text().splitlines()
    change(lines)
    file.write_text("".join(f"{line}\n" for line in lines))
    return folder


def _exchanged(folder: Path) -> Path:
    return _with_signatures(folder, lambda lines: lines.insert(0, lines.pop(1)))


def _stripped(folder: Path) -> Path:
    return _with_signatures(folder, lambda lines: lines.__setitem__(2, "-"))


def _cut_off(folder: Path) -> Path:
    return _with_signatures(folder, lambda lines: lines.__delitem__(3))


def _malformed(folder: Path) -> Path:
    return _with_signatures(folder, lambda lines: lines.__setitem__(3, lines[3].replace("0/1", "1/1")))


def _by_web(folder: Path) -> Path:
    job = written(3, entry_point="job")
    made = signer(WEB).sign([job], tenant=TENANT)
    return _with_signatures(folder, lambda lines: lines.__setitem__(3, made[0]))


def _of_other_tenant(folder: Path) -> Path:
    job = written(3, entry_point="job")
    made = signer(WORKER).sign([job], tenant="tn_other")
    return _with_signatures(folder, lambda lines: lines.__setitem__(3, made[0]))


def _without_file(folder: Path) -> Path:
    (folder / "signatures.txt").unlink()
    return folder


def _not_endorsed(folder: Path) -> Path:
    (folder / "receipt-keys.txt").unlink()
    return folder


def _retired(at: str) -> Callable[[Path], Path]:
    def change(folder: Path) -> Path:
        endorse(folder, f"{WEB.verifier_key('web')}@{at}", str(WORKER.verifier_key("worker")))
        return folder

    return change


def _endorsed_by_stranger(folder: Path) -> Path:
    stranger = Signer("threada.test/receipt-keys", key(2))
    endorse(folder, str(WEB.verifier_key("web")), str(WORKER.verifier_key("worker")), signer=stranger)
    return folder


def _endorsed_role(folder: Path) -> Path:
    endorse(folder, str(SigningKey.new("ghost").verifier_key("ghost")))
    return folder


SIGNED: dict[str, Callable[[Path], Path]] = {
    "whole": lambda folder: folder,
    "exchanged": _exchanged,
    "stripped": _stripped,
    "cut-off": _cut_off,
    "malformed": _malformed,
    "by-web": _by_web,
    "other-tenant": _of_other_tenant,
    "without-file": _without_file,
    "not-endorsed": _not_endorsed,
    "retired-later": _retired("2026-11-30T12:00:00.000Z"),
    "retired-earlier": _retired("2026-11-30T11:59:59.999Z"),
    "stranger": _endorsed_by_stranger,
    "role": _endorsed_role,
}
"""Changes of the evidence that `write_signed` writes."""


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
