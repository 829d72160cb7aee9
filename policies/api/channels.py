"""Endpoints `/channels`."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.response import Response

from policies import selectors
from policies.api.replaceable import REPLACE_CHANNEL
from policies.api.resources.workflows import CHANNEL
from policies.api.shapes import CREATE_CHANNEL
from policies.configuration.channels import upsert_channel
from policies.configuration.removal import remove_channel
from policies.models import Channel
from telemetry.receipts.format import Subject
from threada_site.api.conditional_requests.tags import check_created, check_if_match, etag, short_digest
from threada_site.api.filters import CreatedWindow, apply_filters
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.permissions import require
from threada_site.api.resources.resource import page_of
from threada_site.api.views import TenantView, path_slug
from threada_site.kernel import errors
from threada_site.kernel.context import Scope


class Channels(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ, "POST": Scope.WORKFLOW_MANAGE}

    @operation(
        "listChannels",
        "List channels",
        tag="Channels",
        answers={200: page_of(CHANNEL)},
        filters=CreatedWindow,
        is_paged=True,
    )
    def get(self, request: Any) -> Response:
        rows = apply_filters(CreatedWindow, selectors.channels(request.auth), request)
        return Response(paginate(rows, request, represent=CHANNEL.represent))

    @operation(
        "createChannel",
        "Create a channel",
        tag="Channels",
        body=CREATE_CHANNEL,
        answers={201: CHANNEL},
        may_need_confirmation=True,
        reasons=("conflict",),
        headers=("Location", "ETag"),
    )
    @idempotent
    def post(self, request: Any) -> Response:
        body = CREATE_CHANNEL.check(request.data)
        slug = body["channel_id"]
        self.subject = Subject(channel=slug)
        exists = errors.Conflict(f"The channel {slug} exists. Choose another id.")
        if selectors.channel_by_slug(slug, ctx=request.auth) is not None:
            raise exists
        result = upsert_channel(slug, ctx=request.auth, name=body.get("name", ""))
        if not result.is_new:
            raise exists
        return _answer(result.row, status=201)


class ChannelDetail(TenantView):
    scopes: ClassVar = {
        "GET": Scope.WORKITEMS_READ,
        "PUT": Scope.WORKFLOW_MANAGE,
        "PATCH": Scope.WORKFLOW_MANAGE,
        "DELETE": Scope.WORKFLOW_MANAGE,
    }

    @operation("readChannel", "Read a channel", tag="Channels", answers={200: CHANNEL}, headers=("ETag",))
    def get(self, request: Any, channel_id: str) -> Response:
        channel = selectors.channel_by_slug(path_slug(channel_id), ctx=request.auth)
        if channel is None:
            raise errors.NotFound
        return _answer(channel)

    @operation(
        "replaceChannel",
        "Create or replace a channel",
        tag="Channels",
        body=REPLACE_CHANNEL.body,
        answers={200: CHANNEL, 201: CHANNEL},
        may_need_confirmation=True,
        needs_if_match=True,
        may_create=True,
        headers=("ETag", "Location"),
    )
    def put(self, request: Any, channel_id: str) -> Response:
        """Take what `GET` returns."""
        return self._put(request, path_slug(channel_id))

    @operation(
        "editChannel",
        "Change members of a channel",
        tag="Channels",
        body=REPLACE_CHANNEL.patch,
        answers={200: CHANNEL},
        may_need_confirmation=True,
        needs_if_match=True,
        headers=("ETag",),
    )
    def patch(self, request: Any, channel_id: str) -> Response:
        """Merge the members that are sent (RFC 7396): null removes a member."""
        require(request.auth, Scope.WORKITEMS_READ)  # the answer shows what was merged into
        return self._put(request, path_slug(channel_id))

    @operation(
        "removeChannel",
        "Remove a channel",
        tag="Channels",
        answers={204: None},
        takes_if_match=True,
        may_need_confirmation=True,
        reasons=("in_use",),
    )
    def delete(self, request: Any, channel_id: str) -> Response:
        """Accept no more work items from it. Ended work items keep its name; open ones refuse it (`in_use`)."""
        slug = path_slug(channel_id)
        channel = _locked(request, slug)
        if channel is None:
            raise errors.NotFound
        self.subject = Subject(channel=slug)
        check_if_match(request, _tag(channel), required=False)
        remove_channel(slug, ctx=request.auth)
        return Response(status=204)

    def _put(self, request: Any, slug: str) -> Response:
        channel = _locked(request, slug)
        if channel is None and request.method == "PATCH":
            raise errors.NotFound
        self.subject = Subject(channel=slug)
        if channel is None:
            sent = REPLACE_CHANNEL.created(request, slug)
        else:
            sent = REPLACE_CHANNEL.replaced(request, CHANNEL.represent(channel), tag=_tag(channel))
        result = upsert_channel(slug, ctx=request.auth, name=sent.get("name") or "")
        if channel is None:
            check_created(is_new=result.is_new)
        return _answer(result.row, status=201 if channel is None else 200)


def _locked(request: Any, slug: str) -> Channel | None:
    return selectors.channels(request.auth).select_for_update(no_key=True).filter(slug=slug).first()


def _tag(channel: Channel) -> str:
    return etag(channel.slug, short_digest(channel.name))


def _answer(channel: Channel, *, status: int = 200) -> Response:
    location = {"Location": f"/channels/{channel.slug}"} if status == 201 else {}
    headers = {"ETag": _tag(channel), **location}
    return Response(CHANNEL.represent(channel), status=status, headers=headers)
