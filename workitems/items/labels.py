"""Labels of work items: digests of risk flags, of entries of the metadata and of voters, by which lists filter.

An equal digest is an equal value, and equality is a condition that an index serves under row-level security.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping

from workitems.models import ItemLabel, WorkItem


def risk_label(flag: str) -> uuid.UUID:
    """Return the label of a risk flag."""
    return _digest("risk", flag)


def metadata_label(key: str, value: str) -> uuid.UUID:
    """Return the label of an entry of the metadata."""
    return _digest("metadata", key, value)


def voter_label(principal_id: uuid.UUID) -> uuid.UUID:
    """Return the label of a principal who voted on a step of the work item."""
    return _digest("voter", str(principal_id))


def new_label(item: WorkItem, label: uuid.UUID) -> ItemLabel:
    """Return a label of `item`, not yet saved."""
    return ItemLabel(tenant_id=item.tenant_id, work_item_id=item.id, label=label)


def new_labels(item: WorkItem) -> list[ItemLabel]:
    """Return the labels of a new work item, not yet saved."""
    metadata: Mapping[str, str] = item.metadata
    labels = [*map(risk_label, item.risk_flags), *(metadata_label(*entry) for entry in metadata.items())]
    return [new_label(item, label) for label in labels]


def _digest(*parts: str) -> uuid.UUID:
    return uuid.UUID(bytes=hashlib.sha256("\x00".join(parts).encode()).digest()[:16])
