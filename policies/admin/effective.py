"""Query and result of the console page of effective rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.http import QueryDict

from policies import selectors
from policies.deciding.effective_rules import EffectiveRule, effective_rules
from policies.language.time_window import read_time_window
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from threada_site.kernel.documents.field_errors import FieldErrors
from threada_site.tenancy.models import PeopleGroup

_MOST_CHOICES: Final = 500


@dataclass(frozen=True, slots=True)
class AskedEffective:
    """The query, the choices of the form, and the rules. Policies in `missing` deny regardless of the rules."""

    workflow: str
    channel: str
    groups: tuple[str, ...]
    at: datetime
    at_sent: str
    errors: tuple[str, ...]
    workflows: tuple[str, ...]
    channels: tuple[str, ...]
    all_groups: tuple[str, ...]
    rules: tuple[EffectiveRule, ...]
    missing: tuple[str, ...]


def asked_effective(query: QueryDict, *, ctx: ActingContext) -> AskedEffective:
    """Return the effective rules for the workflow and the optional channel, groups and instant of the query."""
    workflows = _slugs(selectors.workflows(ctx))
    channels = _slugs(selectors.channels(ctx))
    all_groups = _slugs(PeopleGroup.objects.filter(tenant_id=ctx.tenant_id))
    named = query.get("workflow_id", "")
    workflow = named if named in workflows else next(iter(workflows), "")
    channel = query.get("channel_id", "") if query.get("channel_id", "") in channels else ""
    groups = tuple(group for group in all_groups if group in query.getlist("group_id"))
    at_sent = query.get("at", "").strip()
    found = FieldErrors()
    at = read_time_window({"starts_at": at_sent or None}, "", found).starts_at or clock.now()
    rows = selectors.applying(selectors.overlays(ctx), workflow=workflow, channel=channel, groups=groups, at=at)
    bindings = selectors.bindings(rows) if workflow else []
    return AskedEffective(
        workflow=workflow,
        channel=channel,
        groups=groups,
        at=at,
        at_sent=at_sent,
        errors=tuple(error.detail for error in found.found),
        workflows=workflows,
        channels=channels,
        all_groups=all_groups,
        rules=tuple(effective_rules(bindings)),
        missing=tuple(dict.fromkeys(binding.policy for binding in bindings if not binding.version_id)),
    )


def _slugs(rows: Any) -> tuple[str, ...]:
    return tuple(rows.order_by("slug").values_list("slug", flat=True)[:_MOST_CHOICES])
