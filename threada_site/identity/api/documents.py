"""Endpoints of documents about identity, which stewards administer."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from django.db.models import QuerySet

from threada_site.api.conditional_requests.replacing import Replaceable
from threada_site.api.conditional_requests.tags import etag
from threada_site.api.document_viewsets import DocumentEndpoints
from threada_site.api.shapes import Shape
from threada_site.identity.confirmation import require_stepped_up_person
from threada_site.identity.stewardship import require_steward
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.upsert import UpsertResult

WRITE_REASONS: Final = ("person_required", "step_up_required")
WRITTEN_IN_THE_CONSOLE: Final = (
    "People write it in the console, after a step-up, and the operator by `manage.py apply`. A token cannot: that of a "
    "person is refused as `step_up_required`, that of a service or an agent as `person_required`."
)


@dataclass(frozen=True, kw_only=True)
class IdentityDocuments(DocumentEndpoints):
    """Differences between the endpoints of one kind of document and those of the others.

    `whole` is the shape of a document, `rows` are those of a tenant in force. `putting` parses a document and puts it
    in force.
    """

    whole: Shape
    rows: Callable[[uuid.UUID], QuerySet[Any]]
    putting: Callable[[str, Mapping[str, Any], ActingContext], UpsertResult[Any]]
    withdrawing: Callable[..., object]

    withdraw_reasons: ClassVar[tuple[str, ...]] = ("permission_denied", *WRITE_REASONS)

    @property
    def body(self) -> Shape:
        return self.whole

    @property
    def replaceable(self) -> Replaceable:
        example = {"spec": self.body.example["spec"]}
        return Replaceable(
            resource=self.resource,
            identifier=self.parameter,
            writable={"spec": self.body.schema["properties"]["spec"]},
            required=("spec",),
            patched={"spec": {"type": "object", "description": "Merged into the spec: null removes a member."}},
            example=example,
            patch_example=example,
        )

    def check_read(self, ctx: ActingContext) -> None:
        require_steward(ctx)

    def check_write(self, ctx: ActingContext) -> None:
        require_steward(ctx)
        require_stepped_up_person(self.with_article, ctx=ctx)

    def in_force(self, ctx: ActingContext) -> QuerySet[Any]:
        return self.rows(ctx.tenant_id)

    def shown(self, row: Any, _ctx: ActingContext) -> dict[str, Any]:
        return self.resource.represent(row)

    def state(self, row: Any, _shown: Mapping[str, Any]) -> str:
        return etag(row.current_version.public_id)

    def lock(self, slug: str, ctx: ActingContext) -> object:
        """Lock the document before it is read: a read that waits for the lock would lack the version of that time."""
        return self.in_force(ctx).filter(slug=slug).select_related(None).select_for_update().first()

    def put(self, slug: str, sent: Mapping[str, Any], ctx: ActingContext) -> bool:
        return self.putting(slug, {"kind": self.kind_name, "id": slug, "spec": sent["spec"]}, ctx).is_new

    def withdraw(self, slug: str, ctx: ActingContext) -> None:
        self.withdrawing(slug, ctx=ctx)
