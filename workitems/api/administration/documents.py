"""Endpoints of documents that are applied as those of `manage.py apply`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from django.db.models import QuerySet

from threada_site.api.conditional_requests.replacing import Replaceable
from threada_site.api.conditional_requests.tags import etag
from threada_site.api.document_viewsets import DocumentEndpoints
from threada_site.api.shapes import SLUG, Shape, shape
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.upsert import Change
from workitems.configuration.kinds.base import Kind

type Check = Callable[[ActingContext], None]

_NAME_LENGTH: Final = 200
_DIGEST_LENGTH: Final = 16


@dataclass(frozen=True, kw_only=True)
class Administered(DocumentEndpoints):
    """Differences between the endpoints of one kind of document and those of the others.

    `rows` are those in force. `specs` returns what `represent` needs for all rows, by a constant number of statements.
    `locking` keeps the document as it is until the transaction ends. `states` returns the entity tag of its state from
    its row and its representation.
    """

    kind: Kind
    rows: Callable[[ActingContext], QuerySet[Any]]
    specs: Callable[[ActingContext], Mapping[str, Any]] = lambda _ctx: {}
    locking: Callable[[str, ActingContext], object]
    states: Callable[[Any, Mapping[str, Any]], str]
    may_read: Check
    may_write: Check
    example: Mapping[str, Any]
    has_label: bool = False

    withdraw_reasons: ClassVar[tuple[str, ...]] = ("permission_denied", "in_use")

    @property
    def body(self) -> Shape:
        """Return the shape of a document: its id, its spec, and its label if it has one."""
        label = {"name": {"type": "string", "maxLength": _NAME_LENGTH, "description": "Label."}}
        return shape(
            {self.parameter: SLUG, **(label if self.has_label else {}), "spec": self._spec},
            required=(self.parameter, "spec"),
            example=dict(self.example),
        )

    @property
    def replaceable(self) -> Replaceable:
        """Return what PUT replaces and PATCH changes."""
        label = {"name": {"type": ["string", "null"], "maxLength": _NAME_LENGTH, "description": "Label. null: none."}}
        example = {name: value for name, value in self.example.items() if name != self.parameter}
        return Replaceable(
            resource=self.resource,
            identifier=self.parameter,
            writable={**(label if self.has_label else {}), "spec": self._spec},
            required=("spec",),
            patched={"spec": {"type": "object", "description": "Merged into the spec: null removes a member."}},
            example=example,
            patch_example=example,
        )

    @property
    def _spec(self) -> dict[str, Any]:
        return {"type": "object", "description": f"Spec of a document of kind {self.kind_name}, see /schemas."}

    def check_read(self, ctx: ActingContext) -> None:
        self.may_read(ctx)

    def check_write(self, ctx: ActingContext) -> None:
        self.may_write(ctx)

    def in_force(self, ctx: ActingContext) -> QuerySet[Any]:
        return self.rows(ctx)

    def lister(self, ctx: ActingContext) -> Callable[[Any], dict[str, Any]]:
        specs = self.specs(ctx)
        return lambda row: self.resource.represent(row, specs=specs)

    def shown(self, row: Any, ctx: ActingContext) -> dict[str, Any]:
        return self.resource.represent_whole(row, specs=self.specs(ctx))

    def state(self, row: Any, shown: Mapping[str, Any]) -> str:
        return self.states(row, shown)

    def lock(self, slug: str, ctx: ActingContext) -> object:
        return self.locking(slug, ctx)

    def replacement(self, sent: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**sent, "name": sent.get("name") or ""} if self.has_label else sent

    def put(self, slug: str, sent: Mapping[str, Any], ctx: ActingContext) -> bool:
        return self.kind.apply({"kind": self.kind_name, "id": slug, **sent}, ctx).change is Change.CREATED

    def withdraw(self, slug: str, ctx: ActingContext) -> None:
        self.kind.remove(slug, ctx)


def by_version(row: Any, _shown: Mapping[str, Any]) -> str:
    """Return the entity tag of a row with numbered versions."""
    return etag(row.current_version.number)


def by_contents(_row: Any, shown: Mapping[str, Any]) -> str:
    """Return the entity tag of a row without versions: the digest of its representation."""
    return etag(canonical_sha256(shown)[:_DIGEST_LENGTH])
