"""`/four-eyes`: read and change the four-eyes rules of the tenant."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar, Final

from rest_framework.response import Response

from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation, representation
from threada_site.api.permissions import require
from threada_site.api.shapes import shape
from threada_site.api.views import TenantView
from threada_site.identity.four_eyes import end_four_eyes, require_four_eyes
from threada_site.kernel import errors, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import Scope
from threada_site.tenancy.four_eyes import FOUR_EYES as RULES
from threada_site.tenancy.four_eyes import FREEZE_FOUR_EYES, POLICY_FOUR_EYES, four_eyes_rule

_MAYBE_TEXT: Final[dict[str, Any]] = {"type": ["string", "null"]}
FOUR_EYES: Final = representation(
    "FourEyes",
    {
        POLICY_FOUR_EYES: {
            "type": "boolean",
            "description": "True if another person than the authors must publish a policy version.",
        },
        "changed_at": _MAYBE_TEXT,
        "end_asked_by": {**_MAYBE_TEXT, "description": "Person who requested the end; another person must confirm it."},
        "end_asked_at": _MAYBE_TEXT,
        FREEZE_FOUR_EYES: {
            "type": "boolean",
            "description": "True if a freeze must be lifted by another person than the one who set it.",
        },
        "freeze_end_asked_by": {
            **_MAYBE_TEXT,
            "description": "Person who requested the end; another one must confirm it.",
        },
    },
    example={
        POLICY_FOUR_EYES: True,
        "changed_at": "2026-01-31T12:00:00Z",
        "end_asked_by": None,
        "end_asked_at": None,
        FREEZE_FOUR_EYES: False,
        "freeze_end_asked_by": None,
    },
)
SET_FOUR_EYES: Final = shape(
    {name: {"type": "boolean", "description": "Absent: unchanged."} for name in RULES},
    example={POLICY_FOUR_EYES: True},
)


class FourEyes(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ, "POST": Scope.WORKFLOW_MANAGE}

    @operation("readFourEyes", "Read four-eyes rules", tag="System", answers={200: FOUR_EYES})
    def get(self, request: Any) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)
        return Response(_represent(request.auth.tenant_id))

    @operation(
        "setFourEyes",
        "Change four-eyes rules",
        tag="System",
        body=SET_FOUR_EYES,
        answers={200: FOUR_EYES},
        reasons=("permission_denied", "person_required", "second_person_required"),
    )
    @idempotent
    def post(self, request: Any) -> Response:
        """Require four eyes, or end the requirement.

        One tenant_admin can require it. Two are needed to end it: the first `false` requests the end, a second person
        confirms it within seven days.
        """
        body = SET_FOUR_EYES.check(request.data)
        if not body:
            raise errors.InvalidRequest(f"Name at least one of {', '.join(RULES)}.")
        for name, is_required in body.items():
            operation = require_four_eyes if is_required else end_four_eyes
            operation(name, ctx=request.auth)
        return Response(_represent(request.auth.tenant_id))


def _represent(tenant_id: uuid.UUID) -> dict[str, Any]:
    rule, of_freezes = (four_eyes_rule(tenant_id, name) for name in RULES)
    return {
        POLICY_FOUR_EYES: rule is not None and rule.is_required,
        "changed_at": rfc3339(rule.changed_at) if rule else None,
        "end_asked_by": ids.public_id(ids.PRINCIPAL, rule.end_asked_by) if rule and rule.end_asked_by else None,
        "end_asked_at": rfc3339(rule.end_asked_at) if rule and rule.end_asked_at else None,
        FREEZE_FOUR_EYES: of_freezes is not None and of_freezes.is_required,
        "freeze_end_asked_by": ids.public_id(ids.PRINCIPAL, of_freezes.end_asked_by)
        if of_freezes and of_freezes.end_asked_by
        else None,
    }
