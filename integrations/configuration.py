"""From stored rows to what they say. Versions never change, so a process reads each once."""

from __future__ import annotations

import uuid
from functools import lru_cache
from typing import Any

from integrations.documents import ActionDocument, IntegrationDocument, read_integration
from integrations.models import Execution, IntegrationVersion


def document_of(version: IntegrationVersion) -> IntegrationDocument:
    """The integration that a version describes."""
    return _read(version.id, _Spec(version.spec))


def action_of(execution: Execution) -> ActionDocument:
    """The action that an execution runs, as its integration version describes it."""
    return document_of(execution.integration_version).action(execution.action)


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
