"""Form of a payload schema: fields in order, with what was typed, and the payload that it is.

The form depends on what was typed: lists have the rows that were added, and conditions (`if`) add members. Schemas that
a form cannot show are edited as JSON, in part or as a whole. The number of fields and the work are limited.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo
from typing import Any, Final

from django.utils.translation import gettext as _

from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.pointers import pointer_to
from workitems.portal.entered import Entered
from workitems.portal.leaves import (
    Leaf,
    UnreadableError,
    annotated_file,
    choices_leaf,
    file_leaf,
    json_leaf,
    leaf_of,
)
from workitems.portal.nodes import MISSING, Node, key_of
from workitems.portal.schema_parts import (
    InexpressibleError,
    Members,
    Schema,
    SchemaReader,
    TooLargeError,
    choices_of,
    help_in,
    kind_of,
    label_in,
)

MAX_FIELDS: Final = 200
MAX_ROWS: Final = 50
MAX_DEPTH: Final = 6
_MAX_WORK: Final = 4_000
"""Nodes that are built for one form, also those that are built again because a condition changed."""
MAX_CHARACTERS: Final = 1_000_000
"""Characters of labels, help, choices and given values in one form. References can repeat long ones."""
_MAX_ROUNDS: Final = 4
_JSON_ROWS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Place in the form: its pointer and member name, the given value, and the objects on the way to it.

    `references` are the references followed on the way; one that returns would never end.
    """

    pointer: str = ""
    key: str = ""
    required: bool = True
    given: Any = MISSING
    depth: int = 0
    references: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class Form:
    """Form with its payload. `errors` are errors that belong to no field."""

    root: Node
    errors: list[str] = field(default_factory=list)
    changes: bool = False
    """True if fields depend on the values of others."""

    @property
    def payload(self) -> Any:
        return {} if self.root.value is MISSING else self.root.value

    @property
    def is_readable(self) -> bool:
        """Return True if every typed text is a value."""
        return not any(node.unreadable for node in self.root.walk())

    @property
    def fields(self) -> dict[str, Node]:
        """Return the fields that a person can fill in, by pointer."""
        return {node.pointer: node for node in self.root.walk() if node.is_field}

    @property
    def has_files(self) -> bool:
        return any(node.kind == "file" for node in self.root.walk())

    @property
    def with_errors(self) -> list[Node]:
        return [node for node in self.root.walk() if node.errors]

    def place_errors(self, errors: list[FieldError], *, below: str = "/payload") -> None:
        """Add errors of the validator to their fields, or to the nearest part that contains the place."""
        nodes = {node.pointer: node for node in self.root.walk()}
        for error in errors:
            place = error.pointer.removeprefix(below)
            while place and place not in nodes:
                place = place.rpartition("/")[0]
            node = nodes[place]
            is_partial = node.kind == "list" and any(row.unreadable for row in node.children)
            if node.unreadable or is_partial or error.detail in node.errors:
                continue
            if node is self.root and node.kind == "group":
                self.errors.append(error.detail)
            elif node.kind == "json" and error.pointer != f"{below}{place}":
                node.errors.append(f"{error.pointer.removeprefix(below + place)}: {error.detail}")
            else:
                node.errors.append(_("Enter a value.") if error.code == "required" else error.detail)


def build_form(
    schema: Schema,
    entered: Entered | None = None,
    *,
    assert_format: bool = False,
    zone: tzinfo = UTC,
    given: Any = MISSING,
) -> Form:
    """Return the form of a payload schema. `given` is a payload whose values are shown where nothing was typed."""
    entered = entered or Entered()
    builder = _Builder(schema, entered, assert_format=assert_format, zone=zone)
    try:
        root = builder.node(schema, _Place(given=given))
        if sum(1 for node in root.walk() if node.is_field) > MAX_FIELDS:
            raise TooLargeError
    except TooLargeError:
        builder = _Builder(schema, entered, assert_format=assert_format, zone=zone)
        root = builder.field_of(json_leaf(_JSON_ROWS), schema, _Place(given=given))
    builder.mark_currencies(root)
    return Form(root=root, changes=builder.changes)


class _Builder:
    def __init__(self, root: Schema, entered: Entered, *, assert_format: bool, zone: tzinfo) -> None:
        self._reader = SchemaReader(root, assert_format=assert_format)
        self._entered = entered
        self._zone = zone
        self._work = 0
        self._characters = 0
        self._top: Mapping[str, Any] = {}
        self._currencies: set[str] = set()
        self.changes = False

    def node(self, schema: Any, at: _Place) -> Node:
        """Return the part of the form for a schema at a place."""
        self._work += 1
        if self._work > _MAX_WORK:
            raise TooLargeError
        own: Schema = schema if isinstance(schema, Mapping) else {}
        try:
            own, followed = self._reader.resolved(schema)
            if at.given is MISSING and "default" in own:
                at = replace(at, given=own["default"])
            if "const" in own:
                return self._constant(own, at)
            kind, nullable = kind_of(own)
            if at.depth > MAX_DEPTH or (kind == "object" and set(followed) & set(at.references)):
                raise InexpressibleError
            annotation = annotated_file(own) if kind == "object" else None
            if annotation is not None:
                return self.field_of(file_leaf(annotation), own, at)
            if kind == "object":
                return self._group(own, replace(at, references=(*at.references, *followed)))
            if kind == "array":
                return self._list(own, at)
            if ("oneOf" in own or "anyOf" in own) and not choices_of(own):
                raise InexpressibleError
            leaf = self._leaf(own, kind, at, nullable=nullable)
        except InexpressibleError:
            leaf = json_leaf(4 if at.pointer else _JSON_ROWS)
        return self.field_of(leaf, own, at)

    def field_of(self, leaf: Leaf, schema: Schema, at: _Place) -> Node:
        """Return a field with what was typed, or else with the given value."""
        texts = self._entered.texts_at(at.pointer)
        if not self._entered.was_shown(at.pointer):
            texts = () if at.given is MISSING else leaf.write(at.given)
            self._weigh(*texts)
        self._weigh(help_in(schema), *(part for choice in leaf.choices for part in choice))
        node = Node(
            pointer=at.pointer,
            kind=leaf.kind,
            label=label_in(schema, at.key) if at.pointer else _("Request"),
            help=help_in(schema),
            required=at.required and leaf.kind != "check",
            texts=texts,
            attributes=leaf.attributes,
            choices=leaf.choices,
        )
        try:
            node.value = leaf.read(texts)
        except UnreadableError as error:
            node.unreadable = True
            node.errors.append(str(error))
        return node

    def mark_currencies(self, root: Node) -> None:
        """Mark the fields with currencies: amounts are read and shown by them."""
        for node in root.walk():
            if node.pointer in self._currencies and node.is_field:
                node.changes_form = self.changes = True

    def _weigh(self, *texts: str) -> None:
        """Count the characters of texts that the form shows. Raise `TooLargeError` beyond `MAX_CHARACTERS`."""
        self._characters += sum(map(len, texts))
        if self._characters > MAX_CHARACTERS:
            raise TooLargeError

    def _leaf(self, schema: Schema, kind: str, at: _Place, *, nullable: bool) -> Leaf:
        return leaf_of(schema, kind, required=at.required, nullable=nullable, zone=self._zone, currency=self._currency)

    def _constant(self, schema: Schema, at: _Place) -> Node:
        """Return a value that the schema fixes: part of the payload if it is required, else a choice."""
        fixed = schema["const"]
        if not at.required:
            either = {**{name: part for name, part in schema.items() if name != "const"}, "enum": [fixed]}
            return self.field_of(self._leaf(either, "string", at, nullable=False), schema, at)
        texts = (fixed,) if isinstance(fixed, str) else json_leaf().write(fixed)
        self._weigh(help_in(schema), *texts)
        return Node(
            pointer=at.pointer,
            kind="constant",
            label=label_in(schema, at.key),
            help=help_in(schema),
            required=True,
            value=fixed,
            texts=texts,
        )

    def _group(self, schema: Schema, at: _Place) -> Node:
        value: Any = {}
        before: Members | None = None
        children: tuple[Node, ...] = ()
        for _round in range(_MAX_ROUNDS):
            members = self._reader.members(schema, value)
            if before is not None and (members.properties, members.required) == (before.properties, before.required):
                break
            if len(members.properties) > MAX_FIELDS:
                raise TooLargeError
            self._weigh(help_in(schema))
            before = members
            children = self._children(members, at)
            value = {key_of(child): child.value for child in children if child.value is not MISSING}
            if not members.conditions:
                break
            self.changes = True
        for child in children:
            child.changes_form = before is not None and key_of(child) in before.deciding
        is_empty = not any(_is_filled(child) for child in children)
        return Node(
            pointer=at.pointer,
            kind="group",
            label=label_in(schema, at.key) if at.pointer else "",
            help=help_in(schema) if at.pointer else "",
            required=at.required,
            value=MISSING if is_empty and not at.required else value,
            children=children,
        )

    def _children(self, members: Members, at: _Place) -> tuple[Node, ...]:
        known = at.given if isinstance(at.given, Mapping) else {}
        if not at.pointer:
            self._top = members.properties
        return tuple(
            self.node(
                schema,
                _Place(
                    pointer=pointer_to(at.pointer, name),
                    key=name,
                    required=name in members.required and at.required,
                    given=known.get(name, MISSING),
                    depth=at.depth + 1,
                    references=at.references,
                ),
            )
            for name, schema in members.properties.items()
        )

    def _currency(self, named: Any) -> Any:
        """Return the currency of an amount: a code, or the value typed at the pointer `{pointer: /currency}`."""
        if not isinstance(named, Mapping):
            return named
        pointer = str(named.get("pointer", ""))
        self._currencies.add(pointer)
        if self._entered.was_shown(pointer):
            return self._entered.text(pointer).strip().strip('"')
        schema: Any = self._top
        for token in pointer.split("/")[1:]:
            part = schema.get(token, {}) if isinstance(schema, Mapping) else {}
            schema = part.get("properties", part) if isinstance(part, Mapping) else {}
        return schema.get("default", schema.get("const")) if isinstance(schema, Mapping) else None

    def _list(self, schema: Schema, at: _Place) -> Node:
        items = schema.get("items", True)
        if "prefixItems" in schema or not isinstance(items, Mapping):
            raise InexpressibleError
        choices = choices_of(self._reader.resolved(items)[0])
        if choices and schema.get("uniqueItems"):
            return self.field_of(choices_leaf(choices, required=at.required), schema, at)
        rows = self._rows(schema, items, at)
        value = [row.value for row in rows if row.value is not MISSING]
        return Node(
            pointer=at.pointer,
            kind="list",
            label=label_in(schema, at.key) if at.pointer else _("Request"),
            help=help_in(schema),
            required=at.required,
            value=MISSING if not rows and not at.required else value,
            children=rows,
            most_rows=_most_rows(schema),
        )

    def _rows(self, schema: Schema, items: Schema, at: _Place) -> tuple[Node, ...]:
        known = at.given if isinstance(at.given, list) else []
        count = self._entered.rows_of(at.pointer)
        if not count and not self._entered.was_shown(at.pointer):
            least = schema.get("minItems", 0) if at.required else 0
            count = max(len(known), int(least))
        rows = []
        for index in range(min(count, _most_rows(schema))):
            given = known[index] if index < len(known) else MISSING
            place = _Place(pointer=f"{at.pointer}/{index}", key=str(index + 1), given=given, depth=at.depth + 1)
            row = self.node(items, place)
            row.is_row = True
            row.label = f"{label_in(schema, at.key)} {index + 1}"
            if row.value is MISSING and not row.unreadable:
                row.unreadable = True
                row.errors.append(_("Enter a value, or remove the row."))
            rows.append(row)
        return tuple(rows)


def _most_rows(schema: Schema) -> int:
    return min(int(schema.get("maxItems", MAX_ROWS)), MAX_ROWS)


def _is_filled(node: Node) -> bool:
    """Return True if a person gave a value: constants and boxes that are not ticked do not fill an optional group."""
    if node.kind == "constant" or (node.kind == "check" and not node.texts):
        return False
    if node.unreadable:
        return True
    if node.kind in ("group", "list"):
        return any(_is_filled(child) for child in node.children)
    return node.value is not MISSING
