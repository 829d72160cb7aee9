"""From any public id to its page."""

from __future__ import annotations

from typing import Final

from threada_site.admin.html import page_url
from threada_site.kernel import ids

_MODELS: Final = {
    ids.WORK_ITEM: "workitems.workitem",
    ids.DECISION_STEP: "workitems.decisionstep",
    ids.EXECUTION: "integrations.execution",
    ids.RECEIPT: "telemetry.receipt",
    ids.EXPORT: "telemetry.telemetryexport",
    ids.POLICY_DECISION: "policies.policydecision",
    ids.POLICY_VERSION: "policies.policyversion",
    ids.OVERLAY: "policies.overlay",
    ids.CREDENTIAL: "tenancy.credential",
    ids.MESSAGE: "workitems.noticemessage",
}


def address_of(public_id: str) -> str | None:
    """The page of what `public_id` would name; whether it exists here, the page itself says."""
    prefix = public_id.partition("_")[0]
    if prefix not in _MODELS or ids.parse_public_id(prefix, public_id) is None:
        return None
    return page_url(_MODELS[prefix], public_id)
