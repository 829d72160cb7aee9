"""The rulebook in force for one case: which policies apply, compiled, and the lists their rules ask.

Which versions are in force is read anew every time (one statement); what a version says never changes, so a process
compiles it once. Documents and lists that it does not know yet cost one statement each.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import structlog
from django.db import connection

from policies.documents import parse_policy
from policies.evaluation import SCOPES, CompiledPolicy, RulebookEntry, Scope, compile_policy
from policies.models import ListVersion, PolicyVersion
from policies.weighted_cache import WeightedCache
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import ThreadaError

MOST_RULES_KEPT: Final = 20_000
"""About 8 KB each."""
MOST_ITEMS_KEPT: Final = 500_000

_IN_FORCE: Final = """
    SELECT o.scope_kind, p.slug, p.in_force_id
      FROM policies_overlay o
      JOIN policies_policy p ON p.tenant_id = o.tenant_id AND p.id = o.policy_id
     WHERE o.tenant_id = %(tenant)s
       AND (o.scope_kind = 'tenant'
            OR (o.scope_kind = 'workflow' AND o.scope_slug = %(workflow)s)
            OR (o.scope_kind = 'channel' AND o.scope_slug = %(channel)s))
    UNION ALL
    SELECT 'list', l.slug, l.current_version_id
      FROM policies_list l
     WHERE l.tenant_id = %(tenant)s AND l.current_version_id IS NOT NULL
"""

log = structlog.get_logger("threada.policies")


@dataclass(frozen=True, slots=True)
class Rulebook:
    """What decides one case. `missing` are policies that apply here and have no version in force.

    `list_versions` holds the version of every list that the rules may ask, by name; `lists` its items.
    """

    entries: tuple[RulebookEntry, ...]
    missing: tuple[str, ...]
    list_versions: Mapping[str, uuid.UUID]
    lists: Mapping[str, list[Any]]


@dataclass(frozen=True, slots=True)
class _Readable:
    """A version as far as it can be read: None in `policy` is one that does not compile."""

    policy: CompiledPolicy | None


_policies: Final = WeightedCache[uuid.UUID, _Readable](max_weight=MOST_RULES_KEPT)
_items: Final = WeightedCache[uuid.UUID, list[Any]](max_weight=MOST_ITEMS_KEPT)


def rulebook_for(*, workflow: str, channel: str, ctx: ActingContext) -> Rulebook:
    """The rulebook in force now for work items of this workflow and channel."""
    with connection.cursor() as cursor:
        cursor.execute(_IN_FORCE, {"tenant": ctx.tenant_id, "workflow": workflow, "channel": channel})
        rows = cursor.fetchall()
    list_pointers = {slug: version_id for kind, slug, version_id in rows if kind == "list"}
    bindings = sorted((row for row in rows if row[0] != "list"), key=lambda row: (SCOPES.index(row[0]), row[1]))
    compiled = compiled_policies({version_id for _, _, version_id in bindings if version_id}, ctx=ctx)
    entries = tuple(
        RulebookEntry(slug, ids.public_id(ids.POLICY_VERSION, version_id), cast("Scope", kind), compiled[version_id])
        for kind, slug, version_id in bindings
        if version_id
    )
    asked = _lists_asked(entries, list_pointers)
    items = list_items(asked.values(), ctx=ctx)
    return Rulebook(
        entries,
        tuple(dict.fromkeys(slug for _, slug, version_id in bindings if version_id is None)),
        asked,
        {name: items[version_id] for name, version_id in asked.items()},
    )


def compiled_policies(
    version_ids: Collection[uuid.UUID], *, ctx: ActingContext
) -> dict[uuid.UUID, CompiledPolicy | None]:
    """Published versions, compiled; None for one that cannot be read."""
    found = {version_id: _policies.get(version_id) for version_id in version_ids}
    unknown = [version_id for version_id, readable in found.items() if readable is None]
    if unknown:
        rows = PolicyVersion.objects.filter(tenant_id=ctx.tenant_id, id__in=unknown).values_list("id", "document")
        for version_id, document in rows:
            found[version_id] = _compiled(version_id, document)
    return {version_id: readable.policy if readable else None for version_id, readable in found.items()}


def list_items(version_ids: Collection[uuid.UUID], *, ctx: ActingContext) -> dict[uuid.UUID, list[Any]]:
    """The items of list versions."""
    found = {version_id: _items.get(version_id) for version_id in version_ids}
    unknown = [version_id for version_id, items in found.items() if items is None]
    if unknown:
        rows = ListVersion.objects.filter(tenant_id=ctx.tenant_id, id__in=unknown).values_list("id", "items")
        for version_id, items in rows:
            _items.put(version_id, items, weight=len(items) + 1)
            found[version_id] = items
    return {version_id: items for version_id, items in found.items() if items is not None}


def _compiled(version_id: uuid.UUID, document: Any) -> _Readable:
    try:
        policy = parse_policy(document)
        readable = _Readable(compile_policy(policy))
        weight = len(policy.rules) + 1
    except ThreadaError as error:
        log.warning("policy_version_unreadable", policy_version_id=str(version_id), detail=error.detail)
        readable, weight = _Readable(None), 1
    _policies.put(version_id, readable, weight=weight)
    return readable


def _lists_asked(entries: Collection[RulebookEntry], pointers: Mapping[str, uuid.UUID]) -> dict[str, uuid.UUID]:
    """The lists that the rules name and that exist; all, where a rule may ask any."""
    named: set[str] = set()
    for entry in entries:
        if entry.document is None:
            continue
        if entry.document.lists is None:
            return dict(pointers)
        named |= entry.document.lists
    return {name: pointers[name] for name in sorted(named) if name in pointers}
