"""API representations of the rulebook."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from policies.deciding.effective_rules import Binding, effective_rules
from policies.deciding.stored_decision import explanation_of, stored_facts
from policies.drafts.validation import Validation
from policies.models import Channel, Overlay, Policy, PolicyDecision, PolicyVersion, Workflow, WorkflowVersion
from threada_site.kernel import ids
from threada_site.kernel.clock import rfc3339
from threada_site.personal_data.erasable_fields import is_erased


def represent_workflow(workflow: Workflow, *, whole: bool = False) -> dict[str, Any]:
    """Return a workflow with its current version; `whole` includes the spec."""
    version = workflow.current_version
    assert version is not None  # noqa: S101 - selectors leave out workflows without one
    return {
        "workflow_id": workflow.slug,
        "name": workflow.name or None,
        "workflow_version_id": version.public_id,
        "version": version.number,
        "actions": version.spec["actions"],
        "channel_required": version.spec["channel_required"],
        **({"spec": version.spec} if whole else {}),
        "created_at": rfc3339(workflow.created_at),
    }


def represent_workflow_version(version: WorkflowVersion, *, whole: bool = False) -> dict[str, Any]:
    """Return a workflow version; `whole` includes the spec."""
    return {
        "workflow_id": version.workflow.slug,
        "workflow_version_id": version.public_id,
        "version": version.number,
        "spec_sha256": version.spec_sha256,
        "revision": version.revision or None,
        **({"spec": version.spec} if whole else {}),
        "created_by": _principal(version.created_by),
        "created_at": rfc3339(version.created_at),
    }


def represent_channel(channel: Channel) -> dict[str, Any]:
    """Return a channel."""
    return {"channel_id": channel.slug, "name": channel.name or None, "created_at": rfc3339(channel.created_at)}


def represent_policy(policy: Policy) -> dict[str, Any]:
    """Return a policy with its version in force, if any."""
    version = policy.in_force
    return {
        "policy_id": policy.slug,
        "policy_version_id": version.public_id if version else None,
        "version": version.number if version else None,
        "published_at": _instant(version.published_at) if version else None,
        "emergency": _emergency(version) if version else None,
        "created_at": rfc3339(policy.created_at),
    }


def represent_policy_version(version: PolicyVersion, *, whole: bool = False) -> dict[str, Any]:
    """Return a policy version; `whole` includes the document."""
    return {
        "policy_id": version.policy.slug,
        "policy_version_id": version.public_id,
        "version": version.number,
        "status": version.status,
        "in_force": version.policy.in_force_id == version.id,
        "document_sha256": version.document_sha256,
        "revision": version.revision or None,
        **({"document": version.document} if whole else {}),
        "created_by": _principal(version.created_by),
        "written_by": [ids.public_id(ids.PRINCIPAL, writer) for writer in version.written_by],
        "created_at": rfc3339(version.created_at),
        "emergency": _emergency(version),
        "published_by": _principal(version.published_by),
        "published_at": _instant(version.published_at),
        "retired_by": _principal(version.retired_by),
        "retired_at": _instant(version.retired_at),
    }


def represent_validation(version: PolicyVersion, validation: Validation) -> dict[str, Any]:
    """Return the result of a validation."""
    return {
        "policy_version_id": version.public_id,
        "valid": not validation.errors,
        "workflows": list(validation.workflows),
        "errors": [field_error.as_json() for field_error in validation.errors],
        "warnings": [warning.as_json() for warning in validation.warnings],
    }


def represent_overlay(overlay: Overlay) -> dict[str, Any]:
    """Return an overlay."""
    return {
        "overlay_id": overlay.public_id,
        "policy_id": overlay.policy.slug,
        "scope": overlay.scope.as_json(),
        **overlay.window.as_json(),
        "created_by": _principal(overlay.created_by),
        "created_at": rfc3339(overlay.created_at),
    }


def represent_effective(bindings: Sequence[Binding]) -> dict[str, Any]:
    """Return the effective versions by overlay, and every rule with its origin."""
    return {
        "policies": [
            {**_origin(binding), "rules": list(binding.rules)}
            for binding in sorted(bindings, key=lambda binding: (binding.width, binding.policy))
        ],
        "rules": [
            {
                "rule_id": entry.rule["id"],
                **{name: value for name, value in entry.rule.items() if name != "id"},
                "overridable": entry.rule.get("overridable") is True,
                "origin": _origin(entry.binding),
                "overridden_by": [
                    {**_origin(loosening.binding), "rule_id": loosening.rule} for loosening in entry.overridden_by
                ],
                "overrides_in_vain": list(entry.in_vain),
            }
            for entry in effective_rules(bindings)
        ],
    }


def _origin(binding: Binding) -> dict[str, Any]:
    return {
        "policy_id": binding.policy,
        "policy_version_id": binding.version_id or None,
        "version": binding.number,
        "overlay_id": binding.overlay_id,
        "scope": binding.scope.as_json(),
        **binding.window.as_json(),
    }


def represent_decision(decision: PolicyDecision) -> dict[str, Any]:
    """Return a complete decision with its explanation."""
    return {
        "policy_decision_id": decision.public_id,
        "work_item_id": ids.public_id(ids.WORK_ITEM, decision.work_item_id),
        "execution_id": decision.execution_id and ids.public_id(ids.EXECUTION, decision.execution_id),
        "point": decision.point,
        "outcome": decision.outcome,
        "reason_codes": decision.reason_codes,
        "policy_version_id": decision.policy_version_id
        and ids.public_id(ids.POLICY_VERSION, decision.policy_version_id),
        "matched": decision.matched,
        "errors": [] if is_erased(decision.rule_errors) else decision.rule_errors,
        "versions": decision.versions,
        "list_versions": decision.list_versions,
        "approvals": decision.approvals,
        "trace": decision.trace,
        "facts": stored_facts(decision),
        "facts_sha256": decision.facts_sha256,
        "explanation": explanation_of(decision),
        "engine": decision.engine,
        "duration_us": decision.duration_us,
        "created_at": rfc3339(decision.created_at),
    }


def _emergency(version: PolicyVersion) -> dict[str, Any] | None:
    found = next(iter(version.emergencies.all()), None)
    if found is None:
        return None
    return {
        "status": found.status,
        "reason": found.reason,
        "published_by": ids.public_id(ids.PRINCIPAL, found.published_by),
        "published_at": rfc3339(found.published_at),
        "ends_at": rfc3339(found.ends_at),
        "closed_by": _principal(found.closed_by),
        "closed_at": _instant(found.closed_at),
    }


def _principal(value: uuid.UUID | None) -> str | None:
    return ids.public_id(ids.PRINCIPAL, value) if value else None


def _instant(value: datetime | None) -> str | None:
    return rfc3339(value) if value else None
