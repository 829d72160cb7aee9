"""A spreadsheet program finds no formula in an exported CSV file (hostile experiment 52)."""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.telemetry.exports.test_formats import body, encoded

pytestmark = pytest.mark.slow

FORMULA = "=HYPERLINK(1;1)+1"
STARTS = (
    "=",
    "+",
    "-",
    "@",
    "\t=",
    "\r=",
    " =",
    "\n=",
    "\u00a0=",
    "\ufeff=",
    "\uff1d",
    '"=',
    "x\n=",
    'x"\n=',
    ";=",
    ",=",
)


def formulas(path: Path) -> list[str]:
    """Return the formulas that a spreadsheet program finds in a CSV file."""
    workbook = path.with_suffix(".xlsx")
    subprocess.run(["ssconvert", "--export-type=Gnumeric_Excel:xlsx2", path, workbook], check=True, capture_output=True)
    with zipfile.ZipFile(workbook) as parts:
        sheets = [parts.read(name).decode() for name in parts.namelist() if name.startswith("xl/worksheets/")]
    assert sheets
    return [found for sheet in sheets for found in re.findall(r"<f[ >].*?</f>", sheet)]


@pytest.mark.skipif(
    not shutil.which("ssconvert"), reason="no spreadsheet program is installed (apt-get install gnumeric)"
)
def test_hostile_cells_are_texts(tmp_path: Path) -> None:
    control = tmp_path / "control.csv"
    control.write_text('a,b\n"=1+1",2\n')
    assert len(formulas(control)) == 1
    hostile = [f"{start}1+1" for start in STARTS] + [FORMULA, "=cmd|' /C calc'!A0"]
    bodies = [
        body(
            number,
            subject={"work_item_id": text, "workflow_id": text, "status": text},
            actor={"principal": text, "kind": text, "entry_point": text},
            outcome={"reason_codes": [text]},
        )
        for number, text in enumerate(hostile)
    ]
    exported = tmp_path / "export.csv"
    exported.write_bytes(encoded("csv", bodies))
    assert formulas(exported) == []
