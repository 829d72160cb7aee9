"""Whether a case still has its contents: nothing is decided or done about one that has not."""

from __future__ import annotations

from threada_site.kernel import errors
from threada_site.personal_data.erasable_fields import Erased
from workitems.models import WorkItem


def erased_by(item: WorkItem) -> str:
    """What emptied the case: `retention`, or nothing."""
    return item.payload.by if isinstance(item.payload, Erased) else ""


def require_contents(item: WorkItem) -> None:
    """Raise `ContentsRemoved` where retention has emptied the case."""
    if erased_by(item):
        raise errors.ContentsRemoved(
            "Retention has removed the contents of this work item; nothing can be carried out on it any more."
        )
