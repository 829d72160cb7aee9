"""Order of keys. PostgreSQL's `jsonb` does not keep it, so it is taken from the text of a document."""

from __future__ import annotations

from typing import Any


def in_order_of(value: Any, like: Any) -> Any:
    """Return `value` with the keys of its objects in the order of `like`; other keys follow in their own order."""
    if isinstance(value, dict):
        if not isinstance(like, dict):
            return value
        keys = dict.fromkeys([*(key for key in like if key in value), *value])
        return {key: in_order_of(value[key], like.get(key)) for key in keys}
    if isinstance(value, list) and isinstance(like, list):
        return [in_order_of(part, like[place] if place < len(like) else None) for place, part in enumerate(value)]
    return value
