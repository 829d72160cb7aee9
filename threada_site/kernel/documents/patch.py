"""Change of a document's text, so that it says another value: comments, key order and style of the rest stay. Pure.

The text is taken apart by lines. A member of a block mapping owns the comments above it and everything up to the next
member; members move and vanish with what they own. Values that change are written again. A text that cannot be changed
in this way is replaced as a whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from threada_site.kernel.differences import BoundedMatcher, Steps
from threada_site.kernel.documents.reader import load_documents
from threada_site.kernel.documents.writer import write_document
from threada_site.kernel.errors import DocumentInvalid

_LONGEST_FLOW: Final = 100
"""Characters of a value that stays on one line."""
_COMMENT: Final = re.compile(r"(?:^|\s)(#.*)$")
_OTHER_BREAK: Final = re.compile("\r(?!\n)|[\x85\u2028\u2029]")
"""Line breaks of the parser (YAML 1.1) besides newlines: its line numbers differ from those of a text with them."""

type _Part = tuple[yaml.Node | None, yaml.Node, Any]
"""Node of the key, if any, node of the value, and the value."""


def patched(text: str, value: Any) -> str:
    """Return `text` with the changes that make it say `value`, in the order of the keys of `value`."""
    try:
        before = load_documents(text, source="document")
        if len(before) == 1:
            found = _Patch(text).of_text(before[0].value, value)
            if [_said(document.value) for document in load_documents(found, source="document")] == [_said(value)]:
                return found
    except (DocumentInvalid, yaml.YAMLError, _UnsuitableError):
        pass
    return write_document(value)


class _UnsuitableError(Exception):
    """The text has a form whose lines cannot be taken apart."""


@dataclass(frozen=True, slots=True)
class _Member:
    """Lines of a member or element: from `first`, with the comments above `start`, the line of its key or dash."""

    first: int
    start: int
    end: int
    key: yaml.Node | None
    node: yaml.Node
    value: Any


class _Patch:
    def __init__(self, text: str) -> None:
        if _OTHER_BREAK.search(text):
            raise _UnsuitableError
        self._steps = Steps()
        self._lines = text.removeprefix("\ufeff").split("\n")
        self._root: yaml.Node | None = yaml.compose("\n".join(self._lines), Loader=yaml.CSafeLoader)

    def of_text(self, before: Any, value: Any) -> str:
        if self._root is None or not _is_block(self._root, before, value):
            raise _UnsuitableError
        return "\n".join(self._collection(self._root, before, value, 0, len(self._lines)))

    def _collection(self, node: yaml.Node, before: Any, value: Any, first: int, end: int) -> list[str]:
        """Return the lines of a block mapping or sequence, which owns the lines from `first` to `end`."""
        if isinstance(node, yaml.MappingNode):
            parts: list[_Part] = [(key, child, before[key.value]) for key, child in node.value]
        else:
            parts = [(None, child, before[place]) for place, child in enumerate(node.value)]
        column = node.start_mark.column
        bottom = self._bottom(column, first, end)
        members = self._members(parts, column, first, bottom)
        above = self._lines[first : members[0].first]
        if isinstance(value, dict):
            lines = self._mapping(members, value, column)
        else:
            lines = self._sequence(members, value, column)
        return [*above, *lines, *self._lines[bottom:end]]

    def _bottom(self, column: int, first: int, end: int) -> int:
        """Return the end of a collection without empty lines and comments that are indented less than it."""
        while end > first:
            line = self._lines[end - 1]
            said = line.strip()
            if said and not (said.startswith("#") and len(line) - len(line.lstrip()) < column):
                break
            end -= 1
        return end

    def _members(self, parts: Sequence[_Part], column: int, first: int, end: int) -> list[_Member]:
        """Return the members with the lines that they own."""
        starts = [(key or node).start_mark.line for key, node, _ in parts]
        if sorted(set(starts)) != starts:
            raise _UnsuitableError
        tops = [
            self._comments_above(start, column, least) for start, least in zip(starts, [first, *starts], strict=False)
        ]
        ends = [*tops[1:], end]
        return [
            _Member(top, start, until, *part) for top, start, until, part in zip(tops, starts, ends, parts, strict=True)
        ]

    def _comments_above(self, start: int, column: int, least: int) -> int:
        """Return the first of the comments and empty lines above a line that are not indented deeper than it."""
        top = start
        while top > least:
            line = self._lines[top - 1]
            said = line.strip()
            if said and not (said.startswith("#") and len(line) - len(line.lstrip()) <= column):
                break
            top -= 1
        return top

    def _mapping(self, members: list[_Member], value: dict[str, Any], column: int) -> list[str]:
        known = {member.key.value: member for member in members if member.key is not None}
        gone: dict[str, list[_Member]] = {}
        for key, member in known.items():
            if key not in value:
                gone.setdefault(_said(member.value), []).append(member)
        lines: list[str] = []
        for key, wanted in value.items():
            if key in known:
                lines += self._changed(known[key], wanted, column)
            elif same := gone.get(_said(wanted)):
                lines += self._renamed(same.pop(0), key)
            else:
                lines += _indented(write_document({key: wanted}).splitlines(), column)
        return lines or [" " * column + "{}"]

    def _sequence(self, members: list[_Member], value: list[Any], column: int) -> list[str]:
        old, new = [_said(member.value) for member in members], [_said(wanted) for wanted in value]
        lines: list[str] = []
        for kind, low, high, start, stop in BoundedMatcher(old, new, self._steps).get_opcodes():
            if kind == "equal":
                lines += [line for member in members[low:high] for line in self._lines[member.first : member.end]]
                continue
            pairs = min(high - low, stop - start)
            for place in range(pairs):
                lines += self._changed(members[low + place], value[start + place], column)
            for wanted in value[start + pairs : stop]:
                lines += _indented(write_document([wanted]).splitlines(), column)
        return lines or [" " * column + "[]"]

    def _changed(self, member: _Member, wanted: Any, column: int) -> list[str]:
        if _said(member.value) == _said(wanted):
            return self._lines[member.first : member.end]
        above = self._lines[member.first : member.start]
        node = member.node
        if member.key is not None and _is_block(node, member.value, wanted) and node.start_mark.line > member.start:
            head = self._lines[member.start]
            return [*above, head, *self._collection(node, member.value, wanted, member.start + 1, member.end)]
        if member.key is None and _is_block(node, member.value, wanted):
            return [*above, *self._element(member, wanted, column)]
        comments = self._comments_in(member)
        text = _flow_text(node, member.value, wanted)
        if member.key is None:
            written = [f"- {text}"] if text else write_document([wanted]).splitlines()
        elif text:
            written = [f"{self._key_text(member)}: {text}"]
        else:
            written = write_document({"k": wanted}).replace("k", self._key_text(member), 1).splitlines()
        if len(comments) == 1:
            return [*above, *_indented([f"{written[0]}   {comments[0]}", *written[1:]], column)]
        return [*above, *_indented([*comments, *written], column)]

    def _element(self, member: _Member, wanted: Any, column: int) -> list[str]:
        """Return the lines of an element whose first line contains its dash and its first member."""
        line = self._lines[member.start]
        if member.node.start_mark.line != member.start:
            raise _UnsuitableError
        self._lines[member.start] = line[:column] + " " + line[column + 1 :]
        lines = self._collection(member.node, member.value, wanted, member.start, member.end)
        return [lines[0][:column] + "-" + lines[0][column + 1 :], *lines[1:]]

    def _renamed(self, member: _Member, key: str) -> list[str]:
        assert member.key is not None  # noqa: S101 - members of mappings have keys
        lines = self._lines[member.first : member.end]
        line, place = lines[member.start - member.first], member.key.start_mark.column
        written = write_document({key: 0}).rpartition(":")[0]
        lines[member.start - member.first] = line[:place] + written + line[member.key.end_mark.column :]
        return lines

    def _key_text(self, member: _Member) -> str:
        assert member.key is not None  # noqa: S101 - members of mappings have keys
        mark = member.key.start_mark
        return self._lines[mark.line][mark.column : member.key.end_mark.column]

    def _comments_in(self, member: _Member) -> list[str]:
        """Return the comments in the lines of a value that is written again."""
        lines = self._lines[member.start : member.end]
        for leaf in [*_leaves(member.node), *([member.key] if member.key is not None else [])]:
            for number in range(leaf.start_mark.line, leaf.end_mark.line + 1):
                place = number - member.start
                if not 0 <= place < len(lines):
                    continue
                low = leaf.start_mark.column if number == leaf.start_mark.line else 0
                high = leaf.end_mark.column if number == leaf.end_mark.line else len(lines[place])
                lines[place] = lines[place][:low] + "x" * (high - low) + lines[place][high:]
        return [found[1] for line in lines if (found := _COMMENT.search(line))]


def _said(value: Any) -> str:
    return json.dumps(value)


def _is_block(node: yaml.Node, before: Any, value: Any) -> bool:
    """Return True if a block collection becomes one of the same kind."""
    kind = dict if isinstance(node, yaml.MappingNode) else list if isinstance(node, yaml.SequenceNode) else None
    return kind is not None and not getattr(node, "flow_style", True) and bool(before) and isinstance(value, kind)


def _flow_text(node: yaml.Node, before: Any, value: Any) -> str:
    """Return a value in one line, if the one that it replaces is in one line; otherwise an empty text."""
    is_flow = isinstance(node, yaml.CollectionNode) and node.flow_style and bool(before)
    if not is_flow or node.start_mark.line != node.end_mark.line or not isinstance(value, dict | list):
        return ""
    text = write_document(value, in_one_line=True)
    return text if len(text) <= _LONGEST_FLOW else ""


def _leaves(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            yield from _leaves(key)
            yield from _leaves(child)
    else:
        for child in node.value:
            yield from _leaves(child)


def _indented(lines: Sequence[str], column: int) -> list[str]:
    return [" " * column + line if line else line for line in lines]
