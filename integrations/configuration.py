"""From stored rows to what they say. Versions never change, so a process reads each once."""

from __future__ import annotations

import uuid
from functools import lru_cache
from typing import Any

from integrations.documents import ActionDocument, IntegrationDocument, WorkflowCall, read_integration
from integrations.envelope import mismatch
from integrations.models import Execution, IntegrationVersion
from integrations.retry import RetryPolicy
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.json.canonical import canonical_sha256


def document_of(version: IntegrationVersion) -> IntegrationDocument:
    """The integration that a version describes."""
    return _read(version.id, _Spec(version.spec))


def action_of(execution: Execution) -> ActionDocument:
    """The action that an execution runs, as its integration version describes it."""
    return document_of(execution.integration_version).action(execution.action)


def host_of(execution: Execution) -> str:
    """The host that an execution's integration version calls: the only one its stored secrets may go to."""
    origin = document_of(execution.integration_version).origin
    return origin.host if origin else ""


def check_intact(execution: Execution) -> None:
    """Raise `TransportFailure` (`envelope_mismatch`) unless the version that an execution pins is stored as it was put
    in force, and has the action. What a process has read of it before is not asked."""
    version = execution.integration_version
    if canonical_sha256(version.spec) != version.spec_sha256:
        raise mismatch("What would run is not what was sealed: the integration version was changed.")
    try:
        action_of(execution)
    except ThreadaError:
        raise mismatch("What would run is not what was sealed: the integration version lacks the action.") from None


def readable_action_of(execution: Execution) -> ActionDocument:
    """The action that an execution runs, or, where its version cannot be read any more, one that is never repeated."""
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
    """A spec that hashes as nothing, so that the cache's key is the version's id alone."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Spec)


@lru_cache(maxsize=256)
def _read(_version_id: uuid.UUID, spec: _Spec) -> IntegrationDocument:
    return read_integration(spec.value)
