"""Endpoints of documents that are applied as those of `manage.py apply`: list, put, read, withdraw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from django.db.models import QuerySet
from rest_framework.response import Response

from threada_site.api.filters import NoFilters, apply_filters
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.resources.resource import Resource, page_of
from threada_site.api.shapes import SLUG, Shape, shape
from threada_site.api.views import TenantView, path_slug
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.upsert import Change
from workitems.configuration.kinds.base import Kind

type Check = Callable[[ActingContext], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Administered:
    """Differences between the endpoints of one kind of document and those of the others.

    `rows` are those in force. `specs` returns what `represent` needs for all rows, by a constant number of statements.
    """

    kind: Kind
    kind_name: str
    name: str
    plural: str
    tag: str
    resource: Resource
    rows: Callable[[ActingContext], QuerySet[Any]]
    specs: Callable[[ActingContext], Mapping[str, Any]] = lambda _ctx: {}
    read_scope: Scope
    write_scope: Scope
    check_read: Check
    check_write: Check
    example: Mapping[str, Any]
    put_description: str
    withdraw_description: str
    has_label: bool = False
    reasons: tuple[str, ...] = ("permission_denied", "document_invalid", "conflict")

    @property
    def parameter(self) -> str:
        """Return the name of the id in paths and bodies."""
        return f"{self.name.replace(' ', '_')}_id"

    @property
    def body(self) -> Shape:
        """Return the shape of a document: its id, its spec, and its label if it has one."""
        label = {"name": {"type": "string", "maxLength": 200, "description": "Label."}} if self.has_label else {}
        spec = {"type": "object", "description": f"Spec of a document of kind {self.kind_name}, see /schemas."}
        return shape(
            {self.parameter: SLUG, **label, "spec": spec}, required=(self.parameter, "spec"), example=dict(self.example)
        )

    def found(self, slug: str, ctx: ActingContext) -> Any:
        """Return the row in force with this id. Raise `NotFound`."""
        row = self.rows(ctx).filter(slug=path_slug(slug)).first()
        if row is None:
            raise errors.NotFound
        return row

    def shown(self, slug: str, ctx: ActingContext) -> dict[str, Any]:
        """Return the representation of the row in force with this id. Raise `NotFound`."""
        return self.resource.represent_whole(self.found(slug, ctx), specs=self.specs(ctx))


def list_view(about: Administered) -> type[TenantView]:
    """Return the view that lists the documents and puts one."""
    body: Final = about.body

    class Documents(TenantView):
        scopes: ClassVar = {"GET": about.read_scope, "POST": about.write_scope}

        @operation(
            f"list{about.kind_name}s",
            f"List {about.plural}",
            tag=about.tag,
            answers={200: page_of(about.resource)},
            filters=NoFilters,
            is_paged=True,
            reasons=("permission_denied",),
        )
        def get(self, request: Any) -> Response:
            about.check_read(request.auth)
            rows = apply_filters(NoFilters, about.rows(request.auth), request)
            specs = about.specs(request.auth)
            return Response(paginate(rows, request, represent=lambda row: about.resource.represent(row, specs=specs)))

        @operation(
            f"put{about.kind_name}",
            f"Create or change a {about.name}",
            tag=about.tag,
            description=about.put_description,
            body=body,
            answers={200: about.resource, 201: about.resource},
            headers=("Location",),
            may_need_confirmation=True,
            reasons=about.reasons,
        )
        @idempotent
        def post(self, request: Any) -> Response:
            sent = body.check(request.data)
            about.check_write(request.auth)
            slug = sent.pop(about.parameter)
            applied = about.kind.apply({"kind": about.kind_name, "id": slug, **sent}, request.auth)
            return Response(
                about.shown(slug, request.auth),
                status=201 if applied.change is Change.CREATED else 200,
                headers={"Location": f"{request.path}/{slug}"},
            )

    return Documents


def detail_view(about: Administered) -> type[TenantView]:
    """Return the view that reads a document and withdraws it."""

    class DocumentDetail(TenantView):
        scopes: ClassVar = {"GET": about.read_scope, "DELETE": about.write_scope}

        @operation(
            f"read{about.kind_name}",
            f"Read a {about.name}",
            tag=about.tag,
            answers={200: about.resource},
            reasons=("permission_denied",),
        )
        def get(self, request: Any, **path: str) -> Response:
            about.check_read(request.auth)
            return Response(about.shown(path[about.parameter], request.auth))

        @operation(
            f"withdraw{about.kind_name}",
            f"Withdraw a {about.name}",
            tag=about.tag,
            description=about.withdraw_description,
            answers={204: None},
            may_need_confirmation=True,
            reasons=("permission_denied", "in_use"),
        )
        def delete(self, request: Any, **path: str) -> Response:
            about.check_write(request.auth)
            about.kind.remove(about.found(path[about.parameter], request.auth).slug, request.auth)
            return Response(status=204)

    return DocumentDetail
