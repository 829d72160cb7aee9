"""Checks that a case still has its contents. Without contents nothing is decided or executed."""

from __future__ import annotations

from threada_site.kernel import errors
from threada_site.personal_data.erasable_fields import Erased
from workitems.models import WorkItem


def erased_by(item: WorkItem) -> str:
    """Return the cause of the removal of the contents, for example `retention`; empty if they exist."""
    return item.payload.by if isinstance(item.payload, Erased) else ""


def require_contents(item: WorkItem) -> None:
    """Raise `ContentsRemoved` if retention has removed the contents of the case."""
    if erased_by(item):
        raise errors.ContentsRemoved(
            "Retention has removed the contents of this work item, so no action can be executed on it."
        )
