"""Evidence archives, correct and changed, with what the verifier of the auditors finds in each."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from threada_client.verification import verify

from telemetry.tlog.checkpoint import complete_until_line, signed_from_line
from tests.telemetry.tlog.logs import Log
from tests.telemetry.verifier.evidence import (
    KEY,
    SIGNED,
    SIGNER,
    body,
    checkpoint,
    log_of,
    receipt_id,
    whole,
    write_evidence,
    write_signed,
    zipped,
)
from tests.telemetry.verifier.test_times import NOW, note, receipt
from threada_site.kernel.clock import rfc3339

_SIZE: Final = 600
_LOG_ORDER: Final = "order: log\n"
type Options = dict[str, Any]


def write_archives(folder: Path) -> dict[str, Any]:
    """Write archives and `cases.json`. Return by name what the Python client finds."""
    log = log_of(_SIZE)
    cases: dict[str, Options] = {}
    expected: dict[str, Any] = {}

    def add(name: str, evidence: Path, **options: Any) -> None:
        archive = zipped(evidence)
        cases[name] = {"keys": [KEY], **options}
        against = folder / f"{name}.txt"
        if "against" in options:
            against.write_text(options["against"])
        found = verify(
            archive,
            [KEY],
            against=against if "against" in options else None,
            complete=options.get("complete", False),
            signed=options.get("signed", False),
        )
        expected[name] = {
            "verified": found.is_verified,
            "receipts": found.report["receipts"],
            "written_by": found.report["written_by"],
            "span": [found.report["first_sequence"], found.report["last_sequence"]],
            "against": [[one["size"], one["outcome"].partition(":")[0]] for one in found.report["against"]],
            "findings": [[one[key] for key in ("code", "sequence", "receipt", "line")] for one in found.findings],
        }

    older = "".join(checkpoint(log, size) for size in (0, 1, 255, 256, 300, 512, _SIZE))
    add("whole", whole(folder / "whole", log), complete=True, against=older)
    for size in (1, 256, 257):
        add(f"size-{size}", whole(folder / f"size-{size}", log_of(size)), complete=True)
    other = Log.of([body(number, more=1) for number in range(_SIZE)])
    add("forked", whole(folder / "forked", log), against=checkpoint(other, 300))
    add("rolled-back", whole(folder / "rolled-back", log_of(300)), against=checkpoint(log))
    unsigned = checkpoint(log, 5).replace("\n5\n", "\n6\n", 1)
    add("older-unusable", whole(folder / "older-unusable", log), against=unsigned)

    for name, change in _CHANGES.items():
        lines, places = list(log.entries), [str(number) for number in range(_SIZE)]
        change(lines, places)
        add(name, write_evidence(folder / name, log, lines, places), complete=True)
    sealed = Log.of([body(number) for number in (3, 0, 2, 1, 9, 7)])
    for name, order in {"log-order": "order: log\n", "id-order": None, "unknown-order": "order: time\n"}.items():
        evidence = write_evidence(folder / name, sealed, sealed.entries, range(6), order=order)
        add(name, evidence, complete=True)
    places = [0, 2, 1, 3, 4, 5]
    swapped = [sealed.entries[place] for place in places]
    add(
        "log-order-swapped", write_evidence(folder / "log-order-swapped", sealed, swapped, places, order="order: log\n")
    )
    tile = whole(folder / "tile", log)
    changed = tile / "tile" / "0" / "000"
    changed.write_bytes(bytes([changed.read_bytes()[0] ^ 1]) + changed.read_bytes()[1:])
    add("tile", tile)
    add("no-tiles", write_evidence(folder / "no-tiles", log, log.entries, range(_SIZE), tiles=False))
    twice = (
        checkpoint(log) + str(log.checkpoint(origin=SIGNER.verifier_key.name).sign([SIGNER])).splitlines()[-1] + "\n"
    )
    for name, change_signed in SIGNED.items():
        add(f"signed-{name}", change_signed(write_signed(folder / f"signed-{name}")), signed=True)
    add("unsigned-allowed", SIGNED["stripped"](write_signed(folder / "unsigned-allowed")))
    _add_lines_of_checkpoints(folder, add)
    for name, head in {"size-changed": checkpoint(log).replace("\n600\n", "\n599\n", 1), "signed-twice": twice}.items():
        add(name, write_evidence(folder / name, log, log.entries, range(_SIZE), note=head))
    (folder / "cases.json").write_text(json.dumps(cases))
    return expected


def _add_lines_of_checkpoints(folder: Path, add: Callable[..., None]) -> None:
    """Add evidence whose checkpoint says from where on receipts are signed, or until when the log is complete."""
    until = complete_until_line(NOW - timedelta(minutes=5))
    for signed in ("whole", "stripped", "without-file", "not-endorsed", "by-web"):
        for size in (0, 3, 4):
            evidence = SIGNED[signed](write_signed(folder / f"signed-from-{size}-{signed}"))
            log = Log.of((evidence / "receipts.ndjson").read_bytes().splitlines())
            (evidence / "checkpoint.txt").write_text(note(log, 4, signed_from_line(size)))
            add(f"signed-from-{size}-{signed}", evidence)
    late = receipt(NOW - timedelta(minutes=40))
    receipts = {
        "early": receipt(NOW + timedelta(seconds=6)),
        "just-in-time": receipt(NOW + timedelta(seconds=5, milliseconds=999)),
        "other-time": receipt(NOW, occurred_at=rfc3339(NOW - timedelta(milliseconds=1))),
        "no-time": receipt(NOW, occurred_at="now"),
        "no-time-of-id": receipt(NOW).replace(b"rc_0", b"rc_z"),
        "late": late,
    }
    first = receipt(NOW - timedelta(minutes=30))
    older = complete_until_line(NOW - timedelta(minutes=12))
    for name, body_of in receipts.items():
        log = Log.of([first, body_of])
        evidence = write_evidence(folder / name, log, log.entries, range(2), note=note(log, 2, until), order=_LOG_ORDER)
        add(name, evidence, against=note(log, 1, older))
    for name, entry_point in {"accepted": "command", "accepted-by-nobody": "api"}.items():
        inputs = {"receipts": [{"receipt_id": json.loads(late)["id"]}]}
        decision = receipt(NOW, kind="quarantine.accepted", inputs=inputs, actor={"entry_point": entry_point})
        log = Log.of([first, decision, late])
        head = note(log, 3, until, signed_from_line(2))
        evidence = write_evidence(folder / name, log, log.entries, range(3), note=head, order=_LOG_ORDER)
        add(name, evidence, against=note(log, 1, older))
    log = Log.of([first])
    for name, lines in {
        "until-never": ["complete-until never"],
        "until-twice": [until, until],
        "from-nowhere": ["signed-from -1"],
        "from-nothing": ["signed-from"],
        "from-twice": [signed_from_line(0), signed_from_line(0)],
        "goes-back": [older],
    }.items():
        evidence = write_evidence(folder / name, log, log.entries, range(1), note=note(log, 1, *lines))
        add(name, evidence, against=note(log, 1, until))


def _change_lines(lines: list[bytes], places: list[str]) -> None:
    """Edit one, swap two, and replace others by text that is no receipt, of another tenant, or under another id."""
    lines[17] = lines[17].replace(b"done", b"dome")
    lines[30], lines[31] = lines[31], lines[30]
    lines[50] = b"[" * 100_000
    lines[70] = body(70, tenant="tn_other")
    lines[90] = lines[90].replace(receipt_id(90).encode(), receipt_id(89).encode())
    places[110:112] = ["-", "600"]
    del lines[130], places[130]
    lines.append(lines[-1])
    places.append(places[-1])


def _cut_off(lines: list[bytes], _places: list[str]) -> None:
    del lines[590:]


def _write_no_number(_lines: list[bytes], places: list[str]) -> None:
    places[5] = "05"


_CHANGES: Final[dict[str, Callable[[list[bytes], list[str]], None]]] = {
    "changed": _change_lines,
    "cut-off": _cut_off,
    "no-number": _write_no_number,
}
