"""JSON representations of integrations. Secrets are references; their values are never returned."""

from __future__ import annotations

from typing import Any

from integrations.configuration.health import Health
from integrations.models import Integration
from threada_site.kernel.clock import rfc3339


def represent_health(health: Health) -> dict[str, Any]:
    return {
        "integration_id": health.slug,
        "state": health.state,
        "failures_in_a_row": health.failures_in_a_row,
        "waits_until": rfc3339(health.waits_until) if health.waits_until else None,
        "waits_for": health.waits_for or None,
        "running": health.running,
        "waiting": health.waiting,
        "succeeded": health.succeeded,
        "failed": health.failed,
        "outcome_unknown": health.unknown,
        "last_failure": health.last_failure or None,
        "concurrency": health.limits.concurrency,
    }


def represent_integration(integration: Integration) -> dict[str, Any]:
    version = integration.current_version
    return {
        "integration_id": integration.slug,
        "name": integration.name or None,
        "connector": integration.connector,
        "integration_version_id": version.public_id if version else None,
        "version": version.number if version else None,
        "actions": sorted(version.spec["actions"]) if version else [],
        "spec": version.spec if version else None,
        "created_at": rfc3339(integration.created_at),
    }
