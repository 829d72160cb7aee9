r"""Strict JSON parser: I-JSON (RFC 7493), as canonical JSON (RFC 8785) requires.

Refused before anything is stored: duplicate keys, NaN and infinities, doubles that overflow, integers beyond ±(2^53 -
1), also written as 1e300, lone surrogates, `\u0000` (jsonb cannot store it), nesting deeper than 64.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, NoReturn

from threada_site.kernel.errors import JsonNotInteroperable, MalformedJson
from threada_site.kernel.json import large
from threada_site.kernel.json.pointers import pointer_to

MAX_DEPTH: Final = 64
MAX_INTEGER: Final = 2**53 - 1
MAX_MEMBERS: Final = 2_000
"""Members of one object, unless the workflow of a payload says more."""
LARGE: Final = 64 * 1024
"""Bodies of more bytes are parsed by `large`."""
_MAX_INTEGER_DIGITS: Final = 16


def parse_json(raw: bytes, *, first: Callable[[Any], None] | None = None) -> Any:
    """Parse the JSON value in `raw` (UTF-8). `first`: a cheap check of a large value, before those of its parts.

    Raise `MalformedJson` for invalid JSON, `JsonNotInteroperable` if two parsers could read it differently.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedJson(f"The body is not UTF-8 (byte {error.start}). Send JSON encoded as UTF-8.") from None
    if len(raw) > LARGE:
        return large.parse(raw, _checks, first=first)
    _check_nesting(raw)
    try:
        value = _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise MalformedJson(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    if b"\\u" in raw or 0 in raw:
        check_strings(value)
    return value


def check_strings(value: Any) -> None:
    """Raise `JsonNotInteroperable` if a string in a JSON value contains U+0000 or a lone surrogate."""
    pending = [value]
    while pending:
        node = pending.pop()
        if isinstance(node, str):
            if "\x00" in node:
                raise JsonNotInteroperable("A string holds U+0000, which cannot be stored. Remove it.")
            if _SURROGATE.search(node):
                raise JsonNotInteroperable("A string holds a lone surrogate, which is no Unicode text. Remove it.")
        elif isinstance(node, dict):
            pending.extend(node)
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)


_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def crowded(value: Any, *, most: int = MAX_MEMBERS, besides: Iterable[Any] = ()) -> str | None:
    """Return the JSON pointer of an object with more than `most` members, or None. Leave out the values `besides`."""
    left_out = {id(each) for each in besides}
    pending = [value]
    for node in pending:  # grows while containers are found
        kind = type(node)
        if kind is dict:
            if len(node) > most and id(node) not in left_out:
                return _pointer(value, node)
            if id(node) not in left_out:
                pending += [each for each in node.values() if type(each) is dict or type(each) is list]
        elif kind is list:
            pending += [each for each in node if type(each) is dict or type(each) is list]
    return None


def _pointer(value: Any, wanted: Any) -> str:
    pending = [("", value)]
    for pointer, node in pending:  # grows while containers are found
        if node is wanted:
            return pointer
        entries = node.items() if isinstance(node, dict) else enumerate(node)
        pending += [(pointer_to(pointer, name), each) for name, each in entries if isinstance(each, dict | list)]
    return ""


def check_value(value: Any) -> None:
    """Raise `JsonNotInteroperable` unless a parsed value (from YAML, from Python) is I-JSON."""
    check_strings(value)
    pending: list[tuple[Any, int]] = [(value, 1)]
    while pending:
        node, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise _too_deep()
        if isinstance(node, dict):
            if any(not isinstance(key, str) for key in node):
                raise JsonNotInteroperable("An object has a key that is not a string. Quote it.")
            pending.extend((child, depth + 1) for child in node.values())
        elif isinstance(node, list):
            pending.extend((child, depth + 1) for child in node)
        elif isinstance(node, bool) or node is None or isinstance(node, str):
            continue
        elif isinstance(node, int):
            _check_integer(node)
        elif isinstance(node, float):
            check_double(node)
        else:
            raise JsonNotInteroperable(f"A value of type {type(node).__name__} has no JSON form. Write it as a string.")


def _check_nesting(raw: bytes) -> None:
    """Refuse deep nesting before the parser recurses; counts brackets outside of strings."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for token in _BRACKETS_AND_STRINGS.finditer(raw):
        first = token.group()[0]
        if first in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise _too_deep()
        elif first in b"]}":
            depth -= 1


_BRACKETS_AND_STRINGS: Final = re.compile(rb'[\[\]{}]|"(?:[^"\\]|\\.)*"?', re.DOTALL)


def _too_deep() -> JsonNotInteroperable:
    return JsonNotInteroperable(f"The value is nested deeper than {MAX_DEPTH} levels. Flatten it.")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise JsonNotInteroperable(f"The key {repeated[:100]!r} occurs twice in one object. Send each key once.")
    return result


def _parse_integer(digits: str) -> int:
    if len(digits) > _MAX_INTEGER_DIGITS + 1:
        raise _integer_out_of_range()
    return _check_integer(int(digits))


def _check_integer(value: int) -> int:
    if not -MAX_INTEGER <= value <= MAX_INTEGER:
        raise _integer_out_of_range()
    return value


def _integer_out_of_range() -> JsonNotInteroperable:
    return JsonNotInteroperable("An integer lies beyond ±(2^53 - 1). Send it as a string.")


def _parse_double(text: str) -> float:
    return check_double(float(text))


def check_double(value: float) -> float:
    """Return `value`. Raise if it is not finite or beyond ±(2^53 - 1), where every double is an integer.

    1e300 is refused like 10^300, its form after storage.
    """
    if not math.isfinite(value):
        raise JsonNotInteroperable("A number is not a finite double. Send it as a string.")
    if abs(value) > MAX_INTEGER:
        raise _integer_out_of_range()
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise JsonNotInteroperable(f"{name} is not JSON. Send null or a string.")


_decoder: Final = json.JSONDecoder(
    object_pairs_hook=_unique_keys,
    parse_int=_parse_integer,
    parse_float=_parse_double,
    parse_constant=_refuse_constant,
)


class _Checks:
    max_depth = MAX_DEPTH
    too_deep = staticmethod(_too_deep)
    strings = staticmethod(check_strings)

    @staticmethod
    def number(value: float) -> object:
        return _check_integer(value) if isinstance(value, int) else check_double(value)


_checks: Final = _Checks()
