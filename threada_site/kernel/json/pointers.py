"""Paths into a JSON value: RFC 6901 pointers, and dotted paths that people read."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import Any, Final

LONGEST_PATH: Final = 240
_PLAIN: Final = re.compile(r"[^\W\d]\w*(?:-\w+)*")


def pointer_to(base: str, *tokens: str | int) -> str:
    """Extend `base` by escaped reference tokens: `pointer_to("/spec", "a/b", 0)` is `/spec/a~1b/0`."""
    return base + "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in tokens)


def tokens_of(pointer: str) -> list[str]:
    """Return the unescaped reference tokens of a pointer."""
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def dotted(base: str, *tokens: str | int) -> str:
    """Extend a path that people read: `dotted("spec", "rules", 0, "a.b")` is `spec.rules.#1."a.b"`.

    Elements of lists are numbered from 1. Names that are not plain words are quoted, so that different places have
    different paths. In a path over 240 characters a digest replaces the middle.
    """
    path = base
    for token in tokens:
        name = f"#{token + 1}" if isinstance(token, int) else quoted_name(token)
        path = _shortened(f"{path}.{name}" if path else name)
    return path


def quoted_name(name: str) -> str:
    """Return the name of a member as a dotted path shows it: in quotation marks unless it is a plain word."""
    return name if _PLAIN.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _shortened(path: str) -> str:
    if len(path) <= LONGEST_PATH:
        return path
    digest = sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{path[:80]}…{digest}…{path[-100:]}"


def value_at(value: Any, pointer: str) -> Any:
    """Return the part of a JSON value that `pointer` leads to. Raise `LookupError` or `ValueError` without one."""
    for token in tokens_of(pointer):
        value = value[int(token)] if isinstance(value, list) else value[token]
    return value
