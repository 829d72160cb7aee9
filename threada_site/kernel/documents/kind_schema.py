"""The JSON Schema of one kind of document: its header and its spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple

from threada_site.kernel.documents.field_errors import FieldErrors
from threada_site.kernel.documents.structure import SLUG, Schema, Structure
from threada_site.kernel.errors import DocumentInvalid, ThreadaError

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


class Parsed(NamedTuple):
    """A document whose structure was checked.

    `id` is None for a bare spec. `spec` is usable only where `errors` has none; `place` is its pointer.
    """

    id: str | None
    spec: Mapping[str, Any]
    place: str
    errors: FieldErrors


@dataclass(frozen=True)
class KindSchema:
    """One kind of document: `kind`, `id` and `spec`.

    `spec` is the schema of the spec, `definitions` its `$defs`. `header` contains fields of the header besides kind, id
    and spec. Names of definitions are unique among all kinds, so that a schema of several kinds can contain them all.
    """

    kind: str
    spec: Schema
    definitions: Schema = field(default_factory=dict)
    header: Schema = field(default_factory=dict)
    is_spec_required: bool = True

    @cached_property
    def schema(self) -> Schema:
        """Return the schema of a whole document, as it is published."""
        required = ["kind", "id", "spec"] if self.is_spec_required else ["kind", "id"]
        return {
            "$schema": DRAFT,
            "title": self.kind,
            "description": self.spec.get("description", ""),
            "type": "object",
            "errorMessage": f"Write an object: {{kind: {self.kind}, id: …, spec: {{…}}}}.",
            "properties": {
                "kind": {"const": self.kind, "title": "kind of document here"},
                "id": {**SLUG, "description": "Name of the object in the tenant. Documents refer to it by this id."},
                **self.header,
                "spec": self.spec,
            },
            "required": required,
            "additionalProperties": False,
            **({"$defs": self.definitions} if self.definitions else {}),
        }

    def parse(self, value: Any, *, refusal: type[ThreadaError] = DocumentInvalid) -> Parsed:
        """Check the structure of a whole document, or of a bare spec: a value without `kind` and `spec`.

        Raises `refusal` if there are more errors than are reported: other checks would meet values of wrong types.
        """
        is_whole = isinstance(value, Mapping) and ("kind" in value or "spec" in value)
        errors = (self._whole if is_whole else self._bare).check(value)
        if errors.is_full or not isinstance(value, Mapping):
            errors.raise_any(refusal, value=value)
        if not is_whole:
            return Parsed(None, value, "", errors)
        spec = value.get("spec", {})
        return Parsed(value.get("id"), spec if isinstance(spec, Mapping) else {}, "/spec", errors)

    @cached_property
    def _whole(self) -> Structure:
        return Structure(self.schema)

    @cached_property
    def _bare(self) -> Structure:
        return Structure({**self.spec, "$defs": self.definitions})
