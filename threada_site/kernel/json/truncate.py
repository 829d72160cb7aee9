"""Shortening of a JSON value for a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

LONGEST_TEXT: Final = 4_000
MOST_CHARACTERS: Final = 24_000
MOST_PARTS: Final = 400


@dataclass(frozen=True, slots=True)
class Shortened:
    """Shortened value. `is_cut` is True if something was left out."""

    value: Any
    is_cut: bool


def shorten(value: Any) -> Shortened:
    """Cut long texts and omit late parts of `value`, with a note at each cut.

    At most 24,000 characters and 400 parts remain in total, and 4,000 characters of each text.
    """
    budget = _Budget()
    return Shortened(budget.cut(value), budget.is_cut)


class _Budget:
    def __init__(self) -> None:
        self.characters = MOST_CHARACTERS
        self.parts = MOST_PARTS
        self.is_cut = False

    def cut(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return self._object(value)
        if isinstance(value, list | tuple):
            return self._array(value)
        return value

    def _text(self, text: str) -> str:
        capacity = min(LONGEST_TEXT, max(self.characters, 0))
        self.characters -= min(len(text), capacity)
        if len(text) <= capacity:
            return text
        self.is_cut = True
        return f"{text[:capacity]}… ({len(text) - capacity} more characters)"

    def _object(self, value: dict[str, Any]) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for place, (name, part) in enumerate(value.items()):
            if self._is_full():
                kept["…"] = f"({len(value) - place} more entries)"
                break
            self.parts -= 1
            kept[self._text(name)] = self.cut(part)
        return kept

    def _array(self, value: Any) -> list[Any]:
        kept: list[Any] = []
        for place, part in enumerate(value):
            if self._is_full():
                kept.append(f"… ({len(value) - place} more entries)")
                break
            self.parts -= 1
            kept.append(self.cut(part))
        return kept

    def _is_full(self) -> bool:
        if self.parts > 0 and self.characters > 0:
            return False
        self.is_cut = True
        return True
