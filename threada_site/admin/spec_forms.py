"""Form of a document's spec, with a field for each member and errors next to their fields."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

from threada_site.admin.documents import located, one_document
from threada_site.admin.forms import ConsoleForm
from threada_site.admin.schema_fields import SpecField, spec_fields
from threada_site.kernel.documents.structure import Schema
from threada_site.kernel.errors import FieldError, ThreadaError


class SpecForm(ConsoleForm):
    """Form of the current version of a document, or of a new one. Subclasses set the `schema` of the spec.

    Members that the schema does not name are kept as they are.
    """

    schema: ClassVar[Schema]

    def prepare(self) -> None:
        for entry in self.entries:
            self.fields[entry.name] = entry.field
        if self.row is not None:
            self.initial = {entry.name: entry.initial_in(self.stored) for entry in self.entries}
            self.initial = {name: value for name, value in self.initial.items() if value is not None}

    @cached_property
    def entries(self) -> list[SpecField]:
        return list(spec_fields(self.schema))

    @property
    def stored(self) -> Mapping[str, Any]:
        """Return the spec of the current version; empty for a new document."""
        current = None if self.row is None else self.row.current_version
        return {} if current is None else current.spec

    def spec(self) -> dict[str, Any]:
        """Return the entered spec."""
        spec = copy.deepcopy(dict(self.stored))
        for entry in self.entries:
            entry.change(spec, self.cleaned_data[entry.name])
        return {key: value for key, value in spec.items() if value != {} or key in self.stored}

    @contextmanager
    def with_errors(self) -> Iterator[None]:
        """Move errors of a refusal to their fields, with the line in a field of YAML."""
        try:
            yield
        except ThreadaError as refusal:
            refusal.errors = tuple(error for error in refusal.errors if not self._is_placed(error))
            raise

    def _is_placed(self, error: FieldError) -> bool:
        pointer = error.pointer.removeprefix("/spec")
        for entry in self.entries:
            if pointer == entry.pointer or pointer.startswith(f"{entry.pointer}/"):
                self.add_error(entry.name, self._detail(entry, error, pointer.removeprefix(entry.pointer)))
                return True
        return False

    def _detail(self, entry: SpecField, error: FieldError, within: str) -> str:
        text = self.data.get(self.add_prefix(entry.name), "")
        if not entry.is_yaml or not text.strip():
            return error.detail
        return located(one_document(text), replace(error, pointer=within)).detail
