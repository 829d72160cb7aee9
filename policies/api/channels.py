"""`/channels`: ways by which work items arrive."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
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
from threada_site.api.filters import CreatedWindow
from threada_site.api.operations import operation
from threada_site.api.permissions import require
from threada_site.api.views import path_slug
from threada_site.api.viewsets import TenantViewSet, creation, listing
from threada_site.kernel import errors
from threada_site.kernel.context import Scope


class ChannelViewSet(TenantViewSet):
    lookup_url_kwarg = "channel_id"
    resource = CHANNEL
    tag = "Channels"

    def get_queryset(self) -> QuerySet[Channel]:
        return selectors.channels(self.request.auth)

    @listing("listChannels", "List channels", CHANNEL, scope=Scope.WORKITEMS_READ, filters=CreatedWindow)
    def list(self, request: Any) -> Response:
        return self.page()

    @creation(
        "createChannel",
        "Create a channel",
        scope=Scope.WORKFLOW_MANAGE,
        body=CREATE_CHANNEL,
        answers={201: CHANNEL},
        may_need_confirmation=True,
        reasons=("conflict",),
        headers=("Location", "ETag"),
    )
    def create(self, request: Any, body: dict[str, Any]) -> Response:
        slug = body["channel_id"]
        self.subject = Subject(channel=slug)
        exists = errors.Conflict(f"The channel {slug} exists. Choose another id.")
        if selectors.channel_by_slug(slug, ctx=request.auth) is not None:
            raise exists
        result = upsert_channel(slug, ctx=request.auth, name=body.get("name", ""))
        if not result.is_new:
            raise exists
        return self.created(result.row)

    @operation("readChannel", "Read a channel", scope=Scope.WORKITEMS_READ, answers={200: CHANNEL}, headers=("ETag",))
    def retrieve(self, request: Any, channel_id: str) -> Response:
        channel = selectors.channel_by_slug(path_slug(channel_id), ctx=request.auth)
        if channel is None:
            raise errors.NotFound
        return self.shown(channel, ETag=_tag(channel))

    @operation(
        "replaceChannel",
        "Create or replace a channel",
        scope=Scope.WORKFLOW_MANAGE,
        body=REPLACE_CHANNEL.body,
        answers={200: CHANNEL, 201: CHANNEL},
        may_need_confirmation=True,
        needs_if_match=True,
        may_create=True,
        headers=("ETag", "Location"),
    )
    def update(self, request: Any, channel_id: str) -> Response:
        """Take what `GET` returns."""
        return self._put(path_slug(channel_id))

    @operation(
        "editChannel",
        "Change members of a channel",
        scope=Scope.WORKFLOW_MANAGE,
        body=REPLACE_CHANNEL.patch,
        answers={200: CHANNEL},
        may_need_confirmation=True,
        needs_if_match=True,
        headers=("ETag",),
    )
    def partial_update(self, request: Any, channel_id: str) -> Response:
        """Merge the members that are sent (RFC 7396): null removes a member."""
        require(request.auth, Scope.WORKITEMS_READ)  # the answer shows what was merged into
        return self._put(path_slug(channel_id))

    @operation(
        "removeChannel",
        "Remove a channel",
        scope=Scope.WORKFLOW_MANAGE,
        answers={204: None},
        takes_if_match=True,
        may_need_confirmation=True,
        reasons=("in_use",),
    )
    def destroy(self, request: Any, channel_id: str) -> Response:
        """Accept no more work items from it. Ended work items keep its name; open ones refuse it (`in_use`)."""
        slug = path_slug(channel_id)
        channel = self._locked(slug)
        if channel is None:
            raise errors.NotFound
        self.subject = Subject(channel=slug)
        check_if_match(request, _tag(channel), required=False)
        remove_channel(slug, ctx=request.auth)
        return Response(status=204)

    def created(self, row: Channel, **headers: str) -> Response:
        return self.shown(row, status=201, Location=f"/channels/{row.slug}", ETag=_tag(row), **headers)

    def _locked(self, slug: str) -> Channel | None:
        return self.get_queryset().select_for_update(no_key=True).filter(slug=slug).first()

    def _put(self, slug: str) -> Response:
        channel = self._locked(slug)
        if channel is None and self.request.method == "PATCH":
            raise errors.NotFound
        self.subject = Subject(channel=slug)
        if channel is None:
            sent = REPLACE_CHANNEL.created(self.request, slug)
        else:
            sent = REPLACE_CHANNEL.replaced(self.request, CHANNEL.represent(channel), tag=_tag(channel))
        result = upsert_channel(slug, ctx=self.request.auth, name=sent.get("name") or "")
        if channel is None:
            check_created(is_new=result.is_new)
            return self.created(result.row)
        return self.shown(result.row, ETag=_tag(result.row))


def _tag(channel: Channel) -> str:
    return etag(channel.slug, short_digest(channel.name))
