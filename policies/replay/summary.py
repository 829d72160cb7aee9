"""Counts of a replay, of bounded size for any length of history. Pure; stored as JSON between batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from policies.deciding.comparison import WHY, Asking, Comparison, NotReplayable, Unanswerable

MOST_PLACES: Final = 500
MOST_KINDS: Final = 200
EXAMPLES: Final = 5
OTHERS: Final = "(others)"
"""Name under which workflows and channels beyond the limit are counted."""

type Counts = dict[str, int]
type KindKey = tuple[str, tuple[str, ...], str, tuple[str, ...]]


@dataclass
class FlipKind:
    """Flips between two pairs of effect and reasons, with the first decisions as examples."""

    count: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass
class ReplaySummary:
    """Counts of all decisions that a replay has processed.

    `outcomes`: effect before → effect after → count, unchanged ones included. `asking`: number of cases in which an
    approval appears, vanishes or changes; `people_more` and `people_fewer` add up the differences in approvers.
    `not_replayable`: count by reason, with the rules whose data is missing.
    """

    replayed: int = 0
    flipped: int = 0
    unanswerable: int = 0
    outcomes: dict[str, Counts] = field(default_factory=dict)
    kinds: dict[KindKey, FlipKind] = field(default_factory=dict)
    other_kinds: int = 0
    asking: Counts = field(default_factory=dict)
    people_more: int = 0
    people_fewer: int = 0
    workflows: dict[str, Counts] = field(default_factory=dict)
    channels: dict[str, Counts] = field(default_factory=dict)
    not_replayable: dict[str, Counts] = field(default_factory=dict)

    def add(self, found: Comparison | Unanswerable, *, decision: str, workflow: str, channel: str) -> None:
        """Add one decision to the counts. `decision` is its public id."""
        places = (_place(self.workflows, workflow), _place(self.channels, channel))
        if isinstance(found, Unanswerable):
            self._add_unanswerable(found, places)
            return
        self.replayed += 1
        after = self.outcomes.setdefault(found.before.effect, {})
        _count(after, found.after.effect)
        for place in places:
            _count(place, "replayed")
        if found.is_flip:
            self.flipped += 1
            self._add_flip(found, decision)
            for place in places:
                _count(place, "flipped")
        if found.asking is not None:
            _count(self.asking, found.asking.value)
            for place in places:
                _count(place, found.asking.value)
        self.people_more += max(found.people, 0)
        self.people_fewer += max(-found.people, 0)
        if found.people:
            for place in places:
                _count(place, "people", found.people)

    def _add_flip(self, found: Comparison, decision: str) -> None:
        before, after = found.before, found.after
        key = (before.effect, tuple(sorted(before.reasons)), after.effect, tuple(sorted(after.reasons)))
        kind = self.kinds.get(key)
        if kind is None:
            if len(self.kinds) >= MOST_KINDS:
                self.other_kinds += 1
                return
            kind = self.kinds[key] = FlipKind()
        kind.count += 1
        if len(kind.examples) < EXAMPLES:
            kind.examples.append(decision)

    def _add_unanswerable(self, found: Unanswerable, places: tuple[Counts, ...]) -> None:
        self.unanswerable += 1
        of_reason = self.not_replayable.setdefault(found.why.value, {})
        _count(of_reason, "count")
        for rule in found.rules:
            if rule in of_reason or len(of_reason) <= MOST_KINDS:
                _count(of_reason, rule)
        for place in places:
            _count(place, "not_replayable")

    def as_json(self) -> dict[str, Any]:
        """Return the form that is stored, returned by the API and downloaded; most frequent entries first."""
        return {
            "replayed": self.replayed,
            "flipped": self.flipped,
            "not_replayable": self.unanswerable,
            "outcomes": self.outcomes,
            "flips": [
                {
                    "from": {"effect": before, "reasons": list(reasons)},
                    "to": {"effect": after, "reasons": list(reasons_after)},
                    "count": kind.count,
                    "examples": kind.examples,
                }
                for (before, reasons, after, reasons_after), kind in sorted(
                    self.kinds.items(), key=lambda entry: (-entry[1].count, entry[0])
                )
            ],
            "other_flips": self.other_kinds,
            "approvals": {asking.value: self.asking.get(asking.value, 0) for asking in Asking},
            "people": {"more": self.people_more, "fewer": self.people_fewer},
            "workflows": self.workflows,
            "channels": self.channels,
            "not_replayable_because": self.not_replayable,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ReplaySummary:
        """Return the summary that `as_json` serialized; `{}` gives an empty summary."""
        if not value:
            return cls()
        kinds = {
            (
                entry["from"]["effect"],
                tuple(entry["from"]["reasons"]),
                entry["to"]["effect"],
                tuple(entry["to"]["reasons"]),
            ): FlipKind(entry["count"], entry["examples"])
            for entry in value["flips"]
        }
        return cls(
            replayed=value["replayed"],
            flipped=value["flipped"],
            unanswerable=value["not_replayable"],
            outcomes=value["outcomes"],
            kinds=kinds,
            other_kinds=value["other_flips"],
            asking=dict(value["approvals"]),
            people_more=value["people"]["more"],
            people_fewer=value["people"]["fewer"],
            workflows=value["workflows"],
            channels=value["channels"],
            not_replayable=value["not_replayable_because"],
        )


def why_sentence(reason: str) -> str:
    """Return the sentence for a reason why decisions are not replayable."""
    return WHY[NotReplayable(reason)]


def _place(places: dict[str, Counts], name: str) -> Counts:
    if name not in places and len(places) >= MOST_PLACES:
        name = OTHERS
    return places.setdefault(name, {})


def _count(counts: Counts, name: str, amount: int = 1) -> None:
    counts[name] = counts.get(name, 0) + amount
