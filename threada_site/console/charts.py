"""Charts as numbers for SVG: bars over days, and ranked bars. Pure; the templates draw them.

A chart is 100 high and as wide as its days; what each bar means stands in its title, and the table below has it too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

DAY_WIDTH: Final = 20
_BAR: Final = 14.0
_GAP: Final = 3.0


@dataclass(frozen=True)
class Part:
    """One stacked piece of a bar. `tone` names its colour, `url` is the list behind it."""

    label: str
    tone: str
    title: str
    url: str
    value: float
    y: float
    height: float


@dataclass(frozen=True)
class Bar:
    """One day. `title` says it in words; `url` is the list behind it."""

    day: str
    title: str
    url: str
    x: float
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Chart:
    """Bars over days. `legend` has (label, tone, total as text, the list behind it or ""); `most` is the height of the
    tallest bar as text."""

    title: str
    about: str
    url: str
    bars: tuple[Bar, ...]
    legend: tuple[tuple[str, str, str, str], ...]
    most: str
    is_empty: bool

    @property
    def width(self) -> int:
        return DAY_WIDTH * len(self.bars)

    @property
    def spoken(self) -> str:
        """The chart for those who hear it."""
        told = ", ".join(f"{label} {total}" for label, _, total, _ in self.legend)
        return f"{self.title}: {told}. {self.most} on the highest day."


@dataclass(frozen=True)
class Ranked:
    """One line of a ranked list; `share` is its length in per cent of the longest."""

    label: str
    count: int
    share: float


@dataclass(frozen=True)
class Series:
    """A value per day under one label. `url` and `day_urls` are lists of it alone, where there are such."""

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
    """A bar a day with one piece per series: on top of each other, or, with `stacks` off, overlaid from the ground
    (series that contain one another, such as quantiles; the largest first). `totals` replaces sums in the legend."""

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
        told = ", ".join(f"{part.label} {_number(part.value)}{unit}" for part in parts) or "none"
        bars.append(Bar(day, f"{day}: {told}", day_urls.get(day, url), place * DAY_WIDTH + _GAP, tuple(parts)))
    legend = tuple(
        (one.label, one.tone, (totals or {}).get(one.label) or f"{_number(sum(one.values.values()))}{unit}", one.url)
        for one in series
    )
    return Chart(title, about, url, tuple(bars), legend, f"{_number(most)}{unit}", not most)


def ranked(counts: Sequence[tuple[str, int]], *, most: int = 10) -> tuple[Ranked, ...]:
    """The first `most` of `counts`, which are sorted already."""
    longest = max((count for _, count in counts), default=0)
    return tuple(Ranked(label, count, round(100 * count / longest, 1)) for label, count in counts[:most])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"
