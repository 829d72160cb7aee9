"""Parsed documents of stored integration versions. Versions never change, so each process parses every version once."""

from __future__ import annotations

import uuid
from functools import lru_cache
from typing import Any

from integrations.attempts.failures import envelope_mismatch
from integrations.attempts.retry import RetryPolicy
from integrations.documents import ActionDocument, IntegrationDocument, WorkflowCall, read_integration
from integrations.models import Execution, IntegrationVersion
from integrations.secrets.access import SecretAccess
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.json.canonical import canonical_sha256


def document_of(version: IntegrationVersion) -> IntegrationDocument:
    """Return the integration document of a version."""
    return _read(version.id, _Spec(version.spec))


def action_of(execution: Execution) -> ActionDocument:
    """Return the action of an execution, as described by its integration version."""
    return document_of(execution.integration_version).action(execution.action)


def secret_access(version: IntegrationVersion, *, tenant: str) -> SecretAccess:
    """Return the access to secrets for the calls of an integration version. `tenant` is the slug."""
    if version.created_by is not None:
        return SecretAccess(version.tenant_id, tenant, version_id=version.id)
    document = document_of(version)
    token_url = "" if document.auth is None else document.auth.token_url
    return SecretAccess(version.tenant_id, tenant, document.sent_to, token_url, version.id)


def check_intact(execution: Execution) -> None:
    """Raise `TransportFailure` (`envelope_mismatch`) unless the stored version of an execution is unchanged and has the
    action.

    Ignores the cache of parsed versions.
    """
    version = execution.integration_version
    if canonical_sha256(version.spec) != version.spec_sha256:
        raise envelope_mismatch("What would run is not what the envelope contains: the integration version changed.")
    try:
        action_of(execution)
    except ThreadaError:
        raise envelope_mismatch(
            "What would run is not what the envelope contains: the integration version lacks the action."
        ) from None


def readable_action_of(execution: Execution) -> ActionDocument:
    """Return the action of an execution. If its version cannot be parsed, return an action that is never repeated."""
    try:
        return action_of(execution)
    except ThreadaError:
        return ActionDocument(
            slug=execution.action,
            call=WorkflowCall(operation="close"),
            sha256="",
            idempotent=False,
            timeout_s=1,
            retry=RetryPolicy(attempts=1),
        )


class _Spec:
    """A spec with a constant hash, so that the cache key is the version's id alone."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Spec)


@lru_cache(maxsize=256)
def _read(_version_id: uuid.UUID, spec: _Spec) -> IntegrationDocument:
    return read_integration(spec.value)
