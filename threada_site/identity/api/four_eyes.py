"""`/four-eyes`: which acts need two people in the tenant."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from rest_framework.response import Response

from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation, representation
from threada_site.api.permissions import require
from threada_site.api.shapes import shape
from threada_site.api.views import TenantView
from threada_site.identity.services import end_four_eyes, require_four_eyes
from threada_site.kernel import ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import Scope
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES, four_eyes_rule
from threada_site.tenancy.models import FourEyesRule

_MAYBE_TEXT: Final[dict[str, Any]] = {"type": ["string", "null"]}
FOUR_EYES: Final = representation(
    "FourEyes",
    {
        POLICY_FOUR_EYES: {
            "type": "boolean",
            "description": "Whether a policy version is put in force by another person than those who wrote it.",
        },
        "changed_at": _MAYBE_TEXT,
        "end_asked_by": {**_MAYBE_TEXT, "description": "Who has asked to end it; another person ends it."},
        "end_asked_at": _MAYBE_TEXT,
    },
    example={POLICY_FOUR_EYES: True, "changed_at": "2026-01-31T12:00:00Z", "end_asked_by": None, "end_asked_at": None},
)
SET_FOUR_EYES: Final = shape(
    {POLICY_FOUR_EYES: {"type": "boolean"}}, required=(POLICY_FOUR_EYES,), example={POLICY_FOUR_EYES: True}
)


class FourEyes(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ, "POST": Scope.WORKFLOW_MANAGE}

    @operation("readFourEyes", "Which acts need two people?", tag="System", answers={200: FOUR_EYES})
    def get(self, request: Any) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)
        return Response(_represent(four_eyes_rule(request.auth.tenant_id, POLICY_FOUR_EYES)))

    @operation(
        "setFourEyes",
        "Have acts need two people, or one",
        tag="System",
        body=SET_FOUR_EYES,
        answers={200: FOUR_EYES},
        reasons=("permission_denied", "person_required", "second_person_required"),
    )
    @idempotent
    def post(self, request: Any) -> Response:
        """A tenant_admin may require it alone. To end it takes two: the first who sends `false` asks, the second ends
        it within seven days."""
        body = SET_FOUR_EYES.check(request.data)
        act = require_four_eyes if body[POLICY_FOUR_EYES] else end_four_eyes
        return Response(_represent(act(POLICY_FOUR_EYES, ctx=request.auth)))


def _represent(rule: FourEyesRule | None) -> dict[str, Any]:
    return {
        POLICY_FOUR_EYES: rule is not None and rule.is_required,
        "changed_at": rfc3339(rule.changed_at) if rule else None,
        "end_asked_by": ids.public_id(ids.PRINCIPAL, rule.end_asked_by) if rule and rule.end_asked_by else None,
        "end_asked_at": rfc3339(rule.end_asked_at) if rule and rule.end_asked_at else None,
    }
