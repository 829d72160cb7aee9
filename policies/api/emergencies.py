"""Endpoints to confirm or end an emergency publication."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.response import Response

from policies.api.policies import answer_version, version_asked
from policies.api.resources.policies import POLICY_VERSION
from policies.models import EmergencyPublication
from policies.publication.emergencies import confirm_emergency, end_emergency
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.shapes import EMPTY
from threada_site.api.views import TenantView
from threada_site.kernel import errors
from threada_site.kernel.context import Scope


class ConfirmEmergency(TenantView):
    scopes: ClassVar = {"POST": Scope.POLICIES_PUBLISH}

    @operation(
        "confirmEmergency",
        "Confirm an emergency publication as a second person",
        tag="Policies",
        body=EMPTY,
        answers={200: POLICY_VERSION},
        reasons=(
            "transition_not_allowed",
            "emergency_over",
            "person_required",
            "vote_authentication_required",
            "second_person_required",
        ),
        headers=("ETag",),
    )
    @idempotent
    def post(self, request: Any, policy_id: str, version: str) -> Response:
        """Confirm an emergency publication. The version stays in force. Only a person who is independent of the
        publisher can confirm it."""
        EMPTY.check(request.data)
        emergency = _emergency(self, request, policy_id, version)
        return answer_version(confirm_emergency(emergency, ctx=request.auth).version)


class EndEmergency(TenantView):
    scopes: ClassVar = {"POST": Scope.POLICIES_PUBLISH}

    @operation(
        "endEmergency",
        "End an emergency publication",
        tag="Policies",
        body=EMPTY,
        answers={200: POLICY_VERSION},
        reasons=("transition_not_allowed",),
        headers=("ETag",),
    )
    @idempotent
    def post(self, request: Any, policy_id: str, version: str) -> Response:
        """End an emergency publication.

        One that is only announced is withdrawn. Otherwise the version is retired and the previous version is put back
        in force, as at the end of the time box. Open steps of the version are re-evaluated.
        """
        EMPTY.check(request.data)
        emergency = _emergency(self, request, policy_id, version)
        return answer_version(end_emergency(emergency, ctx=request.auth).version)


def _emergency(view: TenantView, request: Any, policy_id: str, name: str) -> EmergencyPublication:
    version = version_asked(view, request, policy_id, name)
    rows = EmergencyPublication.objects.filter(tenant_id=request.auth.tenant_id, version=version)
    found = rows.order_by("-id").first()
    if found is None:
        raise errors.TransitionNotAllowed(f"Version {version.number} was not published in an emergency.")
    return found
