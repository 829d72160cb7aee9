"""Reader of XML documents that strangers send: without DTD and entities, and bounded in size and depth.

Imports no Django.
"""

from __future__ import annotations

from typing import Final
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

MOST_BYTES: Final = 256 * 1024
_MOST_DEPTH: Final = 32
_MOST_ELEMENTS: Final = 10_000
_MOST_ATTRIBUTES: Final = 32
_MOST_NAMESPACES: Final = 64
"""Namespaces in scope at once: canonical XML compares them with each other."""


class XmlRefused(ValueError):
    """A document is not read. The text says why, as the end of a sentence.

    `is_markup`: it contains a DTD, an entity, a comment or a processing instruction.
    """

    def __init__(self, why: str, *, is_markup: bool = False) -> None:
        super().__init__(why)
        self.is_markup = is_markup


def read_xml(data: bytes, *, ignores_comments: bool = False) -> Element:
    """Return the root of a document in UTF-8, with names as `{namespace}local`. Raise `XmlRefused`.

    Comments are refused, or ignored if `ignores_comments`.
    """
    if len(data) > MOST_BYTES:
        raise XmlRefused(f"it has more than {MOST_BYTES // 1024} kB")
    reader = _Reader()
    parser = expat.ParserCreate(encoding="utf-8", namespace_separator="}")
    parser.ordered_attributes = True
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.tree.data
    parser.StartNamespaceDeclHandler = reader.start_namespace
    parser.EndNamespaceDeclHandler = reader.end_namespace
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.ProcessingInstructionHandler = _refuse_instruction
    if not ignores_comments:
        parser.CommentHandler = _refuse_comment
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise XmlRefused(f"it is no XML: {expat.ErrorString(error.code)}") from None
    return reader.tree.close()


class _Reader:
    def __init__(self) -> None:
        self.tree = TreeBuilder()
        self._depth = self._elements = self._namespaces = 0

    def start(self, name: str, attributes: list[str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth > _MOST_DEPTH:
            raise XmlRefused(f"it is more than {_MOST_DEPTH} elements deep")
        if self._elements > _MOST_ELEMENTS:
            raise XmlRefused(f"it has more than {_MOST_ELEMENTS} elements")
        if len(attributes) > 2 * _MOST_ATTRIBUTES:
            raise XmlRefused(f"an element has more than {_MOST_ATTRIBUTES} attributes")
        names = map(_tag, attributes[::2])
        self.tree.start(_tag(name), dict(zip(names, attributes[1::2], strict=True)))

    def end(self, name: str) -> None:
        self._depth -= 1
        self.tree.end(_tag(name))

    def start_namespace(self, _prefix: str | None, _uri: str | None) -> None:
        self._namespaces += 1
        if self._namespaces > _MOST_NAMESPACES:
            raise XmlRefused(f"more than {_MOST_NAMESPACES} namespaces are declared at once")

    def end_namespace(self, _prefix: str | None) -> None:
        self._namespaces -= 1


def _tag(name: str) -> str:
    return f"{{{name}" if "}" in name else name


def _refuse_doctype(*_declared: object) -> None:
    raise XmlRefused("it contains a document type definition", is_markup=True)


def _refuse_comment(_text: str) -> None:
    raise XmlRefused("it contains a comment", is_markup=True)


def _refuse_instruction(_target: str, _data: str) -> None:
    raise XmlRefused("it contains a processing instruction", is_markup=True)
