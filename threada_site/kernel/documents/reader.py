"""Reader of configuration documents: YAML or JSON text into I-JSON values with line numbers.

YAML is read with the 1.2 core schema: `yes`, `on` and dates are strings. Tags, aliases, merge keys, non-string or
duplicate keys, and values outside of I-JSON are refused. Strings keep every character, also those that the parser
(YAML 1.1) would fold, refuse or misread. See docs/adr/0005-yaml-reading.md.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, NamedTuple, NoReturn

import yaml

from threada_site.kernel.documents.positions import offset_in_text
from threada_site.kernel.errors import DocumentInvalid, FieldError, JsonNotInteroperable
from threada_site.kernel.json.strict import MAX_DEPTH, MAX_INTEGER, check_double

_INTEGER: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_NUMBER_STARTS: Final = frozenset("-+.0123456789")
_MAX_INTEGER_LENGTH: Final = 18
_LINE_BREAK: Final = re.compile(r"\r\n|\r|\n")
_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class Place(NamedTuple):
    """Line and column, from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


@dataclass(frozen=True)
class Document:
    """One document of a stream: its value and its source."""

    value: Any
    source: str
    written: str = field(repr=False, compare=False)
    """The lines of the document, with comments, as they were written."""
    _lines: array[int] = field(repr=False, compare=False)
    """The line of every node, a parent before its children; of a member, its key's."""
    _columns: array[int] = field(repr=False, compare=False)
    """Likewise its column."""
    _value_lines: array[int] = field(repr=False, compare=False)
    _value_columns: array[int] = field(repr=False, compare=False)
    """Where the values themselves begin: of a member, what stands behind its key."""
    _text: str = field(repr=False, compare=False)

    def place_of(self, pointer: str) -> Place:
        """Return the beginning of the value at an RFC 6901 pointer, or of its nearest existing ancestor."""
        while pointer not in self._place_by_pointer:
            pointer = pointer.rpartition("/")[0]
        return self._place_by_pointer[pointer]

    def place_within(self, pointer: str, line: int, column: int) -> Place | None:
        """Return the place in the document of a line and column of the text at `pointer`, or None."""
        value, start = self._value_by_pointer.get(pointer, (None, Place(1, 1)))
        if not isinstance(value, str):
            return None
        lines = value.splitlines(keepends=True)
        offset = sum(map(len, lines[: line - 1])) + column - 1
        if line > max(len(lines), 1) or offset > len(value):
            return None
        wanted = offset_in_text(self._text, self._line_starts[start.line - 1] + start.column - 1, value, offset)
        if wanted is None:
            return None
        found = bisect_right(self._line_starts, wanted)
        return Place(found, wanted - self._line_starts[found - 1] + 1)

    def located(self, error: FieldError) -> FieldError:
        """Return `error` with its line and column in the document, which replace those within a value."""
        if error.line is not None and error.column is not None:
            exact = self.place_within(error.pointer, error.line, error.column)
            if exact is not None:
                said = f"line {error.line}, column {error.column}: "
                return replace(error, detail=error.detail.replace(said, "", 1), line=exact.line, column=exact.column)
        line, column = self.place_of(error.pointer)
        return replace(error, line=line, column=column)

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(found.end() for found in _LINE_BREAK.finditer(self._text))]

    @cached_property
    def _value_by_pointer(self) -> dict[str, tuple[Any, Place]]:
        places = map(Place, self._value_lines, self._value_columns)
        return dict(zip(_pointers(self.value, ""), zip(_values(self.value), places, strict=True), strict=True))

    @cached_property
    def _place_by_pointer(self) -> dict[str, Place]:
        places = map(Place, self._lines, self._columns)
        return dict(zip(_pointers(self.value, ""), places, strict=True))


def load_documents(text: str, *, source: str) -> list[Document]:
    """Return the documents of a YAML stream, or the one JSON value, in `text`, without empty documents.

    `source` is the name in errors (`file:line:column: reason`). Raise `DocumentInvalid`.
    """
    return list(_Reader(text, source).documents())


def _pointers(value: Any, pointer: str) -> Iterator[str]:
    yield pointer
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _pointers(child, f"{pointer}/{_token(key)}")
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _pointers(child, f"{pointer}/{index}")


def _values(value: Any) -> Iterator[Any]:
    """Yield the values in the order of `_pointers`."""
    yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _values(child)


def _token(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


class _Disguise:
    r"""Substitution of characters that the parser mishandles by unused private-use characters, and back.

    YAML 1.1 folds some as line breaks (U+0085, U+2028, U+2029) and refuses others that JSON allows (U+007F to U+009F,
    U+FFFE, U+FFFF, U+FEFF). JSON's surrogate pairs (`\ud83d\ude00`) are one character in double quotes and plain text
    elsewhere.
    """

    _RAW: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
    _PAIR: Final = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
    _ESCAPE: Final = re.compile(rf"({_PAIR.pattern})|\\.", re.DOTALL)

    def __init__(self, text: str) -> None:
        self.text = text
        self._in_quotes: dict[int, str] = {}
        self._elsewhere: dict[int, str] = {}
        raw = set(self._RAW.findall(text))
        pairs = {pair for pair in self._ESCAPE.findall(text) if pair} if self._PAIR.search(text) else set()
        if not raw and not pairs:
            return
        present = set(text)
        free = (chr(code) for code in (*range(0xE000, 0xF900), *range(0xF0000, 0xFFFFE)) if chr(code) not in present)
        stand_ins = dict(zip(sorted(raw | pairs), free, strict=False))
        for original, stand_in in stand_ins.items():
            self._elsewhere[ord(stand_in)] = original
            self._in_quotes[ord(stand_in)] = _joined(original) if original in pairs else original
        if pairs:
            text = self._ESCAPE.sub(lambda match: stand_ins.get(match[1] or "", match[0]), text)
        self.text = text.translate({ord(character): stand_ins[character] for character in raw})

    def remove(self, value: str, *, double_quoted: bool) -> str:
        if not self._elsewhere:
            return value
        return value.translate(self._in_quotes if double_quoted else self._elsewhere)


def _joined(pair: str) -> str:
    high, low = int(pair[2:6], 16), int(pair[8:12], 16)
    return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))


class _Reader:
    """Builder of values from the parser's events. The parser's own constructors are ten times slower and lenient."""

    def __init__(self, text: str, source: str) -> None:
        self._source = source
        self._written = _LINE_BREAK.split(text.removeprefix("\ufeff"))
        self._first_line = 0
        self._disguise = _Disguise(text.removeprefix("\ufeff"))
        self._begin(1)

    def documents(self) -> Iterator[Document]:
        text = self._disguise.text
        try:
            for event in yaml.parse(text, Loader=yaml.CSafeLoader):
                if isinstance(event, yaml.DocumentEndEvent):
                    written = self._written_until(event.end_mark.line if event.end_mark else self._line)
                    if not self._is_empty:
                        yield Document(
                            self._root,
                            self._source,
                            written,
                            self._lines,
                            self._columns,
                            self._value_lines,
                            self._value_columns,
                            text,
                        )
                    self._begin(self._line)
                else:
                    self._take(event)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = (mark.line + 1, mark.column + 1) if mark else (self._line, self._column)
            self._refuse(_in_words(error, self._written, *place), *place)
        except yaml.reader.ReaderError as error:
            self._refuse(
                f"The character U+{error.character:04X} is not allowed.", text.count("\n", 0, error.position) + 1
            )
        except UnicodeEncodeError as error:
            self._refuse("A lone surrogate is no Unicode text.", text.count("\n", 0, error.start) + 1)

    def _written_until(self, line: int) -> str:
        """Return the lines since the last document, without those that only separate documents."""
        end = line if line > self._first_line else line + 1
        lines = [text for text in self._written[self._first_line : end] if text.rstrip() not in ("---", "...")]
        self._first_line = end
        return "\n".join(lines).strip("\n") + "\n"

    def _begin(self, line: int) -> None:
        self._root: Any = None
        self._is_empty = True
        self._open: list[dict[str, Any] | list[Any]] = []
        self._keys: list[str] = []
        self._awaits_key: list[bool] = []
        self._lines: array[int] = array("L")
        self._columns: array[int] = array("L")
        self._value_lines: array[int] = array("L")
        self._value_columns: array[int] = array("L")
        self._line = line
        self._column = 1

    def _take(self, event: yaml.Event) -> None:
        if event.start_mark is not None:
            self._line = event.start_mark.line + 1
            self._column = event.start_mark.column + 1
        if isinstance(event, yaml.ScalarEvent):
            self._take_scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._take_start(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
            self._keys.pop()
            self._awaits_key.pop()
        elif isinstance(event, yaml.AliasEvent):
            self._refuse("Aliases are not read. Write the value out.")

    def _take_start(self, event: yaml.CollectionStartEvent) -> None:
        if event.tag is not None:
            self._refuse("Tags are not read. Leave it out.")
        if len(self._open) >= MAX_DEPTH:
            self._refuse(f"It is nested deeper than {MAX_DEPTH} levels. Flatten it.")
        if self._awaits_key and self._awaits_key[-1]:
            self._refuse("A key must be a string.")
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        container: dict[str, Any] | list[Any] = {} if is_mapping else []
        self._add(container)
        self._open.append(container)
        self._keys.append("")
        self._awaits_key.append(is_mapping)

    def _take_scalar(self, event: yaml.ScalarEvent) -> None:
        if event.tag is not None:
            self._refuse("Tags are not read. Quote text, and leave the tag out.")
        text = event.value
        is_plain = event.implicit[0]
        value = self._plain(text) if is_plain else self._text(text, double_quoted=event.style == '"')
        if self._awaits_key and self._awaits_key[-1]:
            self._take_key(value, is_merge=is_plain and text == "<<")
        elif self._open or text or not is_plain:
            self._add(value)

    def _take_key(self, value: Any, *, is_merge: bool) -> None:
        if not isinstance(value, str):
            self._refuse("A key must be a string. Quote it.")
        if is_merge:
            self._refuse("Merge keys are not read. Write the members out.")
        if value in self._open[-1]:
            self._refuse(f"The key {value[:100]!r} occurs twice in one object.")
        self._keys[-1] = value
        self._awaits_key[-1] = False
        self._lines.append(self._line)
        self._columns.append(self._column)

    def _add(self, value: Any) -> None:
        top = self._open[-1] if self._open else None
        self._value_lines.append(self._line)
        self._value_columns.append(self._column)
        if isinstance(top, dict):
            top[self._keys[-1]] = value
            self._awaits_key[-1] = True
            return
        if top is None:
            self._root = value
            self._is_empty = False
        else:
            top.append(value)
        self._lines.append(self._line)
        self._columns.append(self._column)

    def _plain(self, text: str) -> Any:
        if text in _WORDS:
            return _WORDS[text]
        if text[0] not in _NUMBER_STARTS:
            return self._text(text, double_quoted=False)
        if _INTEGER.fullmatch(text):
            value = (
                int(text, 0 if text[1:2] in ("o", "x") else 10) if len(text) <= _MAX_INTEGER_LENGTH else MAX_INTEGER + 1
            )
            if not -MAX_INTEGER <= value <= MAX_INTEGER:
                self._refuse("An integer lies beyond ±(2^53 - 1). Send it as a string.")
            return value
        if _NOT_FINITE.fullmatch(text):
            self._refuse("A number is not a finite double. Send it as a string.")
        if not _FLOAT.fullmatch(text):
            return self._text(text, double_quoted=False)
        try:
            return check_double(float(text))
        except JsonNotInteroperable as error:
            self._refuse(error.detail)

    def _text(self, text: str, *, double_quoted: bool) -> str:
        if "\x00" in text:
            self._refuse("A string holds U+0000, which cannot be stored. Remove it.")
        return self._disguise.remove(text, double_quoted=double_quoted)

    def _refuse(self, reason: str, line: int | None = None, column: int | None = None) -> NoReturn:
        place = (line, column or 1) if line else (self._line, self._column)
        detail = f"{self._source}:{place[0]}:{place[1]}: {reason}"
        raise DocumentInvalid(detail, errors=[FieldError(self._pointer(), detail, "invalid", *place)]) from None

    def _pointer(self) -> str:
        """Return the pointer of the value that comes next, or of the object if a key comes next."""
        tokens = [
            str(len(container) - 1) if isinstance(container, list) else _token(key)
            for container, key in zip(self._open, self._keys, strict=True)
        ]
        if tokens and isinstance(self._open[-1], list):
            tokens[-1] = str(len(self._open[-1]))
        elif tokens and self._awaits_key[-1]:
            tokens.pop()
        return "".join(f"/{token}" for token in tokens)


def _in_words(error: yaml.MarkedYAMLError, lines: Sequence[str], line: int, column: int) -> str:
    """Return the cause of a syntax error and what to do, for people who do not know YAML's terms."""
    problem = str(error.problem or error)
    if "invalid Unicode character escape" in problem:
        return "A lone surrogate or an escape beyond U+10FFFF is no Unicode text. Remove it."
    text = lines[line - 1] if line <= len(lines) else ""
    at = text[column - 1 : column]
    if "\t" in (at, text[: len(text) - len(text.lstrip())][-1:]):
        return "A tab indents this line. YAML allows only spaces there."
    if at == ":" and _LONG_KEY.search(text, 0, column - 1):
        return "A key has more than 1,024 characters. Shorten it."
    if "cannot start any token" in problem and at:
        return f"A value must not begin with {at}. Quote it."
    for cause, said in _CAUSES:
        if cause in problem or cause in str(error.context or ""):
            return said
    context = f", {error.context}" if error.context else ""
    return f"It is neither YAML nor JSON: {problem}{context}."


_LONG_KEY: Final = re.compile(r"""("([^"\\]|\\.){1023,}"|'[^']{1023,}')$""")
_CAUSES: Final = (
    ("mapping values are not allowed", "A colon with a blank is not allowed here. Quote text that contains one."),
    ("unexpected end of stream", "A quotation mark is not closed. Close it."),
    ("while parsing a flow", "A bracket is not closed, or a comma is missing. Add it."),
    ("while parsing a block", "The indentation fits no line above. Indent entries of one object or list alike."),
    ("could not find expected ':'", "A colon with a blank is missing after a key. Add it."),
)
"""Parts of the parser's messages, and what they mean."""
