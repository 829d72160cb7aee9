"""Charts as coordinates for SVG: bars over days, and ranked bars. Templates draw them.

A chart is 100 units high; its width depends on the number of days. Each bar has a title, and a table has the same
data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from django.utils.translation import gettext

DAY_WIDTH: Final = 20
_GAP: Final = 3.0


@dataclass(frozen=True)
class Part:
    """Stacked part of a bar. `tone` selects the colour, `url` is the list behind it."""

    label: str
    tone: str
    title: str
    url: str
    value: float
    y: float
    height: float


@dataclass(frozen=True)
class Bar:
    """Bar of one day. `title` is its description; `url` is the list behind it."""

    day: str
    title: str
    url: str
    x: float
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Chart:
    """Bars over days. `legend` has (label, tone, total, URL or ""); `most` is the value of the tallest bar."""

    title: str
    about: str
    url: str
    bars: tuple[Bar, ...]
    legend: tuple[tuple[str, str, str, str], ...]
    most: str
    is_empty: bool

    @property
    def rows(self) -> list[tuple[str, list[str]]]:
        """Return the data as a table: day, and the value of each entry of the legend."""
        names = [label for label, *_ in self.legend]
        return [
            (bar.day, [next((_number(part.value) for part in bar.parts if part.label == name), "0") for name in names])
            for bar in self.bars
        ]

    @property
    def width(self) -> int:
        return DAY_WIDTH * len(self.bars)

    @property
    def spoken(self) -> str:
        """Return the chart as a sentence for screen readers."""
        said = ", ".join(f"{label} {total}" for label, _, total, _ in self.legend)
        return gettext("{title}: {said}. {most} on the highest day.").format(
            title=self.title, said=said, most=self.most
        )


@dataclass(frozen=True)
class Ranked:
    """Line of a ranked list; `share` is its length in per cent of the longest."""

    label: str
    count: int
    share: float


@dataclass(frozen=True)
class Series:
    """Value per day under one label. `url` and `day_urls` are lists of this series only, if there are any."""

    label: str
    tone: str
    values: Mapping[str, float]
    url: str = ""
    day_urls: Mapping[str, str] = field(default_factory=dict)


def stacked(
    title: str,
    days: Sequence[str],
    series: Sequence[Series],
    *,
    url: str,
    day_urls: Mapping[str, str],
    about: str = "",
    unit: str = "",
    stacks: bool = True,
    totals: Mapping[str, str] | None = None,
) -> Chart:
    """Return a chart with one bar per day and one part per series.

    With `stacks` off, the parts overlap: for series that contain each other, such as quantiles; the largest first.
    `totals` replaces sums in the legend.
    """

    def height(day: str) -> float:
        values = [one.values.get(day, 0) for one in series]
        return sum(values) if stacks else max(values, default=0)

    most = max(map(height, days), default=0)
    bars = []
    for place, day in enumerate(days):
        parts, ground = [], 100.0
        for one in series:
            value = one.values.get(day, 0)
            if not value or not most:
                continue
            tall = max(100 * value / most, 1.0)
            parts.append(
                Part(
                    label=one.label,
                    tone=one.tone,
                    title=f"{day}: {one.label} {_number(value)}{unit}",
                    url=one.day_urls.get(day) or day_urls.get(day, url),
                    value=value,
                    y=round((ground if stacks else 100.0) - tall, 2),
                    height=round(tall, 2),
                )
            )
            ground -= tall
        said = ", ".join(f"{part.label} {_number(part.value)}{unit}" for part in parts) or "none"
        bars.append(Bar(day, f"{day}: {said}", day_urls.get(day, url), place * DAY_WIDTH + _GAP, tuple(parts)))
    legend = tuple(
        (one.label, one.tone, (totals or {}).get(one.label) or f"{_number(sum(one.values.values()))}{unit}", one.url)
        for one in series
    )
    return Chart(title, about, url, tuple(bars), legend, f"{_number(most)}{unit}", not most)


def ranked(counts: Sequence[tuple[str, int]], *, most: int = 10) -> tuple[Ranked, ...]:
    """Return the first `most` entries of the sorted `counts`."""
    longest = max((count for _, count in counts), default=0) or 1
    return tuple(Ranked(label, count, round(100 * count / longest, 1)) for label, count in counts[:most])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"
