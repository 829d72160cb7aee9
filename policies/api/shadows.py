"""Endpoints `…/shadow` and `/policy-shadows`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django import forms
from rest_framework.response import Response

from policies import selectors
from policies.api.filters import ShadowFilters
from policies.api.resources.trials import POLICY_SHADOW
from policies.api.simulations import found_version
from policies.api.trial_shapes import SHADOW
from policies.models import PolicyShadow
from policies.replay.shadows import end_shadow, start_shadow
from telemetry.receipts.format import Subject
from threada_site.api.filters import apply_filters, read_instant
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.permissions import require
from threada_site.api.resources.resource import page_of
from threada_site.api.shapes import EMPTY
from threada_site.api.views import TenantView, path_id
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import FieldError


class ShadowPolicyVersion(TenantView):
    scopes: ClassVar = {"POST": Scope.POLICIES_WRITE}

    @operation(
        "shadowPolicyVersion",
        "Compare this version with live decisions without enforcing it",
        tag="Policies",
        body=SHADOW,
        answers={201: POLICY_SHADOW},
        headers=("Location",),
        reasons=("policy_document_invalid", "conflict"),
    )
    @idempotent
    def post(self, request: Any, policy_id: str, version: str) -> Response:
        """Every live decision of the policy is compared afterwards with the answer of this version on the same facts.
        Live checks are not delayed. The shadow ends automatically at `ends_at`."""
        body = SHADOW.check(request.data)
        found = found_version(self, request, policy_id, version)
        shadow = start_shadow(found, ends_at=_instant(body["ends_at"]), ctx=request.auth)
        headers = {"Location": f"/policy-shadows/{shadow.public_id}"}
        return Response(POLICY_SHADOW.represent(shadow), status=201, headers=headers)


class PolicyShadows(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    @operation(
        "listPolicyShadows",
        "List shadows, newest first",
        tag="Policies",
        answers={200: page_of(POLICY_SHADOW)},
        filters=ShadowFilters,
        is_paged=True,
    )
    def get(self, request: Any) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)
        rows = apply_filters(ShadowFilters, selectors.shadows(request.auth).defer("document"), request)
        return Response(paginate(rows, request, represent=POLICY_SHADOW.represent))


class PolicyShadowDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    @operation("readPolicyShadow", "Read a shadow with its results", tag="Policies", answers={200: POLICY_SHADOW})
    def get(self, request: Any, policy_shadow_id: str) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)
        return Response(POLICY_SHADOW.represent(_found(self, request, policy_shadow_id)))


class EndPolicyShadow(TenantView):
    scopes: ClassVar = {"POST": Scope.POLICIES_WRITE}

    @operation(
        "endPolicyShadow",
        "End a shadow",
        tag="Policies",
        body=EMPTY,
        answers={200: POLICY_SHADOW},
        reasons=("transition_not_allowed",),
    )
    @idempotent
    def post(self, request: Any, policy_shadow_id: str) -> Response:
        EMPTY.check(request.data)
        shadow = _found(self, request, policy_shadow_id, for_update=True)
        end_shadow(shadow, ctx=request.auth)
        return Response(POLICY_SHADOW.represent(shadow))


def _instant(text: str) -> datetime:
    try:
        instant = read_instant(text)
    except forms.ValidationError as error:
        raise errors.InvalidRequest(errors=[FieldError("/ends_at", str(error.message), "invalid")]) from None
    if instant is None:
        raise errors.InvalidRequest(errors=[FieldError("/ends_at", "is required", "required")])
    return instant


def _found(view: TenantView, request: Any, name: str, *, for_update: bool = False) -> PolicyShadow:
    rows = selectors.shadows(request.auth)
    rows = rows.select_for_update(of=("self",)) if for_update else rows
    shadow = rows.filter(id=path_id(ids.POLICY_SHADOW, name)).first()
    if shadow is None:
        raise errors.NotFound
    view.subject = Subject(policy_version_id=shadow.policy_version_id, status=shadow.status)
    return shadow
