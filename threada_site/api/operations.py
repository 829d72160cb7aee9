"""Declarations of endpoints, next to their handlers; published in the OpenAPI document."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any

import django_filters

from threada_site.api.openapi.version import Deprecation
from threada_site.api.resources.resource import Representation
from threada_site.api.shapes import Shape
from threada_site.database.replica_reads import read
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import Reason

ATTRIBUTE = "threada_operation"


@dataclass(frozen=True, slots=True)
class RefusalForm:
    """Form of refusals other than problem documents: its representation, and status and body of a reason."""

    representation: Representation
    status_of: Callable[[Reason], int]
    body_of: Callable[..., dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    operation_id: str
    summary: str
    tag: str
    scope: Scope | EllipsisType | None = ...
    description: str = ""
    body: Shape | None = None
    answers: Mapping[int, Representation | None]
    filters: type[django_filters.FilterSet] | None = None
    is_paged: bool = False
    takes_if_match: bool = False
    can_wait: bool = False
    needs_if_match: bool = False
    may_create: bool = False
    deprecation: Deprecation | None = None
    may_need_confirmation: bool = False
    reasons: Sequence[str] = ()
    headers: Sequence[str] = ()
    body_media_type: str = "application/json"
    refusal_form: RefusalForm | None = None


def operation(
    operation_id: str,
    summary: str,
    *,
    tag: str = "",
    scope: Scope | EllipsisType | None = ...,
    answers: Mapping[int, Representation | None],
    description: str = "",
    body: Shape | None = None,
    filters: type[django_filters.FilterSet] | None = None,
    is_paged: bool = False,
    is_read_from_replica: bool = False,
    takes_if_match: bool = False,
    can_wait: bool = False,
    needs_if_match: bool = False,
    may_create: bool = False,
    deprecation: Deprecation | None = None,
    may_need_confirmation: bool = False,
    reasons: Sequence[str] = (),
    headers: Sequence[str] = (),
    body_media_type: str = "application/json",
    refusal_form: RefusalForm | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a handler of a view (`get`, `post`, …), or an action of a viewset (`list`, `create`, …).

    `tag`, `scope`: of an action; a viewset may have one tag for all, and a scope of None admits any credential. Views
    have `scopes`. `answers`: representation per success status; None for an empty body. `reasons`: reason codes beyond
    those that follow from scopes, body, path, filters, idempotency and preconditions. `headers`: response headers such
    as `Location` and `ETag`. `body`: its shape. `takes_if_match`: the header is optional; `needs_if_match`: a request
    without it is refused. `may_create`: a PUT with `If-None-Match: *` creates the resource. `deprecation`: the end of
    the operation. `may_need_confirmation`: under a four-eyes rule the answer is 202 with a change set. The description
    defaults to the docstring. `can_wait`: takes `Prefer: wait=…`.

    `refusal_form`: form of the refusals in `reasons`, if they are no problem documents.

    Paged handlers, and those with `is_read_from_replica`, read from a replica if there is one. They must not write.
    """

    def declare(handler: Callable[..., Any]) -> Callable[..., Any]:
        declared = Operation(
            operation_id=operation_id,
            summary=summary,
            tag=tag,
            scope=scope,
            description=description or (handler.__doc__ or "").strip(),
            body=body,
            answers=answers,
            filters=filters,
            is_paged=is_paged,
            takes_if_match=takes_if_match,
            can_wait=can_wait,
            needs_if_match=needs_if_match,
            may_create=may_create,
            deprecation=deprecation,
            may_need_confirmation=may_need_confirmation,
            reasons=reasons,
            headers=headers,
            body_media_type=body_media_type,
            refusal_form=refusal_form,
        )
        setattr(handler, ATTRIBUTE, declared)
        return _read_from_replica(handler) if is_paged or is_read_from_replica else handler

    return declare


def _read_from_replica(handler: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(handler)
    def wrapper(view: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        since = getattr(request, "read_since", None)
        if since is None:
            return handler(view, request, *args, **kwargs)
        return read(
            request.auth.tenant_id, lambda: handler(view, request, *args, **kwargs), since=since, actor=request.auth
        )

    return wrapper


def handler_name(view: Any, method: str) -> str:
    """Return the name of what handles an HTTP method: an action of a viewset, or the method itself."""
    actions: Mapping[str, str] = getattr(view, "action_map", None) or {}
    return actions.get(method.lower(), method.lower())


def operation_of(view: type[Any], handler: str) -> Operation | None:
    """Return the operation of a handler, or None. An override without one has that of the handler it overrides."""
    found = (getattr(vars(cls).get(handler), ATTRIBUTE, None) for cls in view.__mro__)
    return next(filter(None, found), None)
