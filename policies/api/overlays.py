"""Endpoints `/overlays`, `/policies/effective` and `/policy-decisions`."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.response import Response

from policies import selectors
from policies.api.filters import EffectiveFilters, OverlayFilters, groups_named
from policies.api.replaceable import REPLACE_OVERLAY
from policies.api.resources.decisions import EFFECTIVE, POLICY_DECISION
from policies.api.resources.policies import OVERLAY
from policies.api.shapes import ADD_OVERLAY
from policies.configuration.overlays import remove_overlay, upsert_overlay
from policies.deciding.stored_decision import record_reading_of_facts
from policies.documents.overlay import parse_overlay
from policies.locks import locked_policy_of
from policies.models import Overlay
from threada_site.api.conditional_requests.tags import check_if_match, etag, short_digest
from threada_site.api.filters import apply_filters, read_instant
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.permissions import require
from threada_site.api.resources.resource import page_of
from threada_site.api.views import TenantView, path_id
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import FieldError


class Overlays(TenantView):
    """Changing overlays changes decisions like publishing does, so it needs the same scope."""

    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ, "POST": Scope.POLICIES_PUBLISH}

    @operation(
        "listOverlays",
        "List overlays",
        tag="Policies",
        answers={200: page_of(OVERLAY)},
        filters=OverlayFilters,
        is_paged=True,
    )
    def get(self, request: Any) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)
        rows = selectors.overlays(request.auth).defer("policy__in_force__document")
        rows = apply_filters(OverlayFilters, rows, request)
        return Response(paginate(rows, request, represent=OVERLAY.represent))

    @operation(
        "addOverlay",
        "Create an overlay",
        tag="Policies",
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
    @idempotent
    def post(self, request: Any) -> Response:
        """Binds a policy to a scope from the next decision on, within the time window. If the binding exists, its time
        window is replaced (200). A policy without a version in force denies everything in its scopes."""
        body = ADD_OVERLAY.check(request.data)
        if selectors.policy_by_slug(body["policy_id"], ctx=request.auth) is None:
            unknown = FieldError("/policy_id", f"{body['policy_id']} names no policy", "unknown")
            raise errors.DocumentInvalid(errors=[unknown])
        window = {name: body[name] for name in ("starts_at", "ends_at") if name in body}
        document = parse_overlay({"policy": body["policy_id"], "scope": body["scope"], **window})
        result = upsert_overlay(document.policy, document.scope, window=document.window, ctx=request.auth)
        return _answer(result.row, status=201 if result.is_new else 200)


class OverlayDetail(TenantView):
    scopes: ClassVar = {
        "GET": Scope.WORKITEMS_READ,
        "PUT": Scope.POLICIES_PUBLISH,
        "PATCH": Scope.POLICIES_PUBLISH,
        "DELETE": Scope.POLICIES_PUBLISH,
    }

    @operation("readOverlay", "Read an overlay", tag="Policies", answers={200: OVERLAY}, headers=("ETag",))
    def get(self, request: Any, overlay_id: str) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)
        return _answer(_found(request, overlay_id))

    @operation(
        "replaceOverlay",
        "Replace the time window of an overlay",
        tag="Policies",
        body=REPLACE_OVERLAY.body,
        answers={200: OVERLAY},
        may_need_confirmation=True,
        needs_if_match=True,
        reasons=("document_invalid",),
        headers=("ETag",),
    )
    def put(self, request: Any, overlay_id: str) -> Response:
        """Take what `GET` returns. Policy and scope of an overlay do not change."""
        return self._put(request, overlay_id)

    @operation(
        "editOverlay",
        "Change the time window of an overlay",
        tag="Policies",
        body=REPLACE_OVERLAY.patch,
        answers={200: OVERLAY},
        may_need_confirmation=True,
        needs_if_match=True,
        reasons=("document_invalid",),
        headers=("ETag",),
    )
    def patch(self, request: Any, overlay_id: str) -> Response:
        """Merge the members that are sent (RFC 7396): null removes a bound."""
        return self._put(request, overlay_id)

    @operation(
        "removeOverlay",
        "Remove an overlay",
        tag="Policies",
        answers={204: None},
        takes_if_match=True,
        may_need_confirmation=True,
    )
    def delete(self, request: Any, overlay_id: str) -> Response:
        overlay = _locked(request, overlay_id)
        check_if_match(request, _tag(overlay), required=False)
        remove_overlay(overlay, ctx=request.auth)
        return Response(status=204)

    def _put(self, request: Any, overlay_id: str) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)  # the answer shows policy and scope
        overlay = _locked(request, overlay_id)
        sent = REPLACE_OVERLAY.replaced(request, OVERLAY.represent(overlay), tag=_tag(overlay))
        document = parse_overlay({"policy": overlay.policy.slug, "scope": overlay.scope.as_json(), **sent})
        result = upsert_overlay(document.policy, document.scope, window=document.window, ctx=request.auth)
        return _answer(result.row)


def _found(request: Any, overlay_id: str) -> Overlay:
    overlay = selectors.overlays(request.auth).filter(id=path_id(ids.OVERLAY, overlay_id)).first()
    if overlay is None:
        raise errors.NotFound
    return overlay


def _locked(request: Any, overlay_id: str) -> Overlay:
    """Return the overlay under the lock of its policy, which every change of an overlay's window takes first."""
    locked_policy_of(_found(request, overlay_id), ctx=request.auth)
    return _found(request, overlay_id)


def _tag(overlay: Overlay) -> str:
    return etag(overlay.public_id, short_digest(str(overlay.window.as_json())))


def _answer(overlay: Overlay, *, status: int = 200) -> Response:
    location = {"Location": f"/overlays/{overlay.public_id}"} if status == 201 else {}
    return Response(OVERLAY.represent(overlay), status=status, headers={"ETag": _tag(overlay), **location})


class EffectivePolicies(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    @operation(
        "readEffectivePolicies",
        "List the effective rules for the work items of a workflow",
        tag="Policies",
        answers={200: EFFECTIVE},
        filters=EffectiveFilters,
        reasons=("unknown_workflow", "unknown_channel", "unknown_group"),
    )
    def get(self, request: Any) -> Response:
        """Each rule has its origin and the narrower rules that override it if both match. Pass the groups of the
        requester to include rules bound to groups, and an instant to select time windows."""
        rows = apply_filters(EffectiveFilters, selectors.overlays(request.auth), request)
        workflow, channel = request.query_params["workflow_id"], request.query_params.get("channel_id") or None
        if selectors.workflow_by_slug(workflow, ctx=request.auth) is None:
            raise errors.UnknownWorkflow(errors=[FieldError("?workflow_id", "names no workflow", "unknown")])
        if channel is not None and selectors.channel_by_slug(channel, ctx=request.auth) is None:
            raise errors.UnknownChannel(errors=[FieldError("?channel_id", "names no channel", "unknown")])
        groups = groups_named(request.query_params.get("group_id"))
        for group in groups:
            if not selectors.group_exists(group, tenant_id=request.auth.tenant_id):
                raise errors.UnknownGroup(errors=[FieldError("?group_id", f"{group[:63]} names no group", "unknown")])
        asked_at = read_instant(request.query_params.get("at")) or clock.now()
        asked = {"workflow_id": workflow, "channel_id": channel, "group_ids": groups, "at": asked_at}
        return Response(EFFECTIVE.represent(selectors.bindings(rows), **asked))


class PolicyDecisionDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    @operation(
        "readPolicyDecision",
        "Read a policy decision",
        tag="Policies",
        answers={200: POLICY_DECISION},
    )
    def get(self, request: Any, policy_decision_id: str) -> Response:
        """Contains everything needed to understand and repeat the decision."""
        decision = selectors.decision_for(path_id(ids.POLICY_DECISION, policy_decision_id), ctx=request.auth)
        if decision is None:
            raise errors.NotFound
        record_reading_of_facts(decision, ctx=request.auth)
        return Response(POLICY_DECISION.represent(decision))
