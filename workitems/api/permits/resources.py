"""Resources of permits."""

from __future__ import annotations

from typing import Any, Final

import orjson

from threada_site.api.resources.field_types import (
    COUNT,
    INSTANT,
    MAYBE_INSTANT,
    OBJECT,
    SHA256,
    SLUG,
    TEXT,
    array,
    choice,
    inline,
    maybe,
    public_id,
)
from threada_site.api.resources.resource import FieldType, Resource, field, given
from threada_site.kernel import ids
from workitems.models import Permit
from workitems.permits.records import limits_of
from workitems.permits.warnings import warnings_of

_SUM: Final = FieldType({"type": "string", "description": "Decimal number."}, lambda value: f"{value.normalize():f}")


def _approved(permit: Permit) -> Any:
    return orjson.loads(bytes(permit.body))


PERMIT_WARNINGS: Final = array(
    inline(field("code", choice(("covers_every_tool",))), field("detail", TEXT, description="One sentence."))
)
PERMIT: Final = Resource(
    "Permit",
    field("permit_id", public_id(ids.PERMIT), "id"),
    field("workflow_id", SLUG, "workflow"),
    field("integration_id", SLUG, "integration"),
    field("action_id", SLUG, "action"),
    field("status", choice(("proposed", "in_effect", "revoked"))),
    field("sha256", SHA256, description="Digest of the approved terms: of their canonical JSON (RFC 8785)."),
    field("approved", OBJECT, _approved, description="Terms that approvers approve. They never change."),
    field(
        "limits",
        OBJECT,
        lambda permit: limits_of(permit).as_json(),
        description="Terms in force: the approved ones, or narrower ones.",
    ),
    field("warnings", PERMIT_WARNINGS, lambda permit: warnings_of(limits_of(permit)), description="Probable mistakes."),
    field("ends_at", INSTANT),
    field("used_count", COUNT, description="Units in use: reserved or spent. Failed executions return theirs."),
    field("used_sum", _SUM),
    field("decision_step_id", public_id(ids.DECISION_STEP), "step_id", description="Step on which it was proposed."),
    field("work_item_id", public_id(ids.WORK_ITEM)),
    field(
        "approvals",
        array(
            inline(
                field("approved_by", public_id(ids.PRINCIPAL), "voter_id"),
                field("vote_id", public_id(ids.VOTE)),
                field("created_at", INSTANT),
            )
        ),
        lambda permit: permit.approvals.all(),
    ),
    field("proposed_by", public_id(ids.PRINCIPAL), "proposed_by_id"),
    field("proposed_at", INSTANT),
    field("in_effect_at", MAYBE_INSTANT),
    field("narrowed_at", MAYBE_INSTANT),
    field("revoked_at", MAYBE_INSTANT),
    field("revoked_by", maybe(public_id(ids.PRINCIPAL))),
)
PERMIT_WITH_USES: Final = Resource(
    "PermitWithUses",
    *PERMIT.fields,
    given(
        "uses",
        array(
            inline(
                field("execution_id", public_id(ids.EXECUTION)),
                field("work_item_id", public_id(ids.WORK_ITEM)),
                field("amount", _SUM),
                field("reserved_at", INSTANT),
                field("returned_at", MAYBE_INSTANT),
            )
        ),
        description="The newest 100 uses in work items that you may read.",
    ),
)
