"""Rules that take long together and are ordinary one by one, whatever limits single expressions have."""

from __future__ import annotations

from typing import Any

from tests.policies.rulebooks import rule, spec

ITEMS = 9000
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"numbers": {"type": "array", "maxItems": ITEMS, "items": {"type": "integer"}}},
}
PAYLOAD: dict[str, Any] = {"numbers": list(range(ITEMS))}


def slow_spec(rules: int = 600, **more: Any) -> dict[str, Any]:
    """Return rules that loop over the payload, about 3 ms each, and one that allows."""
    loops = [
        rule(f"loop-{number}", "deny", f"item.payload.numbers.exists(n, n == -{number + 1})") for number in range(rules)
    ]
    return spec(*loops, rule("open", "allow"), **more)
