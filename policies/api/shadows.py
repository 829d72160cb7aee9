"""`/policy-shadows`: comparisons of a version with live decisions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.db.models import QuerySet
from rest_framework.response import Response

from policies import selectors
from policies.api.filters import ShadowFilters
from policies.api.resources.trials import POLICY_SHADOW
from policies.models import PolicyShadow
from policies.replay.shadows import end_shadow
from telemetry.receipts.format import Subject
from threada_site.api.filters import read_instant
from threada_site.api.operations import operation
from threada_site.api.permissions import require
from threada_site.api.viewsets import TenantViewSet, listing, verb
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import FieldError


class PolicyShadowViewSet(TenantViewSet):
    id_prefix = ids.POLICY_SHADOW
    lookup_url_kwarg = "policy_shadow_id"
    resource = POLICY_SHADOW
    tag = "Policies"

    def get_queryset(self) -> QuerySet[PolicyShadow]:
        rows = selectors.shadows(self.request.auth)
        return rows.select_for_update(of=("self",)) if self.action == "end" else rows

    def get_object(self) -> PolicyShadow:
        shadow: PolicyShadow = super().get_object()
        self.subject = Subject(policy_version_id=shadow.policy_version_id, status=shadow.status)
        return shadow

    @listing(
        "listPolicyShadows",
        "List shadows, newest first",
        POLICY_SHADOW,
        scope=Scope.WORKITEMS_READ,
        filters=ShadowFilters,
    )
    def list(self, request: Any) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)
        return self.page(self.filter_queryset(self.get_queryset().defer("document")))

    @operation(
        "readPolicyShadow",
        "Read a shadow with its results",
        scope=Scope.WORKITEMS_READ,
        answers={200: POLICY_SHADOW},
    )
    def retrieve(self, request: Any, policy_shadow_id: str) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)
        return self.shown(self.get_object())

    @verb(
        "endPolicyShadow",
        "End a shadow",
        scope=Scope.POLICIES_WRITE,
        answers={200: POLICY_SHADOW},
        reasons=("transition_not_allowed",),
    )
    def end(self, request: Any, policy_shadow_id: str) -> Response:
        shadow = self.get_object()
        end_shadow(shadow, ctx=request.auth)
        return self.shown(shadow)


def end_asked(text: str) -> datetime:
    """Return the end of a shadow that a request names. Raise `InvalidRequest`."""
    try:
        instant = read_instant(text)
    except forms.ValidationError as error:
        raise errors.InvalidRequest(errors=[FieldError("/ends_at", str(error.message), "invalid")]) from None
    if instant is None:
        raise errors.InvalidRequest(errors=[FieldError("/ends_at", "is required", "required")])
    return instant
