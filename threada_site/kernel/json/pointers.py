"""RFC 6901 JSON pointers, as every `FieldError` carries them."""

from __future__ import annotations


def pointer_to(base: str, *tokens: str | int) -> str:
    """`base` extended by reference tokens, each escaped: `pointer_to("/spec", "a/b", 0)` is `/spec/a~1b/0`."""
    return base + "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in tokens)
