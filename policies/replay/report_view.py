"""View of a replay report: sentences, a flow diagram and tables. Pure; templates render it.

The diagram shows outcomes before on the left and after on the right. Bars are as tall as their counts; bands connect
them. Bands of unchanged outcomes are pale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from threada_site.kernel.sentences import marked, sentence, sentence_list, sentence_of_number, stored_sentence

WIDTH: Final = 720
_COLUMN: Final = 14
_LEFT: Final = 150
_RIGHT: Final = WIDTH - _LEFT - _COLUMN
_TALL: Final = 260.0
_GAP: Final = 26.0
_LEAST: Final = 4.0
_TONES: Final = {"allow": "good", "review": "busy", "require_approval": "waiting", "deny": "bad"}
_NAMES: Final = {
    "allow": marked("allowed"),
    "review": marked("reviewed"),
    "require_approval": marked("approval"),
    "deny": marked("denied"),
}


@dataclass(frozen=True)
class Bar:
    """All cases with one outcome on one side of the diagram."""

    label: str
    count: str
    tone: str
    x: int
    y: float
    height: float

    @property
    def text_y(self) -> float:
        return round(self.y + self.height / 2, 1)


@dataclass(frozen=True)
class Band:
    """All cases with one pair of outcomes before and after."""

    title: str
    path: str
    tone: str
    is_change: bool


@dataclass(frozen=True)
class FlowDiagram:
    """Bars on both sides and the bands between them. `aria_label` describes the diagram for screen readers."""

    before: tuple[Bar, ...]
    after: tuple[Bar, ...]
    bands: tuple[Band, ...]
    height: int
    aria_label: str
    width: int = WIDTH
    column: int = _COLUMN


@dataclass(frozen=True)
class PlaceRow:
    """Counts of one workflow or channel; `share` is the percentage of replayed decisions that flip."""

    label: str
    replayed: int
    flipped: int
    appears: int
    vanishes: int
    people: int
    not_replayable: int
    share: float


def sentences(summary: Mapping[str, Any]) -> list[str]:
    """Return the summary as sentences, most important first."""
    replayed, flipped = summary.get("replayed", 0), summary.get("flipped", 0)
    not_replayable = summary.get("not_replayable", 0)
    if not replayed and not not_replayable:
        return [sentence("The policy applied to no decision in this time window.")]
    lines = [_flips(flipped, replayed)]
    asking, people = summary.get("approvals", {}), summary.get("people", {})
    if asking.get("appears"):
        one = "{number:,} case would require approval and did not."
        lines.append(sentence_of_number(one, "{number:,} cases would require approval and did not.", asking["appears"]))
    if asking.get("vanishes"):
        one = "{number:,} case would no longer require approval."
        lines.append(sentence_of_number(one, "{number:,} cases would no longer require approval.", asking["vanishes"]))
    if asking.get("changes"):
        lines.append(
            sentence_of_number(
                "{number:,} case would require other or more approvers.",
                "{number:,} cases would require other or more approvers.",
                asking["changes"],
            )
        )
    if people.get("more") or people.get("fewer"):
        more, fewer = people["more"], people["fewer"]
        lines.append(sentence("Required approvals in total: {more:,} more, {fewer:,} fewer.", more=more, fewer=fewer))
    if not_replayable:
        lines.append(
            sentence_of_number(
                "{number:,} decision cannot be replayed: the record is incomplete.",
                "{number:,} decisions cannot be replayed: the record is incomplete.",
                not_replayable,
            )
        )
    return lines


def _flips(flipped: int, replayed: int) -> str:
    if not replayed:
        return sentence("No decision in this time window could be replayed.")
    decisions = sentence_of_number("{number:,} decision", "{number:,} decisions", replayed)
    if not flipped:
        return sentence("None of {decisions} would be different.", decisions=decisions)
    share = _share(flipped, replayed)
    return sentence(
        "{flipped:,} of {decisions} would be different ({share}).", flipped=flipped, decisions=decisions, share=share
    )


def flow_diagram(summary: Mapping[str, Any]) -> FlowDiagram | None:
    """Return the diagram, or None if nothing was replayed."""
    flows = {
        (before, after): count
        for before, counts in summary.get("outcomes", {}).items()
        for after, count in counts.items()
        if count
    }
    total = sum(flows.values())
    if not total:
        return None
    before, height_before = _bars(flows, side=0, total=total)
    after, height_after = _bars(flows, side=1, total=total)
    changes = sentence_list([_change(a, b, count) for (a, b), count in sorted(flows.items()) if a != b], "; ")
    return FlowDiagram(
        tuple(before.values()),
        tuple(after.values()),
        tuple(_bands(flows, before, after)),
        height=int(max(height_before, height_after)) + 1,
        aria_label=sentence(
            "Answers before and after: {changes}.", changes=changes or sentence("no effect would be different")
        ),
    )


def place_rows(places: Mapping[str, Mapping[str, int]], *, most: int = 50) -> list[PlaceRow]:
    """Return rows of workflows or channels, most flips first."""
    found = [_place_row(label, counts) for label, counts in places.items()]
    return sorted(found, key=lambda line: (-line.flipped, -line.replayed, line.label))[:most]


def _place_row(label: str, counts: Mapping[str, int]) -> PlaceRow:
    replayed, flipped = counts.get("replayed", 0), counts.get("flipped", 0)
    return PlaceRow(
        label or sentence("none"),
        replayed=replayed,
        flipped=flipped,
        appears=counts.get("appears", 0),
        vanishes=counts.get("vanishes", 0),
        people=counts.get("people", 0),
        not_replayable=counts.get("not_replayable", 0),
        share=round(100 * flipped / replayed, 1) if replayed else 0.0,
    )


def _bars(flows: Mapping[tuple[str, str], int], *, side: int, total: int) -> tuple[dict[str, Bar], float]:
    found: dict[str, Bar] = {}
    y = 0.0
    for effect in _TONES:
        count = sum(amount for pair, amount in flows.items() if pair[side] == effect)
        if count:
            parts = sum(1 for pair in flows if pair[side] == effect)
            tall = max(_TALL * count / total, _LEAST * parts)
            found[effect] = Bar(
                _name(effect), f"{count:,}", _TONES[effect], _RIGHT if side else _LEFT, round(y, 1), round(tall, 1)
            )
            y += tall + _GAP
    return found, y - _GAP


def _bands(flows: Mapping[tuple[str, str], int], before: Mapping[str, Bar], after: Mapping[str, Bar]) -> list[Band]:
    starts, ends = _parts(flows, before, side=0), _parts(flows, after, side=1)
    bands = []
    middle = (_LEFT + _COLUMN + _RIGHT) / 2
    for pair in sorted(flows, key=lambda pair: pair[0] != pair[1]):  # unchanged bands below
        (y0, h0), (y1, h1) = starts[pair], ends[pair]
        x0, x1 = _LEFT + _COLUMN, _RIGHT
        path = (
            f"M{x0} {y0:.1f}C{middle:.0f} {y0:.1f} {middle:.0f} {y1:.1f} {x1} {y1:.1f}"
            f"V{y1 + h1:.1f}C{middle:.0f} {y1 + h1:.1f} {middle:.0f} {y0 + h0:.1f} {x0} {y0 + h0:.1f}Z"
        )
        a, b = pair
        title = _change(a, b, flows[pair])
        bands.append(Band(title, path, _TONES[b], a != b))
    return bands


def _parts(
    flows: Mapping[tuple[str, str], int], bars: Mapping[str, Bar], *, side: int
) -> dict[tuple[str, str], tuple[float, float]]:
    """Return y and height of each band at its bar. Heights add up to the bar, each with a visible minimum."""
    order = list(_TONES)
    found = {}
    for effect, bar in bars.items():
        pairs = sorted((pair for pair in flows if pair[side] == effect), key=lambda pair: order.index(pair[1 - side]))
        count = sum(flows[pair] for pair in pairs)
        spare = bar.height - _LEAST * len(pairs)
        y = bar.y
        for pair in pairs:
            tall = _LEAST + spare * flows[pair] / count
            found[pair] = (y, tall)
            y += tall
    return found


def _change(before: str, after: str, count: int) -> str:
    if before == after:
        return sentence("{count:,} stay {effect}", count=count, effect=_name(before))
    return sentence("{count:,} {before} would be {after}", count=count, before=_name(before), after=_name(after))


def _name(effect: str) -> str:
    return stored_sentence(_NAMES.get(effect, effect))


def _share(part: int, whole: int) -> str:
    share = 100 * part / whole
    return sentence("less than 0.1 %") if share < 0.1 else f"{share:.1f} %"
