"""Pseudo-locale: every marked text in brackets, so that a page shows which texts are not marked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from html.parser import HTMLParser
from typing import Any

import orjson
from django.apps import apps
from django.utils.translation import trans_real

SKIPPED = {"script", "style", "code", "pre", "kbd", "time", "textarea", "svg", "template"}
NO_TEXT = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
SHOWN_ATTRIBUTES = ("aria-label", "placeholder", "title", "alt", "data-title")
DATA = re.compile(
    r"\b[a-z]{2,3}_[0-9a-z]{26}\b|\b[0-9a-f]{8,}\b|\b\d{4}-\d\d-\d\d[\d:.TZ+-]*|\bv\d+\b|https?://\S+|\S+@\S+|\S+://\S*"
    r"|\b[A-Z]{2,}[A-Z0-9_-]*\b|\{[^}]*\}|\b\w+_\w+\b|\b[\w-]+\.[\w.-]+\b|\b\w+:\w+\b|&\w+;|\b\w+_…|/\w+/\S+"
)
WORD = re.compile(r"[A-Za-z]{3,}")


class Pseudo:
    """Translation that puts every text into brackets."""

    def gettext(self, message: str) -> str:
        return f"⟦{message.rsplit(chr(4), maxsplit=1)[-1]}⟧"

    def ngettext(self, one: str, many: str, number: int) -> str:
        return self.gettext(one if number == 1 else many)

    def to_language(self) -> str:
        return "de"


def put_in_place(monkeypatch: Any) -> None:
    """Answer requests for German in the pseudo-locale."""
    monkeypatch.setitem(trans_real._translations, "de", Pseudo())


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        is_icon = "material-symbols" in (named.get("class") or "")
        is_hidden = tag in SKIPPED or is_icon or named.get("translate") == "no"
        if not any(hidden for _, hidden in self.open) and not is_hidden:
            self.found += [named[name] or "" for name in SHOWN_ATTRIBUTES if named.get(name)]
        if tag not in NO_TEXT:
            self.open.append((tag, is_hidden))

    def handle_endtag(self, tag: str) -> None:
        while self.open and tag in [one for one, _ in self.open]:
            if self.open.pop()[0] == tag:
                break

    def handle_data(self, data: str) -> None:
        if not any(hidden for _, hidden in self.open):
            self.found.append(data)


class Data:
    """Texts that are data and not texts of the console."""

    def __init__(self, texts: set[str]) -> None:
        self._texts = sorted((text for text in texts if len(text) > 2 and WORD.search(text)), key=len, reverse=True)

    def removed_from(self, line: str) -> str:
        """Return the line without the texts. A pattern of all of them, which are thousands, would take minutes."""
        texts = [re.escape(text) for text in self._texts if text in line]
        return re.sub(rf"(?<!\w)(?:{'|'.join(texts)})(?!\w)", " ", line) if texts else line


def unmarked(page: str, data: Data) -> list[str]:
    """Return the texts of a page that are neither in brackets nor data."""
    body = page[page.index("<body") :] if "<body" in page else page
    reader = _Texts()
    reader.feed(body)
    text = "\n".join(reader.found)
    before = ""
    while before != text:
        before, text = text, re.sub(r"⟦[^⟦⟧]*⟧", "", text)
    return [" ".join(line.split()) for line in text.splitlines() if _has_words(line.strip(), data)]


@cache
def _has_words(line: str, data: Data) -> bool:
    """Return True if a line has words that are not data. Looking for data takes longest, so it comes last."""
    if not WORD.search(line) or not WORD.search(DATA.sub(" ", line)):
        return False
    return WORD.search(DATA.sub(" ", data.removed_from(line))) is not None


def data_of_tables(*also: str) -> Data:
    """Return all texts in the database, which are data and not texts of the console."""
    found: set[str] = set(also)
    for model in apps.get_models():
        if not model._meta.managed:
            continue
        for row in model._base_manager.all()[:500].values():
            for value in row.values():
                found.update(_strings(value))
    return Data(found | {text[:1].upper() + text[1:] for text in found})


def examples_of(*schemas: Any) -> set[str]:
    """Return the texts in examples, defaults and choices of JSON Schemas, which are data."""
    found: set[str] = set()
    for schema in schemas:
        parts = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
        found |= examples_of(*parts)
        if isinstance(schema, dict):
            found |= {text for key in ("examples", "default", "enum") for text in _strings(schema.get(key))}
    return found


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, bytes | memoryview):
        with suppress(orjson.JSONDecodeError):
            yield from _strings(orjson.loads(bytes(value)))
    elif isinstance(value, str):
        yield value
        yield from value.splitlines()
    elif isinstance(value, dict):
        for key, part in value.items():
            yield str(key)
            yield from _strings(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _strings(part)
