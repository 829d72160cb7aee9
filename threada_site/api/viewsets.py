"""Base of the viewsets: one viewset per noun, on DRF's router and with DRF's names."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.viewsets import ViewSetMixin

from threada_site.api.filters import CreatedWindow, NoFilters, apply_filters
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import Operation, operation, operation_of
from threada_site.api.pagination import paginate
from threada_site.api.resources.resource import Representation, Resource, page_of
from threada_site.api.shapes import EMPTY, Shape
from threada_site.api.views import TenantView, path_id
from threada_site.kernel import errors

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

type Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class TenantViewSet(ViewSetMixin, TenantView):
    """Viewset of one noun. The operation of each action names its scope; `scopes` derives from that.

    `id_prefix` is the prefix of the public ids in its paths, `tag` that of its operations without one.
    """

    id_prefix: ClassVar[str]
    lookup_url_kwarg: ClassVar[str]
    lookup_value_converter: ClassVar = "str"
    request: Any
    resource: ClassVar[Resource]
    tag: ClassVar[str]

    @classmethod
    def as_view(cls, actions: Any = None, **initkwargs: Any) -> Any:
        scopes = {method.upper(): _declared(cls, name).scope for method, name in (actions or {}).items()}
        if ... in scopes.values():
            raise ImproperlyConfigured(
                f"{cls.__name__}: name the scope of each of {actions}; None admits any credential"
            )
        return super().as_view(actions, scopes=scopes, **initkwargs)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        finalized = super().finalize_response(request, response, *args, **kwargs)
        for method in self.action_map:
            vars(self).pop(method, None)  # bound methods: each is a reference cycle
        return finalized

    def get_queryset(self) -> QuerySet[Any]:
        """Return the rows that the caller may read."""
        raise NotImplementedError

    def get_object(self) -> Any:
        """Return the row that the path names. Raise `NotFound`."""
        row = self.get_queryset().filter(id=self.row_id).first()
        if row is None:
            raise errors.NotFound
        return row

    @property
    def row_id(self) -> uuid.UUID:
        """The id in the path. Raises `NotFound` for anything else."""
        return path_id(self.id_prefix, self.kwargs[self.lookup_url_kwarg])

    def represent(self, row: Any) -> dict[str, Any]:
        return self.resource.represent(row)

    def filter_queryset(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Filter rows by the query parameters that the operation declares. Raise `InvalidRequest`."""
        return apply_filters(_declared(type(self), self.action).filters or NoFilters, rows, self.request)

    def page(self, rows: QuerySet[Any] | None = None, **how: Any) -> Response:
        """Return a page of filtered rows, by default of those of the noun. `how`: see `paginate`."""
        found = self.filter_queryset(self.get_queryset()) if rows is None else rows
        return Response(paginate(found, self.request, **{"represent": self.represent, **how}))

    def shown(self, row: Any, *, status: int = 200, **headers: str) -> Response:
        return Response(self.represent(row), status=status, headers=headers)

    def created(self, row: Any, **headers: str) -> Response:
        """Return the answer about a new row, with its address below that of the list."""
        return self.shown(row, status=201, Location=f"{self.request.path}/{row.public_id}", **headers)


def listing(operation_id: str, summary: str, item: Representation, **declared: Any) -> Decorator:
    """Declare the operation of an action that answers with a page of `item`, by default with a time range.

    Lists refuse unknown parameters.
    """
    declared.setdefault("filters", CreatedWindow)
    return operation(operation_id, summary, answers={200: page_of(item)}, is_paged=True, **declared)


def creation(operation_id: str, summary: str, *, body: Shape = EMPTY, **declared: Any) -> Decorator:
    """Declare the operation of a POST, which honours idempotency keys.

    The action gets the checked body as its argument `body`, unless that must be empty.
    """

    def declare(served: Callable[..., Any]) -> Callable[..., Any]:
        @operation(operation_id, summary, body=body, **declared)
        @idempotent
        @functools.wraps(served)
        def handler(view: Any, request: Any, **path: str) -> Any:
            sent = body.check(request.data)
            return served(view, request, **path) if body is EMPTY else served(view, request, body=sent, **path)

        return handler

    return declare


def verb(
    operation_id: str, summary: str, *, detail: bool = True, path: str = "", body: Shape = EMPTY, **declared: Any
) -> Decorator:
    """Declare a POST on the row that the path names, or with `detail=False` on the noun, as `creation` does.

    The last part of its path is `path`, or the name of the action.
    """

    def declare(served: Callable[..., Any]) -> Callable[..., Any]:
        handler = creation(operation_id, summary, body=body, **declared)(served)
        url_path = path or served.__name__.replace("_", "-")
        routed: Callable[..., Any] = action(detail=detail, methods=["post"], url_path=url_path)(handler)
        return routed

    return declare


def _declared(viewset: type[TenantViewSet], name: str) -> Operation:
    found = operation_of(viewset, name)
    if found is None:
        raise ImproperlyConfigured(f"{viewset.__name__}.{name} declares no operation")
    return found


class TenantRouter(SimpleRouter):
    """Router of paths without trailing slash. The names of its routes derive from those of the viewsets."""

    def __init__(self) -> None:
        super().__init__(trailing_slash=False, use_regex_path=False)

    def get_default_basename(self, viewset: type[Any]) -> str:
        return viewset.__name__.removesuffix("ViewSet").lower()


def in_order(endpoints: list[Any], **_: Any) -> list[Any]:
    """Keep the order of routes, and order the methods of each as HTTP's tables do: a document is the same each time."""
    order = {route: number for number, route in reversed(list(enumerate(endpoint[0] for endpoint in endpoints)))}
    return sorted(endpoints, key=lambda endpoint: (order[endpoint[0]], METHODS.index(endpoint[2])))
