"""Endpoints of documents about identity that stewards list, put, read and withdraw."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from django.db.models import QuerySet
from rest_framework.response import Response

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

    def found(self, request: Any, path: Mapping[str, str]) -> Any:
        """Return the document that the path names, for a steward. Raise `NotFound`."""
        require_steward(request.auth)
        row = self.rows(request.auth.tenant_id).filter(slug=path_slug(path[self.parameter])).first()
        if row is None:
            raise errors.NotFound
        return row


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
        )
        @idempotent
        def post(self, request: Any) -> Response:
            body = about.body.check(request.data)
            require_steward(request.auth)
            slug = body[about.parameter]
            result = about.put(slug, {"kind": about.kind, "id": slug, "spec": body["spec"]}, request.auth)
            return Response(resource.represent(result.row), status=201 if result.is_new else 200)

    return Documents


def detail_view(about: DocumentEndpoints) -> type[TenantView]:
    """Return the view that reads a document and withdraws it."""
    named: Final = _with_article(about.name)

    class DocumentDetail(TenantView):
        scopes: ClassVar = {"GET": Scope.WORKFLOW_MANAGE, "DELETE": Scope.WORKFLOW_MANAGE}

        @operation(
            f"read{about.kind}",
            f"Read {named}",
            tag=about.tag,
            answers={200: about.resource},
            reasons=("permission_denied",),
        )
        def get(self, request: Any, **path: str) -> Response:
            return Response(about.resource.represent(about.found(request, path)))

        @operation(
            f"withdraw{about.kind}",
            f"Withdraw {named}",
            tag=about.tag,
            description=about.withdraw_description,
            answers={204: None},
            may_need_confirmation=True,
            reasons=("permission_denied",),
        )
        def delete(self, request: Any, **path: str) -> Response:
            about.withdraw(about.found(request, path).slug, ctx=request.auth)
            return Response(status=204)

    return DocumentDetail


def _with_article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
