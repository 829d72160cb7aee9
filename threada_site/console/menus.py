"""Pages that each kind of work uses daily. The sidebar shows these; all others are one step away, under More. Pure."""

from __future__ import annotations

from typing import Final

from threada_site.kernel.context import ALL_SCOPES, ActingContext, Scope

_REQUESTER: Final = ("catalogue", "own_requests")
_APPROVER: Final = (
    "workitems_decisionstep_desk",
    "workitems_workitem",
    "workitems_decisionstep",
    "workitems_delegation",
)
_OPERATOR: Final = (
    "workitems_workitem",
    "integrations_execution",
    "integrations_execution_operations",
    "integrations_integration",
    "integrations_freeze",
    "tenancy_agent",
    "integrations_storedsecret",
    "summary",
)
_AUTHOR: Final = (
    "workitems_workitem",
    "policies_policy",
    "policies_policyreplay",
    "policies_policyshadow",
    "policies_overlay",
    "policies_workflow",
    "policies_list",
)
_AUDITOR: Final = (
    "workitems_workitem",
    "integrations_execution",
    "summary",
    "telemetry_receipt",
    "telemetry_checkpoint",
    "telemetry_telemetryexport",
    "telemetry_delivery",
    "workitems_decisionstep_decision_statistics",
    "workitems_proofrun",
    "tenancy_accessholder",
    "workitems_retentionrun",
    "workitems_legalhold",
)
_STEWARD: Final = (
    *_REQUESTER,
    "workitems_decisionstep_desk",
    "workitems_workitem",
    "integrations_execution",
    "policies_policy",
    "policies_workflow",
    "policies_pack",
    "integrations_execution_operations",
    "integrations_integration",
    "integrations_freeze",
    "usage",
    "summary",
    "telemetry_receipt",
    "tenancy_agent",
    "tenancy_membership",
    "tenancy_peoplegroup",
    "tenancy_role",
    "tenancy_accountlink",
    "tenancy_identityprovider",
    "tenancy_foureyesrule",
    "tenancy_changeset",
    "tenancy_accessholder",
    "workitems_proofrun",
)
_READER: Final = ("workitems_workitem", "workitems_decisionstep", "integrations_execution")


def daily_pages(ctx: ActingContext) -> frozenset[str]:
    """Return the names of the pages that a person with these scopes uses daily."""
    if all(ctx.allows(scope) for scope in ALL_SCOPES):
        return frozenset(_STEWARD)

    def holds(*scopes: Scope) -> bool:
        return any(ctx.has_scope_anywhere(scope) for scope in scopes)

    is_operator = holds(Scope.ACTIONS_FREEZE, Scope.INTEGRATIONS_MANAGE)
    kinds = (
        (holds(Scope.WORKITEMS_WRITE), _REQUESTER),
        (holds(Scope.DECISIONS_DECIDE), _APPROVER),
        (is_operator, _OPERATOR),
        (holds(Scope.POLICIES_WRITE, Scope.POLICIES_PUBLISH), _AUTHOR),
        (holds(Scope.TELEMETRY_READ) and not is_operator, _AUDITOR),
        (holds(Scope.WORKFLOW_MANAGE), _STEWARD),
    )
    return frozenset(page for is_one, pages in kinds if is_one for page in pages) or frozenset(_READER)
