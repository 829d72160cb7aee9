"""The lines `complete-until` and `signed-from` of checkpoints: times and signatures that the verifier requires."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from telemetry.tlog.checkpoint import complete_until_line, signed_from_line
from telemetry.tlog.cosignature import cosigned
from tests.telemetry.sealing.test_times import id_at
from tests.telemetry.tlog.logs import Log, key
from tests.telemetry.verifier.conftest import Run
from tests.telemetry.verifier.evidence import ORIGIN, SIGNED, SIGNER, TENANT, receipt_id, write_evidence, write_signed
from threada_site.kernel import ids
from threada_site.kernel.clock import rfc3339

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def receipt(at: datetime, **more: Any) -> bytes:
    named = ids.public_id(ids.RECEIPT, id_at(at))
    content = {"id": named, "kind": "thing.done", "tenant": TENANT, "occurred_at": rfc3339(at), **more}
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def note(log: Log, size: int, *lines: str, at: datetime = NOW) -> str:
    text = replace(log.checkpoint(size, origin=ORIGIN), extensions=lines)
    return str(cosigned(text.sign([SIGNER]), "threada.test", key(1), at=at))


def codes(report: dict[str, Any]) -> list[tuple[str, int | None]]:
    return [(one["code"], one["sequence"]) for one in report["findings"]]


def files(folder: Path, log: Log, newest: str, older: str) -> tuple[Path, Path]:
    """Write evidence of all receipts under `newest`, and the older checkpoint."""
    evidence = write_evidence(folder / "e", log, log.entries, range(log.tree.size), note=newest)
    (folder / "older.txt").write_text(older)
    return evidence, folder / "older.txt"


def test_a_receipt_that_was_sealed_after_its_time_was_complete(run: Run, tmp_path: Path) -> None:
    entries = [receipt(NOW - timedelta(minutes=minutes)) for minutes in (30, 20, 11, 40)]
    log = Log.of(entries)
    until = complete_until_line(NOW - timedelta(minutes=12))
    evidence, older = files(
        tmp_path, log, note(log, 4, complete_until_line(NOW - timedelta(minutes=5))), note(log, 2, until)
    )
    (evidence / "order.txt").write_text("order: log\n")
    assert codes(run(evidence, "--against", older).report) == [("sealed_too_late", 3)]
    (tmp_path / "log").write_bytes(b"".join(line + b"\n" for line in entries))
    whole = run(tmp_path / "log", "--checkpoint", evidence / "checkpoint.txt", "--against", older)
    assert codes(whole.report) == [("sealed_too_late", 3)]
    assert whole.report["checkpoint"]["complete_until"] == "2026-11-30T11:55:00.000Z"


def test_a_receipt_that_an_operator_accepted(run: Run, tmp_path: Path) -> None:
    late = receipt(NOW - timedelta(minutes=40))
    accepted = {"receipts": [{"receipt_id": json.loads(late)["id"], "sha256": "", "reason": "older_than_log"}]}
    for entry_point, found in {"command": [], "api": [("sealed_too_late", 2)]}.items():
        decision = receipt(
            NOW - timedelta(minutes=1), kind="quarantine.accepted", inputs=accepted, actor={"entry_point": entry_point}
        )
        entries = [receipt(NOW - timedelta(minutes=30)), decision, late]
        log = Log.of(entries)
        until = complete_until_line(NOW - timedelta(minutes=12))
        (tmp_path / "checkpoint.txt").write_text(note(log, 3, until))
        (tmp_path / "older.txt").write_text(note(log, 1, until))
        (tmp_path / "log").write_bytes(b"".join(line + b"\n" for line in entries))
        arguments = (tmp_path / "log", "--checkpoint", tmp_path / "checkpoint.txt", "--against", tmp_path / "older.txt")
        assert codes(run(*arguments).report) == found


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (receipt(NOW, occurred_at=rfc3339(NOW - timedelta(days=1))), "time_differs"),
        (receipt(NOW + timedelta(seconds=6)), "sealed_too_early"),
    ],
)
def test_the_time_of_a_receipt(run: Run, tmp_path: Path, line: bytes, code: str) -> None:
    log = Log.of([line])
    evidence, _ = files(tmp_path, log, note(log, 1, complete_until_line(NOW - timedelta(minutes=5))), "")
    assert codes(run(evidence).report) == [(code, 0)]
    (evidence / "checkpoint.txt").write_text(note(log, 1))
    assert run(evidence).code == 0  # a note without the line


def test_a_time_that_goes_back(run: Run, tmp_path: Path) -> None:
    log = Log.of([receipt(NOW - timedelta(minutes=30)), receipt(NOW - timedelta(minutes=1))])
    earlier, later = (complete_until_line(NOW - timedelta(minutes=minutes)) for minutes in (9, 8))
    evidence, older = files(tmp_path, log, note(log, 2, earlier), note(log, 1, later))
    assert codes(run(evidence, "--against", older).report) == [("time_goes_back", None)]


@pytest.mark.parametrize("line", ["complete-until never", "complete-until 2026-11-30T12:00:00Z", "signed-from -1"])
def test_malformed_lines(run: Run, tmp_path: Path, line: str) -> None:
    log = Log.of([receipt(NOW)])
    evidence, _ = files(tmp_path, log, note(log, 1, line), "")
    assert codes(run(evidence).report) == [("cannot_be_checked", None)]


def test_signatures_that_the_checkpoint_requires(run: Run, tmp_path: Path) -> None:
    folder = SIGNED["without-file"](write_signed(tmp_path / "e"))
    lines = (folder / "receipts.ndjson").read_bytes().splitlines()
    log = Log.of(lines)
    (folder / "checkpoint.txt").write_text(note(log, 4, signed_from_line(2)))
    found = run(folder, "--complete").report["findings"]
    assert [(one["code"], one["receipt"]) for one in found] == [
        ("unsigned", receipt_id(2)),
        ("unsigned", receipt_id(3)),
    ]
