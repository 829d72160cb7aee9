"""Sizes of facts: exact bounds for one evaluation, computed from the values themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from threada_site.kernel.cel.sizes import KEY_WEIGHT, Size, weight_of_text

_MOST_VISITS: Final = 1_000_000


class TooManyValuesError(Exception):
    """The sizes take too long to compute."""


@dataclass(slots=True, eq=False)
class _Survey:
    """Weights of lists and maps by identity, and the number of values that may still be visited."""

    weights: dict[int, float] = field(default_factory=dict)
    left: int = _MOST_VISITS

    def visit(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise TooManyValuesError

    def weight(self, value: Any) -> float:
        """Return the weight of one value; those of its lists and maps are kept."""
        pending = [(value, False)]
        while pending:
            node, is_entered = pending.pop()
            if not isinstance(node, list | dict) or id(node) in self.weights:
                continue
            if is_entered:
                self.weights[id(node)] = 1.0 + sum(map(self._part, _entries(node)))
                continue
            self.visit(len(node) + 1)
            pending.append((node, True))
            pending += [(child, False) for child in _children(node)]
        return self._known(value)

    def _part(self, entry: tuple[str | None, Any]) -> float:
        key, value = entry
        return self._known(value) + (0 if key is None else KEY_WEIGHT - 1 + weight_of_text(len(key.encode())))

    def _known(self, value: Any) -> float:
        if isinstance(value, str):
            return weight_of_text(len(value.encode()))
        return self.weights[id(value)] if isinstance(value, list | dict) else 1.0


@dataclass(frozen=True, slots=True, eq=False)
class ActualSize(Size):
    """Bounds of a value that is one of `values`."""

    survey: _Survey
    values: tuple[Any, ...]

    @property
    def count(self) -> float:  # type: ignore[override]
        self.survey.visit(len(self.values))
        return max((len(value) for value in self.values if isinstance(value, list | dict)), default=0)

    @property
    def text(self) -> float:  # type: ignore[override]
        self.survey.visit(len(self.values))
        return max((len(value.encode()) for value in self.values if isinstance(value, str)), default=0)

    @property
    def weight(self) -> float:  # type: ignore[override]
        self.survey.visit(len(self.values))
        return max(map(self.survey.weight, self.values), default=1.0)

    def field(self, name: str) -> Size:
        self.survey.visit(len(self.values))
        return self._of(value[name] for value in self.values if isinstance(value, dict) and name in value)

    def child(self) -> Size:
        return self._of(child for value in self.values if isinstance(value, list | dict) for child in _children(value))

    def looped(self) -> Size:
        return self._of(child for value in self.values if isinstance(value, list | dict) for child in value)

    def _of(self, values: Iterator[Any]) -> Size:
        found = []
        for value in values:
            self.survey.visit(1)
            found.append(value)
        return ActualSize(self.survey, tuple(found))


def actual_sizes(facts: Mapping[str, Any]) -> dict[str, Size]:
    """Return the sizes of facts by variable. Reading them may raise `TooManyValuesError`."""
    survey = _Survey()
    return {name: ActualSize(survey, (value,)) for name, value in facts.items()}


def _children(node: list[Any] | dict[str, Any]) -> Iterator[Any]:
    return iter(node.values() if isinstance(node, dict) else node)


def _entries(node: list[Any] | dict[str, Any]) -> Iterator[tuple[str | None, Any]]:
    return iter(node.items()) if isinstance(node, dict) else ((None, child) for child in node)
