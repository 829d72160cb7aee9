"""Endpoints of documents that are in force by name: list, put, read, replace, edit, withdraw."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from django.db.models import QuerySet
from rest_framework.response import Response

from threada_site.api.conditional_requests.replacing import Replaceable
from threada_site.api.conditional_requests.tags import check_created, check_if_match
from threada_site.api.filters import NoFilters, apply_filters
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.resources.resource import Resource, page_of
from threada_site.api.shapes import Shape
from threada_site.api.views import TenantView, path_slug
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope


@dataclass(frozen=True, kw_only=True)
class DocumentEndpoints(ABC):
    """Differences between the endpoints of one kind of document and those of the others."""

    kind_name: str
    name: str
    plural: str
    tag: str
    resource: Resource
    read_scope: Scope = Scope.WORKFLOW_MANAGE
    write_scope: Scope = Scope.WORKFLOW_MANAGE
    put_description: str
    withdraw_description: str
    reasons: Sequence[str] = ("permission_denied", "document_invalid", "conflict")

    withdraw_reasons: ClassVar[tuple[str, ...]] = ("permission_denied",)

    @property
    def parameter(self) -> str:
        """Return the name of the id in paths and bodies."""
        return f"{self.name.replace(' ', '_')}_id"

    @property
    def with_article(self) -> str:
        return f"{'an' if self.name[0] in 'aeiou' else 'a'} {self.name}"

    @property
    @abstractmethod
    def body(self) -> Shape:
        """Return the shape of a document with its id."""

    @property
    @abstractmethod
    def replaceable(self) -> Replaceable:
        """Return what PUT replaces and PATCH changes."""

    @abstractmethod
    def check_read(self, ctx: ActingContext) -> None:
        """Raise `PermissionDenied` unless the caller may read the documents."""

    @abstractmethod
    def check_write(self, ctx: ActingContext) -> None:
        """Raise `PermissionDenied` unless the caller may change the documents."""

    @abstractmethod
    def in_force(self, ctx: ActingContext) -> QuerySet[Any]:
        """Return the rows of the documents in force."""

    def lister(self, _ctx: ActingContext) -> Callable[[Any], dict[str, Any]]:
        """Return the function that represents a row in a list."""
        return self.resource.represent

    @abstractmethod
    def shown(self, row: Any, ctx: ActingContext) -> dict[str, Any]:
        """Return the whole representation of a row."""

    @abstractmethod
    def state(self, row: Any, shown: Mapping[str, Any]) -> str:
        """Return the entity tag of the state of a row with this representation."""

    @abstractmethod
    def lock(self, slug: str, ctx: ActingContext) -> object:
        """Keep the document, which need not exist, as it is until the transaction ends."""

    @abstractmethod
    def put(self, slug: str, sent: Mapping[str, Any], ctx: ActingContext) -> bool:
        """Put a document in force. Return True if it is new."""

    def replacement(self, sent: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the members that PUT and PATCH put in force, with those that were left out."""
        return sent

    @abstractmethod
    def withdraw(self, slug: str, ctx: ActingContext) -> None:
        """Withdraw a document."""

    def row(self, slug: str, ctx: ActingContext) -> Any:
        """Return the row in force with this id, or None."""
        return self.in_force(ctx).filter(slug=slug).first()

    def found(self, path: Mapping[str, str], ctx: ActingContext) -> Any:
        """Return the row in force that the path names. Raise `NotFound`."""
        row = self.row(path_slug(path[self.parameter]), ctx)
        if row is None:
            raise errors.NotFound
        return row

    def tag_of(self, row: Any, ctx: ActingContext) -> str:
        """Return the entity tag of the state of a row."""
        return self.state(row, self.shown(row, ctx))

    def answer(self, row: Any, ctx: ActingContext, *, status: int = 200, address: str = "") -> Response:
        """Return a document as an answer, with its entity tag, and its address if that is given."""
        shown = self.shown(row, ctx)
        location = {"Location": address} if address else {}
        return Response(shown, status=status, headers={"ETag": self.state(row, shown), **location})


def list_view(about: DocumentEndpoints) -> type[TenantView]:
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
            rows = apply_filters(NoFilters, about.in_force(request.auth), request)
            return Response(paginate(rows, request, represent=about.lister(request.auth)))

        @operation(
            f"put{about.kind_name}",
            f"Create or change {about.with_article}",
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
            sent = dict(body.check(request.data))
            about.check_write(request.auth)
            slug = sent.pop(about.parameter)
            is_new = about.put(slug, sent, request.auth)
            row, address = about.row(slug, request.auth), f"{request.path}/{slug}"
            return about.answer(row, request.auth, status=201 if is_new else 200, address=address)

    return Documents


def detail_view(about: DocumentEndpoints) -> type[TenantView]:
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
            f"Read {about.with_article}",
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
            f"Create or replace {about.with_article}",
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
            f"Change members of {about.with_article}",
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
            f"Withdraw {about.with_article}",
            tag=about.tag,
            description=about.withdraw_description,
            answers={204: None},
            takes_if_match=True,
            may_need_confirmation=True,
            reasons=about.withdraw_reasons,
        )
        def delete(self, request: Any, **path: str) -> Response:
            about.check_write(request.auth)
            about.lock(path_slug(path[about.parameter]), request.auth)
            row = about.found(path, request.auth)
            check_if_match(request, about.tag_of(row, request.auth), required=False)
            about.withdraw(row.slug, request.auth)
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
            is_new = about.put(slug, about.replacement(sent), ctx)
            if row is None:
                check_created(is_new=is_new)
                return about.answer(about.row(slug, ctx), ctx, status=201, address=request.path)
            return about.answer(about.row(slug, ctx), ctx)

    return DocumentDetail
