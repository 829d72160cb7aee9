"""Fields of a form: widgets from schemas, texts from values, and values from texts.

A value that was typed is the text of an input element. Reading it returns a JSON value, or `MISSING` for an empty one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Final

from django.utils.translation import gettext as _

from policies.documents.annotations import KEYWORD, is_known_currency
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.json.strict import MAX_INTEGER, check_strings, parse_json
from threada_site.kernel.media_types import KNOWN, endings_of
from workitems.portal.amounts import major_units, minor_units
from workitems.portal.nodes import MISSING
from workitems.portal.schema_parts import Schema, choices_of

_LONG: Final = 200
"""Length from which a text has an area of several lines."""
_INPUT_TYPES: Final = {"date": "date", "time": "time", "email": "email", "uri": "url", "date-time": "datetime-local"}
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,17}")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,17}(?:\.[0-9]{1,17})?(?:[eE][+-]?[0-9]{1,3})?")


class UnreadableError(Exception):
    """A typed text that is no value of its field; the message is for the person."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """How a field is shown, how a value becomes its texts, and how its texts become a value."""

    kind: str
    read: Callable[[tuple[str, ...]], Any]
    write: Callable[[Any], tuple[str, ...]]
    attributes: Mapping[str, Any]
    choices: tuple[tuple[str, str], ...] = ()
    help: str = ""


def leaf_of(
    schema: Schema, kind: str, *, required: bool, nullable: bool, zone: tzinfo, currency: Callable[[Any], Any]
) -> Leaf:
    """Return the field for a schema of the type `kind`. `currency` returns the currency that an annotation names."""
    leaf = _leaf(schema, kind, required=required, zone=zone, currency=currency)
    if not (required and nullable):
        return leaf

    def read(texts: tuple[str, ...]) -> Any:
        value = leaf.read(texts)
        return None if value is MISSING else value

    return Leaf(leaf.kind, read, leaf.write, leaf.attributes, leaf.choices, leaf.help)


def json_leaf(rows: int = 4) -> Leaf:
    """Return the editor of a JSON value."""
    return Leaf("json", _read_json, _write_json, {"rows": rows})


def file_leaf(annotation: Mapping[str, Any]) -> Leaf:
    """Return the field of an attachment. Its text is the id of a file that was uploaded with the form."""

    def read(texts: tuple[str, ...]) -> Any:
        text = next((text for text in reversed(texts) if text.strip()), "")
        return {"attachment_id": text} if text else MISSING

    def write(value: Any) -> tuple[str, ...]:
        named = value.get("attachment_id") if isinstance(value, Mapping) else None
        return (named,) if isinstance(named, str) else ()

    types = tuple(annotation.get("types", ()))
    attributes = {"types": types, "most": annotation.get("max_bytes"), "accept": endings_of(types or KNOWN)}
    return Leaf("file", read, write, attributes)


def annotated_file(schema: Schema) -> Mapping[str, Any] | None:
    """Return the annotation of a field of the format `file`, or None."""
    annotation = schema.get(KEYWORD)
    return annotation if isinstance(annotation, Mapping) and annotation.get("format") == "file" else None


def choices_leaf(choices: tuple[tuple[str, str], ...], *, required: bool) -> Leaf:
    """Return the boxes of a list of distinct choices."""

    def read(texts: tuple[str, ...]) -> Any:
        values = [_read_json((text,)) for text in texts]
        return values if values or required else MISSING

    def write(value: Any) -> tuple[str, ...]:
        return tuple(json.dumps(part, ensure_ascii=False) for part in value) if isinstance(value, list) else ()

    return Leaf("choices", read, write, {}, choices)


def is_money(schema: Schema) -> bool:
    """Return True if a schema annotates an amount of money in minor units."""
    annotation = schema.get(KEYWORD)
    return isinstance(annotation, Mapping) and annotation.get("format") == "money"


def _leaf(schema: Schema, kind: str, *, required: bool, zone: tzinfo, currency: Callable[[Any], Any]) -> Leaf:
    choices = choices_of(schema)
    if choices:
        return Leaf("choice", _read_choice, lambda value: (json.dumps(value, ensure_ascii=False),), {}, choices)
    if kind == "boolean":
        return _boolean(schema, required=required)
    if kind == "integer" and is_money(schema):
        return _money(schema[KEYWORD].get("currency"), currency)
    if kind in ("integer", "number"):
        return _number(schema, kind)
    return _text(schema, zone)


def _boolean(schema: Schema, *, required: bool) -> Leaf:
    if required or "default" in schema:
        return Leaf("check", bool, lambda value: ("on",) if value else (), {})
    choices = (("true", _("Yes")), ("false", _("No")))
    return Leaf("choice", _read_choice, lambda value: (json.dumps(value),), {}, choices)


def _number(schema: Schema, kind: str) -> Leaf:
    step = schema.get("multipleOf", 1 if kind == "integer" else "any")
    limits = {"min": schema.get("minimum"), "max": schema.get("maximum"), "step": step}
    attributes = {name: value for name, value in limits.items() if value is not None}
    read = _read_integer if kind == "integer" else _read_number
    return Leaf("input", _of_text(read), _written_number, {"type": "number", **attributes})


def _money(named: Any, currency_of: Callable[[Any], Any]) -> Leaf:
    code = currency_of(named)
    is_known = isinstance(code, str) and is_known_currency(code)

    def read(text: str) -> Any:
        if not is_known:
            raise UnreadableError(_("Choose the currency first."))
        minor = minor_units(text, code)
        if minor is None or abs(minor) > MAX_INTEGER:
            raise UnreadableError(
                _("Write an amount in %(currency)s without separators of thousands, for example 1250.50.")
                % {"currency": code}
                if minor_units("0.01", code) is not None
                else _("Write a whole amount in %(currency)s, for example 1250.") % {"currency": code}
            )
        return minor

    def write(value: Any) -> tuple[str, ...]:
        is_amount = isinstance(value, int) and not isinstance(value, bool) and is_known
        return (major_units(value, code),) if is_amount else ()

    attributes = {"type": "text", "inputmode": "decimal", "autocomplete": "off", "unit": code if is_known else ""}
    return Leaf("input", _of_text(read), write, attributes)


def _text(schema: Schema, zone: tzinfo) -> Leaf:
    longest, format_ = schema.get("maxLength"), schema.get("format")
    attributes: dict[str, Any] = {"maxlength": longest, "minlength": schema.get("minLength")}
    if format_ == "date-time":
        read: Callable[[str], Any] = lambda text: _read_instant(text, zone)  # noqa: E731
        return Leaf("input", _of_text(read), lambda value: _write_instant(value, zone), {"type": "datetime-local"})
    if format_ in _INPUT_TYPES:
        return Leaf("input", _of_text(_read_text), _write_text, {"type": _INPUT_TYPES[format_], **_given(attributes)})
    if longest is None or longest > _LONG:
        kind = "area" if longest is not None else "input"
        return Leaf(kind, _of_text(_read_text), _write_text, {"type": "text", "rows": 4, **_given(attributes)})
    return Leaf("input", _of_text(_read_text), _write_text, {"type": "text", **_given(attributes)})


def _given(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if isinstance(value, int) and value >= 1}


def _of_text(read: Callable[[str], Any]) -> Callable[[tuple[str, ...]], Any]:
    """Return a reader of the last text, for which an empty one is missing."""

    def reader(texts: tuple[str, ...]) -> Any:
        text = texts[-1] if texts else ""
        return read(text) if text.strip() else MISSING

    return reader


def _read_text(text: str) -> str:
    text = text.replace("\r\n", "\n").strip()
    try:
        check_strings(text)
    except ThreadaError:
        raise UnreadableError(_("The text contains characters that cannot be stored.")) from None
    return text


def _write_text(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else ()


def _read_integer(text: str) -> int:
    value = int(text) if _INTEGER.fullmatch(text.strip()) else None
    if value is None or abs(value) > MAX_INTEGER:
        raise UnreadableError(_("Write a whole number."))
    return value


def _read_number(text: str) -> int | float:
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        raise UnreadableError(_("Write a number, for example 12.5."))
    value = float(text)
    if abs(value) > MAX_INTEGER:
        raise UnreadableError(_("The number is too large."))
    return int(text) if _INTEGER.fullmatch(text) else value


def _written_number(value: Any) -> tuple[str, ...]:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return (json.dumps(value),) if is_number else ()


def _read_choice(texts: tuple[str, ...]) -> Any:
    text = texts[-1] if texts else ""
    return _read_json((text,)) if text else MISSING


def _read_instant(text: str, zone: tzinfo) -> str:
    try:
        value = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UnreadableError(_("Write a date and a time.")) from None
    try:
        return rfc3339(value if value.tzinfo else value.replace(tzinfo=zone))
    except (OverflowError, ValueError):
        raise UnreadableError(_("Write a date and a time.")) from None


def _write_instant(value: Any, zone: tzinfo) -> tuple[str, ...]:
    try:
        read = datetime.fromisoformat(value)
        local = read.astimezone(zone) if read.tzinfo else read
    except (TypeError, ValueError, OverflowError):
        return ()
    return (f"{local:%Y-%m-%dT%H:%M}",)


def _read_json(texts: tuple[str, ...]) -> Any:
    text = texts[-1] if texts else ""
    if not text.strip():
        return MISSING
    try:
        return parse_json(text.encode())
    except ThreadaError as error:
        raise UnreadableError(error.detail.replace("The body", _("The text"))) from None
    except UnicodeEncodeError:
        raise UnreadableError(_("The text contains characters that cannot be stored.")) from None


def _write_json(value: Any) -> tuple[str, ...]:
    return (json.dumps(value, ensure_ascii=False, indent=2),)
