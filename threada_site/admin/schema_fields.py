"""Form fields from the JSON Schema of a document's spec: labels, help, choices and limits.

Texts, numbers, choices, lists of texts and objects of texts become fields. Everything else is entered as YAML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext

from threada_site.admin import html
from threada_site.admin.documents import as_yaml, one_document
from threada_site.admin.forms import CodeArea
from threada_site.kernel.documents.structure import Schema
from threada_site.kernel.errors import DocumentInvalid
from threada_site.kernel.json.pointers import pointer_to

_ABBREVIATIONS: Final = {
    "acr": "ACR",
    "id": "id",
    "jwks": "JWKS",
    "url": "URL",
    "oidc": "OIDC",
    "saml": "SAML",
    "scim": "SCIM",
}
_LONG: Final = 1000
"""Length from which a text has an area of several lines."""
_LEFT_OUT: Final[tuple[Any, ...]] = (None, "", [], {})


@dataclass(frozen=True)
class SpecField:
    """A form field for the value at `path` of a spec. `read` returns the value from cleaned data."""

    path: tuple[str, ...]
    schema: Schema
    field: forms.Field
    initial: Callable[[Any], Any]
    read: Callable[[Any], Any]
    is_yaml: bool = False

    @property
    def name(self) -> str:
        return "__".join(self.path)

    @property
    def pointer(self) -> str:
        return pointer_to("", *self.path)

    def value_in(self, spec: Mapping[str, Any]) -> Any:
        """Return the value in `spec`, or None."""
        found: Any = spec
        for key in self.path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

    def initial_in(self, spec: Mapping[str, Any]) -> Any:
        """Return the initial value of the field for a spec."""
        value = self.value_in(spec)
        return None if value is None else self.initial(value)

    def change(self, spec: dict[str, Any], cleaned: Any) -> None:
        """Put the entered value into `spec`. A default that was left out before stays left out."""
        value, before = self.read(cleaned), self.value_in(spec)
        if value == before:
            return
        is_default = before is None and value == self.schema.get("default")
        *parents, last = self.path
        for key in parents:
            spec = spec.setdefault(key, {})
        if value in _LEFT_OUT or is_default:
            spec.pop(last, None)
        else:
            spec[last] = value


def spec_fields(schema: Schema, *, path: tuple[str, ...] = ()) -> Iterator[SpecField]:
    """Yield the fields of a spec, in the order of its schema."""
    required = set(schema.get("required", ()))
    for key, property_schema in schema.get("properties", {}).items():
        here = (*path, key)
        if _is_object_of_texts(property_schema):
            yield from spec_fields(property_schema, path=here)
        else:
            yield _field(here, property_schema, is_required=not path and key in required)


def label_of(key: str) -> str:
    """Return the label of a member of a spec in the language of the reader: `client_id` is "Client id"."""
    return gettext(_english_label(key))


def texts_of_schema(schema: Schema, *, has_labels: bool = True) -> Iterator[str]:
    """Yield labels and descriptions of a spec and of the members in it, which the catalogs contain."""
    for key, member in schema.get("properties", {}).items():
        if has_labels:
            yield _english_label(key)
        yield _description(member)
        yield from texts_of_schema(member, has_labels=has_labels)
    if isinstance(schema.get("items"), dict):
        yield from texts_of_schema(schema["items"], has_labels=False)


def _english_label(key: str) -> str:
    words = [_ABBREVIATIONS.get(word, word) for word in key.split("_")]
    return " ".join([words[0] if words[0] in _ABBREVIATIONS.values() else words[0].capitalize(), *words[1:]])


def _field(path: tuple[str, ...], schema: Schema, *, is_required: bool) -> SpecField:
    kinds = schema.get("type", "string")
    kind = kinds if isinstance(kinds, str) else kinds[0]
    said: dict[str, Any] = {
        "label": ": ".join(map(label_of, path)),
        "help_text": _help(schema),
        "required": is_required,
    }
    if "enum" in schema:
        choices = [(value, _ABBREVIATIONS.get(value, value)) for value in map(str, schema["enum"])]
        if not is_required:
            choices.insert(0, ("", gettext("default")))
        return SpecField(path, schema, forms.ChoiceField(choices=choices, **said), str, lambda entered: entered)
    match kind:
        case "boolean":
            return SpecField(path, schema, forms.BooleanField(**{**said, "required": False}), bool, bool)
        case "integer":
            limits: dict[str, Any] = {"min_value": schema.get("minimum"), "max_value": schema.get("maximum")}
            return SpecField(
                path, schema, forms.IntegerField(**limits, **said), lambda value: value, lambda given: given
            )
        case "string":
            return SpecField(path, schema, _text(schema, said), str, str.strip)
        case "array" if _has_choices(schema):
            return _choices(path, schema, said)
        case "array" if schema.get("items", {}).get("type") == "string":
            area = forms.CharField(
                widget=_area(3), **{**said, "help_text": f"{said['help_text']} {gettext('One per line.')}"}
            )
            return SpecField(path, schema, area, "\n".join, _lines)
    widget = CodeArea(14 if kind == "array" else 8 if "additionalProperties" in schema else 3)
    widget.attrs["placeholder"] = as_yaml(schema["examples"][0]) if schema.get("examples") else ""
    yaml = YamlField(widget=widget, **{**said, "help_text": _yaml_help(schema, said["help_text"])})
    return SpecField(
        path, schema, yaml, lambda value: as_yaml(in_order(value, schema)), lambda entered: entered, is_yaml=True
    )


def in_order(value: Any, schema: Schema) -> Any:
    """Return a JSON value with its members in the order of the schema. The database does not keep their order."""
    if isinstance(value, list):
        return [in_order(element, schema.get("items", {})) for element in value]
    if not isinstance(value, dict):
        return value
    known: dict[str, Any] = schema.get("properties", {})
    ordered = sorted(value, key=lambda key: (list(known).index(key) if key in known else len(known), key))
    return {key: in_order(value[key], known.get(key, {})) for key in ordered}


class YamlField(forms.CharField):
    """Area with a value as YAML. An empty area is None."""

    def __init__(self, **options: Any) -> None:
        super().__init__(strip=False, **options)

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text.strip():
            return None
        try:
            return one_document(text).value
        except DocumentInvalid as error:
            raise forms.ValidationError([entry.detail for entry in error.errors] or [error.detail]) from None


def _text(schema: Schema, said: dict[str, Any]) -> forms.CharField:
    longest = schema.get("maxLength", _LONG)
    if longest > _LONG:
        return forms.CharField(max_length=longest, widget=CodeArea(4), **said)
    examples = schema.get("examples") or ([schema["default"]] if schema.get("default") else [""])
    shown = {"placeholder": examples[0], "autocomplete": "off", "spellcheck": "false"}
    return forms.CharField(max_length=longest, widget=forms.TextInput(shown), **said)


def _choices(path: tuple[str, ...], schema: Schema, said: dict[str, Any]) -> SpecField:
    field = forms.MultipleChoiceField(
        choices=[(value, value) for value in schema["items"]["enum"]],
        initial=schema.get("default"),
        widget=forms.CheckboxSelectMultiple,
        **said,
    )
    return SpecField(path, schema, field, list, list)


def _area(rows: int) -> forms.Textarea:
    return forms.Textarea({"rows": rows, "spellcheck": "false", "autocomplete": "off"})


def _yaml_help(schema: Schema, said: str) -> str:
    """Return the help of a field with YAML, with the members of the objects in a list."""
    members: dict[str, Any] = schema.get("items", {}).get("properties", {})
    lines = ((key, description_of(member)) for key, member in members.items())
    listed = format_html_join("", "<br>{}: {}", ((html.code(key), text) for key, text in lines))
    return format_html("{} {}{}", said, gettext("Written as YAML."), listed)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _help(schema: Schema) -> str:
    said = description_of(schema)
    default = schema.get("default")
    if default in _LEFT_OUT or isinstance(default, bool):
        return said
    shown = ", ".join(map(str, default)) if isinstance(default, list) else default
    return f"{said} {gettext('Default: {value}.').format(value=shown)}"


def description_of(schema: Schema) -> str:
    """Return the description of a member of a spec in the language of the reader."""
    text = _description(schema)
    return gettext(text) if text else ""


def _description(schema: Schema) -> str:
    return str(schema.get("description", "")).replace("`", "")


def _has_choices(schema: Schema) -> bool:
    return "enum" in schema.get("items", {})


def _is_object_of_texts(schema: Schema) -> bool:
    members = schema.get("properties", {})
    return (
        schema.get("type") == "object"
        and bool(members)
        and schema.get("additionalProperties") is False
        and all(member.get("type") == "string" for member in members.values())
    )
