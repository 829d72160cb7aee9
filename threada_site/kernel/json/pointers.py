"""RFC 6901 JSON pointers."""

from __future__ import annotations


def pointer_to(base: str, *tokens: str | int) -> str:
    """Extend `base` by escaped reference tokens: `pointer_to("/spec", "a/b", 0)` is `/spec/a~1b/0`."""
    return base + "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in tokens)
