"""Examples of replays and shadows for people: titles of their work items, with the ids of the decisions."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from policies.models import PolicyDecision
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext


def with_titles(page: dict[str, Any], *, ctx: ActingContext) -> dict[str, Any]:
    """Return the context of a report with the titles of the work items that the reader may read.

    Each of `examples` gets its `title`; `unanswered` and the `examples` of `flips` become pairs of decision id and
    title. An unknown title is "". Two statements.
    """
    named = {
        *(one["policy_decision_id"] for name in ("examples", "unanswered") for one in page[name]),
        *(decision for flip in page["flips"] for decision in flip["examples"]),
    }
    titles = _titles(named, ctx=ctx)
    return {
        **page,
        "examples": [{**one, "title": titles.get(one["policy_decision_id"], "")} for one in page["examples"]],
        "unanswered": [
            (one["policy_decision_id"], titles.get(one["policy_decision_id"], "")) for one in page["unanswered"]
        ],
        "flips": [
            {**flip, "examples": [(decision, titles.get(decision, "")) for decision in flip["examples"]]}
            for flip in page["flips"]
        ],
    }


def case_titles(items: Iterable[uuid.UUID], *, ctx: ActingContext) -> dict[uuid.UUID, str]:
    """Return the titles of those of the work items that the reader may read. At most one statement."""
    wanted = set(items)
    found: dict[uuid.UUID, str] = import_string(settings.THREADA_CASE_TITLES_HANDLER)(wanted, ctx=ctx) if wanted else {}
    return found


def _titles(decisions: set[str], *, ctx: ActingContext) -> dict[str, str]:
    parsed = [found for name in decisions if (found := ids.parse_public_id(ids.POLICY_DECISION, name)) is not None]
    if not parsed:
        return {}
    rows = PolicyDecision.objects.filter(tenant_id=ctx.tenant_id, id__in=parsed).values_list("id", "work_item_id")
    items = dict(rows)
    titles = case_titles(items.values(), ctx=ctx)
    return {ids.public_id(ids.POLICY_DECISION, key): titles[item] for key, item in items.items() if item in titles}
