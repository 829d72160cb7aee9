"""Endpoints of documents about identity that stewards list, put, read and withdraw."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
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
from threada_site.api.shapes import Shape
from threada_site.api.views import TenantView, path_slug
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.upsert import UpsertResult


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentEndpoints:
    """Differences between the endpoints of one kind of document and those of the others.

    `rows` are the documents of a tenant in force. `put` parses a whole document and puts it in force.
    """

    kind: str
    name: str
    plural: str
    resource: Resource
    body: Shape
    rows: Callable[[uuid.UUID], QuerySet[Any]]
    put: Callable[[str, Mapping[str, Any], ActingContext], UpsertResult[Any]]
    put_description: str
    put_reasons: Sequence[str]
    withdraw: Callable[..., object]
    withdraw_description: str

    @property
    def tag(self) -> str:
        return self.plural.capitalize()

    @property
    def parameter(self) -> str:
        """Return the name of the id in paths and bodies."""
        return f"{self.name.replace(' ', '_')}_id"

    @property
    def replaceable(self) -> Replaceable:
        """Return what PUT replaces and PATCH changes."""
        example = self.body.example["spec"]
        spec = self.body.schema["properties"]["spec"]
        return Replaceable(
            resource=self.resource,
            identifier=self.parameter,
            writable={"spec": spec},
            required=("spec",),
            patched={"spec": {"type": "object", "description": "Merged into the spec: null removes a member."}},
            example={"spec": example},
            patch_example={"spec": example},
        )

    def put_spec(self, slug: str, spec: Any, ctx: ActingContext) -> UpsertResult[Any]:
        """Put a document with this spec in force."""
        return self.put(slug, {"kind": self.kind, "id": slug, "spec": spec}, ctx)

    def tag_of(self, row: Any) -> str:
        """Return the entity tag of the state of a document."""
        return etag(row.current_version.public_id)

    def answer(self, row: Any, *, status: int = 200) -> Response:
        """Return a document as an answer, with its entity tag and, if it is new, its address."""
        collection = self.plural.replace(" ", "-")
        location = {"Location": f"/{collection}/{row.slug}"} if status == 201 else {}
        return Response(self.resource.represent(row), status=status, headers={"ETag": self.tag_of(row), **location})

    def found(self, request: Any, path: Mapping[str, str]) -> Any:
        """Return the document that the path names, for a steward. Raise `NotFound`."""
        require_steward(request.auth)
        row = self.rows(request.auth.tenant_id).filter(slug=path_slug(path[self.parameter])).first()
        if row is None:
            raise errors.NotFound
        return row

    def locked(self, request: Any, slug: str) -> Any:
        """Lock the document, then read it: a read that waits for the lock would lack the version of that time."""
        rows = self.rows(request.auth.tenant_id).filter(slug=slug)
        rows.select_related(None).select_for_update().first()
        return rows.first()


def list_view(about: DocumentEndpoints) -> type[TenantView]:
    """Return the view that lists the documents and puts one."""
    resource: Final = about.resource

    class Documents(TenantView):
        scopes: ClassVar = {"GET": Scope.WORKFLOW_MANAGE, "POST": Scope.WORKFLOW_MANAGE}

        @operation(
            f"list{about.kind}s",
            f"List {about.plural}",
            tag=about.tag,
            answers={200: page_of(resource)},
            filters=NoFilters,
            is_paged=True,
            reasons=("permission_denied",),
        )
        def get(self, request: Any) -> Response:
            require_steward(request.auth)
            rows = apply_filters(NoFilters, about.rows(request.auth.tenant_id), request)
            return Response(paginate(rows, request, represent=resource.represent))

        @operation(
            f"put{about.kind}",
            f"Create or change {_with_article(about.name)}",
            tag=about.tag,
            description=about.put_description,
            body=about.body,
            answers={200: resource, 201: resource},
            may_need_confirmation=True,
            reasons=about.put_reasons,
            headers=("Location", "ETag"),
        )
        @idempotent
        def post(self, request: Any) -> Response:
            body = about.body.check(request.data)
            require_steward(request.auth)
            result = about.put_spec(body[about.parameter], body["spec"], request.auth)
            return about.answer(result.row, status=201 if result.is_new else 200)

    return Documents


def detail_view(about: DocumentEndpoints) -> type[TenantView]:
    """Return the view that reads a document and withdraws it."""
    named: Final = _with_article(about.name)
    replaceable: Final = about.replaceable

    class DocumentDetail(TenantView):
        scopes: ClassVar = dict.fromkeys(("GET", "PUT", "PATCH", "DELETE"), Scope.WORKFLOW_MANAGE)

        @operation(
            f"read{about.kind}",
            f"Read {named}",
            tag=about.tag,
            answers={200: about.resource},
            headers=("ETag",),
            reasons=("permission_denied",),
        )
        def get(self, request: Any, **path: str) -> Response:
            return about.answer(about.found(request, path))

        @operation(
            f"replace{about.kind}",
            f"Create or replace {named}",
            tag=about.tag,
            description=f"Take what `GET` returns. {about.put_description}",
            body=replaceable.body,
            answers={200: about.resource, 201: about.resource},
            may_need_confirmation=True,
            needs_if_match=True,
            may_create=True,
            headers=("ETag", "Location"),
            reasons=about.put_reasons,
        )
        def put(self, request: Any, **path: str) -> Response:
            return self._put(request, path)

        @operation(
            f"edit{about.kind}",
            f"Change members of {named}",
            tag=about.tag,
            description="Merge the members that are sent (RFC 7396): null removes a member, arrays are replaced.\n\n"
            + about.put_description,
            body=replaceable.patch,
            answers={200: about.resource},
            may_need_confirmation=True,
            needs_if_match=True,
            headers=("ETag",),
            reasons=about.put_reasons,
        )
        def patch(self, request: Any, **path: str) -> Response:
            return self._put(request, path)

        @operation(
            f"withdraw{about.kind}",
            f"Withdraw {named}",
            tag=about.tag,
            description=about.withdraw_description,
            answers={204: None},
            takes_if_match=True,
            may_need_confirmation=True,
            reasons=("permission_denied",),
        )
        def delete(self, request: Any, **path: str) -> Response:
            require_steward(request.auth)
            row = about.locked(request, path_slug(path[about.parameter]))
            if row is None:
                raise errors.NotFound
            check_if_match(request, about.tag_of(row), required=False)
            about.withdraw(row.slug, ctx=request.auth)
            return Response(status=204)

        def _put(self, request: Any, path: Mapping[str, str]) -> Response:
            require_steward(request.auth)
            slug = path_slug(path[about.parameter])
            row = about.locked(request, slug)
            if row is None and request.method == "PATCH":
                raise errors.NotFound
            if row is None:
                sent = replaceable.created(request, slug)
            else:
                sent = replaceable.replaced(request, about.resource.represent(row), tag=about.tag_of(row))
            result = about.put_spec(slug, sent["spec"], request.auth)
            if row is None:
                check_created(is_new=result.is_new)
            return about.answer(result.row, status=201 if row is None else 200)

    return DocumentDetail


def _with_article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
