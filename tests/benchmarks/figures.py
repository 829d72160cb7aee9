"""Measurements and the table in which they are printed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_HEADINGS: Final = ("figure", "value", "beside", "ratio", "aim", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Measured value, its reference value, their ratio and the target."""

    name: str
    value: str
    beside: str = ""
    ratio: float | None = None
    aim: str = ""
    is_met: bool | None = None

    def cells(self) -> tuple[str, ...]:
        verdict = "" if self.is_met is None else "met" if self.is_met else "MISSED"
        return (
            self.name,
            self.value,
            self.beside,
            "" if self.ratio is None else f"{self.ratio:.2f}",
            self.aim,
            verdict,
        )


def table(figures: Iterable[Figure]) -> str:
    """Return the measurements as an aligned table."""
    rows = [_HEADINGS, *(figure.cells() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    rows.insert(1, tuple("-" * width for width in widths))
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
