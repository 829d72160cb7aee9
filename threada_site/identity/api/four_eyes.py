"""`/four-eyes`: read and change the four-eyes rules of the tenant."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from rest_framework.response import Response

from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.permissions import require
from threada_site.api.resources.field_types import BOOLEAN, MAYBE_INSTANT, maybe_public_id
from threada_site.api.resources.resource import Resource, field, given
from threada_site.api.shapes import shape
from threada_site.api.views import TenantView
from threada_site.identity.four_eyes import end_four_eyes, turn_on_four_eyes
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope
from threada_site.tenancy.four_eyes import FOUR_EYES as RULES
from threada_site.tenancy.four_eyes import (
    FREEZE_FOUR_EYES,
    IDENTITY_FOUR_EYES,
    LEGAL_HOLD_FOUR_EYES,
    POLICY_FOUR_EYES,
    four_eyes_rule,
    is_four_eyes_required,
)
from threada_site.tenancy.models import FourEyesRule

type Rules = Mapping[str, FourEyesRule | None]


def _is_required(name: str) -> Any:
    return lambda rules: rules[name] is not None and rules[name].is_required


def _is_not_turned_off(name: str) -> Any:
    return lambda rules: rules[name] is None or rules[name].is_required


def _of(name: str, attribute: str) -> Any:
    """Return the source of an attribute of the rule `name`; None if it was never set."""
    return lambda rules: getattr(rules[name], attribute, None)


FOUR_EYES: Final = Resource(
    "FourEyes",
    field(
        POLICY_FOUR_EYES,
        BOOLEAN,
        _is_required(POLICY_FOUR_EYES),
        description="True if an independent person must publish every change of the rules in force.",
    ),
    field("changed_at", MAYBE_INSTANT, _of(POLICY_FOUR_EYES, "changed_at")),
    field(
        "end_asked_by",
        maybe_public_id(ids.PRINCIPAL),
        _of(POLICY_FOUR_EYES, "end_asked_by"),
        description="Person who requested the end; another person must confirm it.",
    ),
    field("end_asked_at", MAYBE_INSTANT, _of(POLICY_FOUR_EYES, "end_asked_at")),
    field(
        FREEZE_FOUR_EYES,
        BOOLEAN,
        _is_required(FREEZE_FOUR_EYES),
        description="True if a freeze must be lifted by a person who is independent of the one who set it.",
    ),
    field(
        "freeze_end_asked_by",
        maybe_public_id(ids.PRINCIPAL),
        _of(FREEZE_FOUR_EYES, "end_asked_by"),
        description="Person who requested the end; another one must confirm it.",
    ),
    given(
        IDENTITY_FOUR_EYES,
        BOOLEAN,
        description="True if a second, independent steward must confirm changes to people and their rights. "
        "On by default from two stewards on.",
    ),
    field(
        "identity_end_asked_by",
        maybe_public_id(ids.PRINCIPAL),
        _of(IDENTITY_FOUR_EYES, "end_asked_by"),
        description="Person who requested the end; another one must confirm it.",
    ),
    field(
        LEGAL_HOLD_FOUR_EYES,
        BOOLEAN,
        _is_not_turned_off(LEGAL_HOLD_FOUR_EYES),
        description="True if lifting a legal hold needs a second, independent steward. On by default.",
    ),
    field(
        "legal_hold_end_asked_by",
        maybe_public_id(ids.PRINCIPAL),
        _of(LEGAL_HOLD_FOUR_EYES, "end_asked_by"),
        description="Person who requested the end; another one must confirm it.",
    ),
    example={
        IDENTITY_FOUR_EYES: True,
        "identity_end_asked_by": None,
        POLICY_FOUR_EYES: True,
        "changed_at": "2026-01-31T12:00:00Z",
        "end_asked_by": None,
        "end_asked_at": None,
        FREEZE_FOUR_EYES: False,
        "freeze_end_asked_by": None,
        LEGAL_HOLD_FOUR_EYES: True,
        "legal_hold_end_asked_by": None,
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
        reasons=("permission_denied", "person_required", "vote_authentication_required", "second_person_required"),
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
            operation = turn_on_four_eyes if is_required else end_four_eyes
            operation(name, ctx=request.auth)
        return Response(_represent(request.auth.tenant_id))


def _represent(tenant_id: uuid.UUID) -> dict[str, Any]:
    rules = {name: four_eyes_rule(tenant_id, name) for name in RULES}
    return FOUR_EYES.represent(rules, identity_four_eyes=is_four_eyes_required(tenant_id, IDENTITY_FOUR_EYES))
