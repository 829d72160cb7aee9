"""`/overlays`: bindings of policies to scopes."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.response import Response

from policies import selectors
from policies.api.filters import OverlayFilters
from policies.api.replaceable import REPLACE_OVERLAY
from policies.api.resources.policies import OVERLAY
from policies.api.shapes import ADD_OVERLAY
from policies.configuration.overlays import remove_overlay, upsert_overlay
from policies.documents.overlay import parse_overlay
from policies.locks import locked_policy_of
from policies.models import Overlay
from threada_site.api.conditional_requests.tags import check_if_match, etag, short_digest
from threada_site.api.operations import operation
from threada_site.api.permissions import require
from threada_site.api.viewsets import TenantViewSet, creation, listing
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import FieldError


class OverlayViewSet(TenantViewSet):
    """Changing overlays changes decisions like publishing does, so it needs the same scope."""

    id_prefix = ids.OVERLAY
    lookup_url_kwarg = "overlay_id"
    resource = OVERLAY
    tag = "Policies"

    def get_queryset(self) -> QuerySet[Overlay]:
        return selectors.overlays(self.request.auth)

    @listing("listOverlays", "List overlays", OVERLAY, scope=Scope.WORKITEMS_READ, filters=OverlayFilters)
    def list(self, request: Any) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)
        return self.page(self.filter_queryset(self.get_queryset().defer("policy__in_force__document")))

    @creation(
        "addOverlay",
        "Create an overlay",
        scope=Scope.POLICIES_PUBLISH,
        body=ADD_OVERLAY,
        answers={200: OVERLAY, 201: OVERLAY},
        may_need_confirmation=True,
        reasons=(
            "document_invalid",
            "unknown_workflow",
            "unknown_channel",
            "unknown_group",
            "unknown_pack",
            "policy_document_invalid",
        ),
        headers=("Location", "ETag"),
    )
    def create(self, request: Any, body: dict[str, Any]) -> Response:
        """Binds a policy to a scope from the next decision on, within the time window. If the binding exists, its time
        window is replaced (200). A policy without a version in force denies everything in its scopes."""
        if selectors.policy_by_slug(body["policy_id"], ctx=request.auth) is None:
            unknown = FieldError("/policy_id", f"{body['policy_id']} names no policy", "unknown")
            raise errors.DocumentInvalid(errors=[unknown])
        window = {name: body[name] for name in ("starts_at", "ends_at") if name in body}
        document = parse_overlay({"policy": body["policy_id"], "scope": body["scope"], **window})
        result = upsert_overlay(document.policy, document.scope, window=document.window, ctx=request.auth)
        answer = self.created if result.is_new else self.shown
        return answer(result.row, ETag=_tag(result.row))

    @operation("readOverlay", "Read an overlay", scope=Scope.WORKITEMS_READ, answers={200: OVERLAY}, headers=("ETag",))
    def retrieve(self, request: Any, overlay_id: str) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)
        overlay = self.get_object()
        return self.shown(overlay, ETag=_tag(overlay))

    @operation(
        "replaceOverlay",
        "Replace the time window of an overlay",
        scope=Scope.POLICIES_PUBLISH,
        body=REPLACE_OVERLAY.body,
        answers={200: OVERLAY},
        may_need_confirmation=True,
        needs_if_match=True,
        reasons=("document_invalid",),
        headers=("ETag",),
    )
    def update(self, request: Any, overlay_id: str) -> Response:
        """Take what `GET` returns. Policy and scope of an overlay do not change."""
        return self._put(request)

    @operation(
        "editOverlay",
        "Change the time window of an overlay",
        scope=Scope.POLICIES_PUBLISH,
        body=REPLACE_OVERLAY.patch,
        answers={200: OVERLAY},
        may_need_confirmation=True,
        needs_if_match=True,
        reasons=("document_invalid",),
        headers=("ETag",),
    )
    def partial_update(self, request: Any, overlay_id: str) -> Response:
        """Merge the members that are sent (RFC 7396): null removes a bound."""
        return self._put(request)

    @operation(
        "removeOverlay",
        "Remove an overlay",
        scope=Scope.POLICIES_PUBLISH,
        answers={204: None},
        takes_if_match=True,
        may_need_confirmation=True,
    )
    def destroy(self, request: Any, overlay_id: str) -> Response:
        overlay = self._locked()
        check_if_match(request, _tag(overlay), required=False)
        remove_overlay(overlay, ctx=request.auth)
        return Response(status=204)

    def _locked(self) -> Overlay:
        """Return the overlay under the lock of its policy, which every change of an overlay's window takes first."""
        locked_policy_of(self.get_object(), ctx=self.request.auth)
        found: Overlay = self.get_object()
        return found

    def _put(self, request: Any) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)  # the answer shows policy and scope
        overlay = self._locked()
        sent = REPLACE_OVERLAY.replaced(request, OVERLAY.represent(overlay), tag=_tag(overlay))
        document = parse_overlay({"policy": overlay.policy.slug, "scope": overlay.scope.as_json(), **sent})
        result = upsert_overlay(document.policy, document.scope, window=document.window, ctx=request.auth)
        return self.shown(result.row, ETag=_tag(result.row))


def _tag(overlay: Overlay) -> str:
    return etag(overlay.public_id, short_digest(str(overlay.window.as_json())))
