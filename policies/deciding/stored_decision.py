"""Stored decisions: their facts, and their explanation from the record and the conditions of the evaluated versions."""

from __future__ import annotations

from typing import Any

import orjson
from django.conf import settings
from django.utils.module_loading import import_string

from policies.deciding.explanation import RecordedAnswer, explain_decision
from policies.models import PolicyDecision, PolicyVersion
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from threada_site.personal_data.erasable_fields import is_erased


def stored_facts(decision: PolicyDecision) -> dict[str, Any]:
    """Return the facts of a decision without `lists`, which it stores by version."""
    return orjson.loads(bytes(decision.facts))


def record_reading_of_facts(decision: PolicyDecision, *, ctx: ActingContext) -> None:
    """Record who reads the facts of a decision, which contain the payload, if its work item is sensitive."""
    if not is_erased(decision.facts):
        import_string(settings.THREADA_CASE_READING_HANDLER)(decision.work_item_id, ctx=ctx)


def explanation_of(decision: PolicyDecision) -> list[str]:
    """Return the explanation of a decision as sentences."""
    named = {row["version_id"] for row in decision.versions if row["version_id"]}
    parsed = {ids.parse_public_id(ids.POLICY_VERSION, name) for name in named}
    rows = PolicyVersion.objects.filter(tenant_id=decision.tenant_id, id__in=[found for found in parsed if found])
    versions = list(rows.only("id", "number", "document"))
    facts_gone, errors_gone = is_erased(decision.facts), is_erased(decision.rule_errors)
    return explain_decision(
        RecordedAnswer(
            point=decision.point,
            outcome=decision.outcome,
            reason_codes=decision.reason_codes,
            matched=decision.matched,
            errors=[] if errors_gone else decision.rule_errors,
            versions=decision.versions,
            trace=decision.trace,
            approvals=decision.approvals,
            facts=None if facts_gone else stored_facts(decision),
            conditions={version.public_id: conditions_in(version.document) for version in versions},
            numbers={version.public_id: version.number for version in versions},
            engine=decision.engine,
            duration_us=decision.duration_us,
        )
    )


def conditions_in(document: Any) -> dict[str, str]:
    """Return the CEL conditions of a policy document by rule id."""
    rules = document.get("rules") if isinstance(document, dict) else None
    return {rule["id"]: rule["when"] for rule in rules} if isinstance(rules, list) else {}
