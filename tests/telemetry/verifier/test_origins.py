"""Signatures of receipts in evidence: what the verifier says about who wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.telemetry.tlog.logs import Log
from tests.telemetry.verifier.conftest import Run
from tests.telemetry.verifier.evidence import SIGNED, receipt_id, whole, write_signed, zipped

INVALID = "origin_invalid"
UNSIGNED = "unsigned"
ALL = {"web": 3, "worker": 1}
EXPECTED: dict[str, tuple[dict[str, int], list[tuple[str, int]]]] = {
    "whole": (ALL, []),
    "exchanged": ({"web": 1, "worker": 1}, [(INVALID, 0), (INVALID, 1)]),
    "stripped": ({"web": 2, "unsigned": 1, "worker": 1}, [(UNSIGNED, 2)]),
    "cut-off": ({"web": 3, "unsigned": 1}, [(UNSIGNED, 3)]),
    "malformed": ({"web": 3}, [(INVALID, 3)]),
    "by-web": ({"web": 3}, [(INVALID, 3)]),
    "other-tenant": ({"web": 3}, [(INVALID, 3)]),
    "without-file": ({}, [(UNSIGNED, 0), (UNSIGNED, 1), (UNSIGNED, 2), (UNSIGNED, 3)]),
    "not-endorsed": ({"unknown key": 4}, [(UNSIGNED, 0), (UNSIGNED, 1), (UNSIGNED, 2), (UNSIGNED, 3)]),
    "retired-later": (ALL, []),
    "retired-earlier": ({"worker": 1}, [(INVALID, 0), (INVALID, 1), (INVALID, 2)]),
}


def findings(report: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["code"], one["receipt"]) for one in report["findings"]]


@pytest.mark.parametrize("name", EXPECTED)
def test_changed_signatures_are_found(run: Run, tmp_path: Path, name: str) -> None:
    written_by, found = EXPECTED[name]
    archive = zipped(SIGNED[name](write_signed(tmp_path / "e")))
    strict = run(archive, "--complete", "--signed")
    assert strict.report["written_by"] == written_by
    assert findings(strict.report) == [(code, receipt_id(number)) for code, number in found]
    lenient = run(archive, "--complete")
    assert lenient.report["written_by"] == written_by
    assert findings(lenient.report) == [(code, receipt_id(number)) for code, number in found if code == INVALID]


@pytest.mark.parametrize("name", ["stranger", "role"])
def test_keys_that_the_sealer_did_not_endorse_are_refused(run: Run, tmp_path: Path, name: str) -> None:
    said = run(SIGNED[name](write_signed(tmp_path / "e")))
    assert said.code == 1
    assert [one["code"] for one in said.report["findings"]] == ["cannot_be_checked"]


def test_report_names_who_wrote(run: Run, tmp_path: Path) -> None:
    assert "Written by  web 3, worker 1\n" in run(write_signed(tmp_path / "e"), as_json=False).out


def test_evidence_of_earlier_versions_still_verifies(run: Run, tmp_path: Path, log: Log) -> None:
    said = run(whole(tmp_path / "e", log), "--complete")
    assert (said.code, said.report["written_by"]) == (0, {})
