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
from threada_site.api.operations import operation
from threada_site.api.resources.resource import Resource
from threada_site.api.shapes import Shape
from threada_site.api.views import path_slug
from threada_site.api.viewsets import TenantViewSet, creation, listing
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

    def tag_of(self, row: Any, ctx: ActingContext) -> str:
        """Return the entity tag of the state of a row."""
        return self.state(row, self.shown(row, ctx))

    def answer(self, row: Any, ctx: ActingContext, *, status: int = 200, address: str = "") -> Response:
        """Return a document as an answer, with its entity tag, and its address if that is given."""
        shown = self.shown(row, ctx)
        location = {"Location": address} if address else {}
        return Response(shown, status=status, headers={"ETag": self.state(row, shown), **location})


class DocumentViewSet(TenantViewSet):
    """Endpoints of one kind of document. `document_viewset` declares their operations."""

    about: ClassVar[DocumentEndpoints]
    replaceable: ClassVar[Replaceable]

    def get_queryset(self) -> QuerySet[Any]:
        return self.about.in_force(self.request.auth)

    def get_object(self) -> Any:
        """Return the row in force that the path names. Raise `NotFound`."""
        row = self.about.row(self.slug, self.request.auth)
        if row is None:
            raise errors.NotFound
        return row

    @property
    def slug(self) -> str:
        """The id in the path. Raises `NotFound` for anything else."""
        return path_slug(self.kwargs[self.about.parameter])

    def put_new(self, request: Any, body: Mapping[str, Any]) -> Response:
        """Put the document of a POST in force."""
        about, sent = self.about, dict(body)
        about.check_write(request.auth)
        slug = sent.pop(about.parameter)
        is_new = about.put(slug, sent, request.auth)
        row, address = about.row(slug, request.auth), f"{request.path}/{slug}"
        return about.answer(row, request.auth, status=201 if is_new else 200, address=address)

    def put_current(self, request: Any) -> Response:
        """Put the document of a PUT or a PATCH in force."""
        about, ctx, slug = self.about, request.auth, self.slug
        about.check_write(ctx)
        about.lock(slug, ctx)
        row = about.row(slug, ctx)
        if row is None and request.method == "PATCH":
            raise errors.NotFound
        if row is None:
            sent = self.replaceable.created(request, slug)
        else:
            sent = self.replaceable.replaced(request, about.shown(row, ctx), tag=about.tag_of(row, ctx))
        is_new = about.put(slug, about.replacement(sent), ctx)
        if row is None:
            check_created(is_new=is_new)
            return about.answer(about.row(slug, ctx), ctx, status=201, address=request.path)
        return about.answer(about.row(slug, ctx), ctx)

    def withdraw(self, request: Any) -> Response:
        about = self.about
        about.check_write(request.auth)
        about.lock(self.slug, request.auth)
        row = self.get_object()
        check_if_match(request, about.tag_of(row, request.auth), required=False)
        about.withdraw(row.slug, request.auth)
        return Response(status=204)


def document_viewset(about: DocumentEndpoints, **actions: Callable[..., Any]) -> type[TenantViewSet]:
    """Return the viewset of a kind of document. `actions` are those of this kind only."""
    replaceable: Final = about.replaceable

    class Documents(DocumentViewSet):
        @listing(
            f"list{about.kind_name}s",
            f"List {about.plural}",
            about.resource,
            scope=about.read_scope,
            reasons=("permission_denied",),
        )
        def list(self, request: Any) -> Response:
            about.check_read(request.auth)
            return self.page(represent=about.lister(request.auth))

        @creation(
            f"put{about.kind_name}",
            f"Create or change {about.with_article}",
            scope=about.write_scope,
            description=about.put_description,
            body=about.body,
            answers={200: about.resource, 201: about.resource},
            headers=("Location", "ETag"),
            may_need_confirmation=True,
            reasons=about.reasons,
        )
        def create(self, request: Any, body: Mapping[str, Any]) -> Response:
            return self.put_new(request, body)

        @operation(
            f"read{about.kind_name}",
            f"Read {about.with_article}",
            scope=about.read_scope,
            answers={200: about.resource},
            headers=("ETag",),
            reasons=("permission_denied",),
        )
        def retrieve(self, request: Any, **path: str) -> Response:
            about.check_read(request.auth)
            return about.answer(self.get_object(), request.auth)

        @operation(
            f"replace{about.kind_name}",
            f"Create or replace {about.with_article}",
            scope=about.write_scope,
            description=f"Take what `GET` returns. {about.put_description}",
            body=replaceable.body,
            answers={200: about.resource, 201: about.resource},
            may_need_confirmation=True,
            needs_if_match=True,
            may_create=True,
            headers=("ETag", "Location"),
            reasons=about.reasons,
        )
        def update(self, request: Any, **path: str) -> Response:
            return self.put_current(request)

        @operation(
            f"edit{about.kind_name}",
            f"Change members of {about.with_article}",
            scope=about.write_scope,
            description="Merge the members that are sent (RFC 7396): null removes a member, arrays are replaced.\n\n"
            + about.put_description,
            body=replaceable.patch,
            answers={200: about.resource},
            may_need_confirmation=True,
            needs_if_match=True,
            headers=("ETag",),
            reasons=about.reasons,
        )
        def partial_update(self, request: Any, **path: str) -> Response:
            about.check_read(request.auth)  # the answer shows what was merged into, so it must be readable
            return self.put_current(request)

        @operation(
            f"withdraw{about.kind_name}",
            f"Withdraw {about.with_article}",
            scope=about.write_scope,
            description=about.withdraw_description,
            answers={204: None},
            takes_if_match=True,
            may_need_confirmation=True,
            reasons=about.withdraw_reasons,
        )
        def destroy(self, request: Any, **path: str) -> Response:
            return self.withdraw(request)

    members = {
        "about": about,
        "replaceable": replaceable,
        "lookup_url_kwarg": about.parameter,
        "tag": about.tag,
        **actions,
    }
    return type(f"{about.kind_name}ViewSet", (Documents,), members)
