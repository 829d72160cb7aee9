"""A small resource for testing the HTTP grammar alone: channels on a shelf."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

import django_filters
from django.urls import include, path
from rest_framework.response import Response

from policies.models import Channel, Workflow
from threada_site.api.conditional_requests.tags import check_if_match, etag
from threada_site.api.filters import AnyOf, CreatedWindow, PublicIdFilter, SlugFilter, apply_filters
from threada_site.api.idempotency import idempotent
from threada_site.api.pagination import paginate
from threada_site.api.permissions import require
from threada_site.api.shapes import SLUG, shape
from threada_site.api.views import TenantView, path_slug
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope

PUT_CHANNEL = shape({"slug": SLUG, "then": {"enum": ["refuse", "deny", "break", "wait"]}}, required=("slug",))


class Gate:
    """Blocks a request in progress until the test opens it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()


gate = Gate()


class ChannelFilters(CreatedWindow):
    slug = SlugFilter(field_name="slug")
    item_id = PublicIdFilter(field_name="id", prefix=ids.WORK_ITEM)
    status = AnyOf(django_filters.ChoiceFilter(choices=[(word, word) for word in ("pending", "approved")]))


class Channels(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ, "POST": Scope.WORKITEMS_WRITE}

    def get(self, request: Any) -> Response:
        rows = apply_filters(ChannelFilters, Channel.objects.filter(tenant_id=request.auth.tenant_id), request)
        return Response(paginate(rows, request, represent=lambda row: {"slug": row.slug}))

    @idempotent
    def post(self, request: Any) -> Response:
        body = PUT_CHANNEL.check(request.data)
        channel = Channel.objects.create(tenant_id=request.auth.tenant_id, slug=body["slug"])
        match body.get("then"):
            case "refuse":
                raise errors.Conflict(f"{channel.slug} is not wanted.")
            case "deny":
                raise errors.PolicyDenied(reasons=[{"reason": "NOT_TODAY"}], keeps_changes=True)
            case "break":
                raise RuntimeError("a secret that must not be answered")
            case "wait":
                gate.reached.set()
                assert gate.opened.wait(10)
        return Response({"slug": channel.slug}, status=201, headers={"Location": f"/channels/{channel.slug}"})


class ChannelDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ, "PATCH": Scope.WORKITEMS_WRITE}

    def get(self, request: Any, slug: str) -> Response:
        channel = Channel.objects.filter(tenant_id=request.auth.tenant_id, slug=path_slug(slug)).first()
        if channel is None:
            raise errors.NotFound
        return Response({"slug": channel.slug}, headers={"ETag": etag(channel.slug, 1)})

    def patch(self, request: Any, slug: str) -> Response:
        check_if_match(request, etag(slug, 1))
        return Response({"slug": slug})


class Decide(TenantView):
    """An action on one workflow."""

    scopes: ClassVar = {"POST": Scope.DECISIONS_DECIDE}

    def post(self, request: Any, slug: str) -> Response:
        workflow = Workflow.objects.filter(tenant_id=request.auth.tenant_id, slug=path_slug(slug)).first()
        if workflow is None:
            raise errors.NotFound
        require(request.auth, Scope.DECISIONS_DECIDE, workflow=workflow.id)
        return Response({"decided": slug})


urlpatterns = [
    path("", include("threada_site.api.urls")),
    path("channels", Channels.as_view()),
    path("channels/<str:slug>", ChannelDetail.as_view()),
    path("workflows/<str:slug>/decide", Decide.as_view()),
]
handler400 = "threada_site.api.handlers.bad_request"
handler404 = "threada_site.api.handlers.not_found"
handler500 = "threada_site.api.handlers.server_error"
