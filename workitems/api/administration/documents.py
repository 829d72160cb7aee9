"""Endpoints of documents that are applied as those of `manage.py apply`: list, put, read, replace, edit, withdraw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from django.db.models import QuerySet
from rest_framework.response import Response

from threada_site.api.conditional_requests.replacing import Replaceable
from threada_site.api.conditional_requests.tags import check_created, check_if_match, etag
from threada_site.api.filters import NoFilters, apply_filters
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.resources.resource import Resource, page_of
from threada_site.api.shapes import SLUG, Shape, shape
from threada_site.api.views import TenantView, path_slug
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.upsert import Change
from workitems.configuration.kinds.base import Kind

type Check = Callable[[ActingContext], None]

_NAME_LENGTH: Final = 200
_DIGEST_LENGTH: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Administered:
    """Differences between the endpoints of one kind of document and those of the others.

    `rows` are those in force. `specs` returns what `represent` needs for all rows, by a constant number of statements.
    `lock` keeps the document as it is until the transaction ends. `state` returns the entity tag of its state from its
    row and its representation.
    """

    kind: Kind
    kind_name: str
    name: str
    plural: str
    tag: str
    resource: Resource
    rows: Callable[[ActingContext], QuerySet[Any]]
    specs: Callable[[ActingContext], Mapping[str, Any]] = lambda _ctx: {}
    lock: Callable[[str, ActingContext], object]
    state: Callable[[Any, Mapping[str, Any]], str]
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

    def row(self, slug: str, ctx: ActingContext) -> Any:
        """Return the row in force with this id, or None."""
        return self.rows(ctx).filter(slug=slug).first()

    def found(self, path: Mapping[str, str], ctx: ActingContext) -> Any:
        """Return the row in force that the path names. Raise `NotFound`."""
        row = self.row(path_slug(path[self.parameter]), ctx)
        if row is None:
            raise errors.NotFound
        return row

    def shown(self, row: Any, ctx: ActingContext) -> dict[str, Any]:
        """Return the representation of a row."""
        return self.resource.represent_whole(row, specs=self.specs(ctx))

    def tag_of(self, row: Any, ctx: ActingContext) -> str:
        """Return the entity tag of the state of a row."""
        return self.state(row, self.shown(row, ctx))

    def put(self, slug: str, sent: Mapping[str, Any], ctx: ActingContext) -> bool:
        """Put a document in force. Return True if it is new."""
        return self.kind.apply({"kind": self.kind_name, "id": slug, **sent}, ctx).change is Change.CREATED

    def answer(self, row: Any, ctx: ActingContext, *, status: int = 200, address: str = "") -> Response:
        """Return a document as an answer, with its entity tag, and its address if that is given."""
        shown = self.shown(row, ctx)
        location = {"Location": address} if address else {}
        return Response(shown, status=status, headers={"ETag": self.state(row, shown), **location})


def by_version(row: Any, _shown: Mapping[str, Any]) -> str:
    """Return the entity tag of a row with numbered versions."""
    return etag(row.current_version.number)


def by_contents(_row: Any, shown: Mapping[str, Any]) -> str:
    """Return the entity tag of a row without versions: the digest of its representation."""
    return etag(canonical_sha256(shown)[:_DIGEST_LENGTH])


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
            headers=("Location", "ETag"),
            may_need_confirmation=True,
            reasons=about.reasons,
        )
        @idempotent
        def post(self, request: Any) -> Response:
            sent = body.check(request.data)
            about.check_write(request.auth)
            slug = sent.pop(about.parameter)
            is_new = about.put(slug, sent, request.auth)
            return about.answer(
                about.row(slug, request.auth),
                request.auth,
                status=201 if is_new else 200,
                address=f"{request.path}/{slug}",
            )

    return Documents


def detail_view(about: Administered) -> type[TenantView]:
    """Return the view that reads, replaces, edits and withdraws a document."""
    replaceable: Final = about.replaceable

    class DocumentDetail(TenantView):
        scopes: ClassVar = {
            "GET": about.read_scope,
            "PUT": about.write_scope,
            "PATCH": about.write_scope,
            "DELETE": about.write_scope,
        }

        @operation(
            f"read{about.kind_name}",
            f"Read a {about.name}",
            tag=about.tag,
            answers={200: about.resource},
            headers=("ETag",),
            reasons=("permission_denied",),
        )
        def get(self, request: Any, **path: str) -> Response:
            about.check_read(request.auth)
            return about.answer(about.found(path, request.auth), request.auth)

        @operation(
            f"replace{about.kind_name}",
            f"Create or replace a {about.name}",
            tag=about.tag,
            description=f"Take what `GET` returns. {about.put_description}",
            body=replaceable.body,
            answers={200: about.resource, 201: about.resource},
            may_need_confirmation=True,
            needs_if_match=True,
            may_create=True,
            headers=("ETag", "Location"),
            reasons=about.reasons,
        )
        def put(self, request: Any, **path: str) -> Response:
            return self._put(request, path)

        @operation(
            f"edit{about.kind_name}",
            f"Change members of a {about.name}",
            tag=about.tag,
            description="Merge the members that are sent (RFC 7396): null removes a member, arrays are replaced.\n\n"
            + about.put_description,
            body=replaceable.patch,
            answers={200: about.resource},
            may_need_confirmation=True,
            needs_if_match=True,
            headers=("ETag",),
            reasons=about.reasons,
        )
        def patch(self, request: Any, **path: str) -> Response:
            about.check_read(request.auth)  # the answer shows what was merged into, so it must be readable
            return self._put(request, path)

        @operation(
            f"withdraw{about.kind_name}",
            f"Withdraw a {about.name}",
            tag=about.tag,
            description=about.withdraw_description,
            answers={204: None},
            takes_if_match=True,
            may_need_confirmation=True,
            reasons=("permission_denied", "in_use"),
        )
        def delete(self, request: Any, **path: str) -> Response:
            about.check_write(request.auth)
            about.lock(path_slug(path[about.parameter]), request.auth)
            row = about.found(path, request.auth)
            check_if_match(request, about.tag_of(row, request.auth), required=False)
            about.kind.remove(row.slug, request.auth)
            return Response(status=204)

        def _put(self, request: Any, path: Mapping[str, str]) -> Response:
            ctx, slug = request.auth, path_slug(path[about.parameter])
            about.check_write(ctx)
            about.lock(slug, ctx)
            row = about.row(slug, ctx)
            if row is None and request.method == "PATCH":
                raise errors.NotFound
            if row is None:
                sent = replaceable.created(request, slug)
            else:
                sent = replaceable.replaced(request, about.shown(row, ctx), tag=about.tag_of(row, ctx))
            if about.has_label:
                sent["name"] = sent.get("name") or ""
            is_new = about.put(slug, sent, ctx)
            if row is None:
                check_created(is_new=is_new)
                return about.answer(about.row(slug, ctx), ctx, status=201, address=request.path)
            return about.answer(about.row(slug, ctx), ctx)

    return DocumentDetail
