"""Differences between two JSON values: JSON pointers with old and new values, bounded in number and size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from threada_site.kernel.json.canonical import canonical_bytes, sha256_hex
from threada_site.kernel.json.pointers import pointer_to

MOST_CHANGES: Final = 50
MOST_BYTES: Final = 500
_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `as_json` omits `before` or `after` if there is no value."""

    pointer: str
    before: Any
    after: Any

    def as_json(self) -> dict[str, Any]:
        """Return `{pointer, from?, to?}`. A value above 500 canonical bytes is replaced by its size and digest."""
        sides = (("from", self.before), ("to", self.after))
        return {"pointer": self.pointer, **{name: _told(value) for name, value in sides if value is not _ABSENT}}


@dataclass(frozen=True, slots=True)
class Difference:
    """First changes in the order of their places, and the number of omitted ones."""

    changes: tuple[Change, ...]
    omitted: int

    def as_json(self) -> dict[str, Any]:
        return {"changes": [change.as_json() for change in self.changes], "omitted": self.omitted}


def difference(before: Any, after: Any, *, most: int = MOST_CHANGES) -> Difference:
    """Return the changes from `before` to `after`. Lists are compared by position."""
    found = list(_changes("", before, after))
    return Difference(tuple(found[:most]), max(len(found) - most, 0))


def _changes(pointer: str, before: Any, after: Any) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            yield from _changes(pointer_to(pointer, name), before.get(name, _ABSENT), after.get(name, _ABSENT))
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            yield from _changes(
                pointer_to(pointer, index),
                before[index] if index < len(before) else _ABSENT,
                after[index] if index < len(after) else _ABSENT,
            )
    elif _differ(before, after):
        yield Change(pointer, before, after)


def _differ(before: Any, after: Any) -> bool:
    """Compare as JSON does: True is not 1, and 1.0 is 1."""
    if before is _ABSENT or after is _ABSENT:
        return before is not after
    return canonical_bytes(before) != canonical_bytes(after)


def _told(value: Any) -> Any:
    body = canonical_bytes(value)
    return value if len(body) <= MOST_BYTES else {"omitted_bytes": len(body), "sha256": sha256_hex(body)}
