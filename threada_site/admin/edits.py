"""Edits of configuration, as django-auditlog stores them. Its table has no tenant column: queries filter by tenant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from auditlog.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.utils.translation import gettext as _

from threada_site.admin import html
from threada_site.admin.words import word
from threada_site.kernel.context import ActingContext

SHOWN: Final = 20
_NOT_SHOWN: Final = {"tenancy.membership": ("user",)}
"""Model → fields that edits do not show. The member is that of the page, and stored under the name of its account,
which somebody who is only invited may have elsewhere."""
_ACTIONS: Final = {0: "created", 1: "changed", 2: "deleted"}


@dataclass(frozen=True)
class Edit:
    """One edit: actor, time, and values before and after."""

    at: datetime
    action: str
    by: str
    through: str
    changes: list[tuple[str, str, str]]


def edits_of(row: Model, *, ctx: ActingContext) -> list[Edit]:
    """Return the last edits of a row of this tenant, newest first."""
    entries = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(row),
        object_pk=str(row.pk),
        additional_data__tenant=str(ctx.tenant_id),
    ).order_by("-id")[:SHOWN]
    hidden = _NOT_SHOWN.get(row._meta.label_lower, ())
    return [_edit(entry, hidden) for entry in entries]


def _edit(entry: LogEntry, hidden: tuple[str, ...]) -> Edit:
    details: dict[str, Any] = entry.additional_data or {}
    changes: dict[str, Any] = entry.changes or {}
    return Edit(
        at=entry.timestamp,
        action=word(_ACTIONS.get(entry.action, entry.action)),
        by=details.get("actor_name", _("the instance")),
        through=word(details.get("entry_point", "")),
        changes=[
            (word(name), _shown(pair[0]), _shown(pair[1]))
            for name, pair in changes.items()
            if name not in hidden and isinstance(pair, list) and len(pair) == 2 and _shown(pair[0]) != _shown(pair[1])
        ],
    )


def _shown(value: Any) -> str:
    return html.NOTHING if value in (None, "None", "") else str(value)[:200]
