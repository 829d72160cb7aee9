"""The rulebook in force for one case: compiled policies that apply, and the lists that their rules read.

Versions in force are queried for every case (one statement). Versions never change, so each process compiles them once,
and builds the rulebook of equal answers to that statement once; policies and lists that are not cached cost one
statement each.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog
from django.db import connection

from policies.documents.policy import parse_policy
from policies.language.evaluation import SCOPES, CompiledPolicy, RulebookEntry, Scope, compile_policy
from policies.language.rules import Rule
from policies.models import ListVersion, PolicyVersion
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.weighted_cache import WeightedCache

MOST_RULES_KEPT: Final = 20_000
"""Weight limit of cached policies. A short rule takes about 8 KB; `_BYTES_OF_A_RULE` of conditions add 1."""
_BYTES_OF_A_RULE: Final = 40
MOST_ITEMS_KEPT: Final = 500_000

_IN_FORCE: Final = """
    WITH requester_groups AS (
        SELECT g.slug
          FROM tenancy_membership m
          JOIN tenancy_peoplegroupmember i ON i.tenant_id = m.tenant_id AND i.membership_id = m.id
          JOIN tenancy_peoplegroup g ON g.tenant_id = i.tenant_id AND g.id = i.group_id
         WHERE m.tenant_id = $1 AND m.user_id = $4::uuid AND $6::text[] IS NULL
        UNION ALL
        SELECT unnest($6::text[])
    ), packs AS (
        SELECT k.slug
          FROM policies_packmember m
          JOIN policies_pack k ON k.tenant_id = m.tenant_id AND k.id = m.pack_id
         WHERE m.tenant_id = $1 AND m.kind = 'Workflow' AND m.name = $2
    )
    SELECT o.scope_kind, o.scope_slug, p.slug, p.in_force_id
      FROM policies_overlay o
      JOIN policies_policy p ON p.tenant_id = o.tenant_id AND p.id = o.policy_id
     WHERE o.tenant_id = $1
       AND (o.starts_at IS NULL OR o.starts_at <= $5)
       AND (o.ends_at IS NULL OR o.ends_at > $5)
       AND (o.scope_kind = 'tenant'
            OR (o.scope_kind = 'pack' AND o.scope_slug IN (SELECT slug FROM packs))
            OR (o.scope_kind = 'workflow' AND o.scope_slug = $2)
            OR (o.scope_kind = 'channel' AND o.scope_slug = $3)
            OR (o.scope_kind = 'group' AND o.scope_slug IN (SELECT slug FROM requester_groups)))
    UNION ALL
    SELECT 'list', '', l.slug, l.current_version_id
      FROM policies_list l
     WHERE l.tenant_id = $1 AND l.current_version_id IS NOT NULL
    UNION ALL
    SELECT 'requester_group', '', slug, NULL FROM requester_groups
"""

log = structlog.get_logger("threada.policies")


@dataclass(frozen=True, slots=True)
class Rulebook:
    """Everything that decides one case. `missing` lists policies that apply and have no version in force.

    `list_versions` contains the version of every list that the rules may read, by name; `lists` contains the items.
    `requester_groups` are the current groups of the requester.
    """

    entries: tuple[RulebookEntry, ...]
    missing: tuple[str, ...]
    list_versions: Mapping[str, uuid.UUID]
    lists: Mapping[str, list[Any]]
    requester_groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Readable:
    """A cached version. `policy` is None if it does not compile."""

    policy: CompiledPolicy | None


type _Row = tuple[str, str, str, uuid.UUID | None]

_policies: Final = WeightedCache[uuid.UUID, _Readable](max_weight=MOST_RULES_KEPT)
_items: Final = WeightedCache[uuid.UUID, list[Any]](max_weight=MOST_ITEMS_KEPT)
_rulebooks: Final = WeightedCache[tuple[uuid.UUID, tuple[_Row, ...]], Rulebook](max_weight=MOST_RULES_KEPT)
"""Rulebooks by tenant and the rows that they follow from. They contain published versions only, which never change."""


def rulebook_for(
    *,
    workflow: str,
    channel: str,
    requester_id: uuid.UUID | None,
    at: datetime,
    ctx: ActingContext,
    requester_groups: Sequence[str] | None = None,
) -> Rulebook:
    """Return the current rulebook for work items of this workflow and channel, requested by this principal.

    `at` selects the overlays by time window; it must be the instant in the facts. Pass `requester_groups` if they are
    already known (a stored fact); otherwise they are looked up.
    """
    groups = None if requester_groups is None else list(requester_groups)
    with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(_IN_FORCE, [ctx.tenant_id, workflow, channel, requester_id, at, groups])
        rows = tuple(cursor.fetchall())
    known = _rulebooks.get((ctx.tenant_id, rows))
    return _built(rows, ctx=ctx) if known is None else known


def _built(rows: tuple[_Row, ...], *, ctx: ActingContext) -> Rulebook:
    """Return the rulebook of an answer to `_IN_FORCE`. Keep it if everything that it names was found and compiles."""
    list_pointers = {slug: version_id for kind, _, slug, version_id in rows if kind == "list" and version_id}
    bindings = _bindings(rows)
    compiled = compiled_policies({version_id for _, version_id in bindings.values() if version_id}, ctx=ctx)
    entries = tuple(
        RulebookEntry(slug, ids.public_id(ids.POLICY_VERSION, version_id), scope, compiled[version_id], on=on)
        for (scope, slug), (on, version_id) in bindings.items()
        if version_id
    )
    asked = _lists_asked(entries, list_pointers)
    items = list_items(asked.values(), ctx=ctx)
    rulebook = Rulebook(
        entries,
        tuple(dict.fromkeys(slug for (_, slug), (_, version_id) in bindings.items() if version_id is None)),
        asked,
        {name: items[version_id] for name, version_id in asked.items()},
        tuple(sorted(slug for kind, _, slug, _ in rows if kind == "requester_group")),
    )
    documents = [entry.document for entry in entries]
    if all(documents):
        weight = len(rows) + sum(_weight(document.rules) for document in documents if document)
        weight += sum(map(len, items.values())) * MOST_RULES_KEPT // MOST_ITEMS_KEPT
        _rulebooks.put((ctx.tenant_id, rows), rulebook, weight=weight)
    return rulebook


def compiled_policies(
    version_ids: Collection[uuid.UUID], *, ctx: ActingContext
) -> dict[uuid.UUID, CompiledPolicy | None]:
    """Return compiled published versions by id; None for a version that cannot be parsed."""
    found = {version_id: _policies.get(version_id) for version_id in version_ids}
    unknown = [version_id for version_id, readable in found.items() if readable is None]
    if unknown:
        rows = PolicyVersion.objects.filter(tenant_id=ctx.tenant_id, id__in=unknown).values_list("id", "document")
        for version_id, document in rows:
            found[version_id] = _compiled(version_id, document)
    return {version_id: readable.policy if readable else None for version_id, readable in found.items()}


def list_items(version_ids: Collection[uuid.UUID], *, ctx: ActingContext) -> dict[uuid.UUID, list[Any]]:
    """Return the items of list versions by id."""
    found = {version_id: _items.get(version_id) for version_id in version_ids}
    unknown = [version_id for version_id, items in found.items() if items is None]
    if unknown:
        rows = ListVersion.objects.filter(tenant_id=ctx.tenant_id, id__in=unknown).values_list("id", "spec")
        for version_id, items in rows:
            _items.put(version_id, items, weight=len(items) + 1)
            found[version_id] = items
    return {version_id: items for version_id, items in found.items() if items is not None}


type _Binding = tuple[tuple[str, ...], uuid.UUID | None]


def _bindings(rows: Iterable[tuple[Any, ...]]) -> dict[tuple[Scope, str], _Binding]:
    """Return the bindings, widest scope first: (scope, policy) → slugs of the scope, and the version in force.

    A policy bound to two groups of the requester is evaluated once.
    """
    found: dict[tuple[Scope, str], _Binding] = {}
    overlays = [row for row in rows if row[0] in SCOPES]
    for kind, scope_slug, slug, version_id in sorted(overlays, key=lambda row: (SCOPES.index(row[0]), row[2], row[1])):
        on, _ = found.get((kind, slug), ((), None))
        found[kind, slug] = ((*on, scope_slug) if scope_slug else on, version_id)
    return found


def _compiled(version_id: uuid.UUID, document: Any) -> _Readable:
    try:
        policy = parse_policy(document)
        readable, weight = _Readable(compile_policy(policy)), _weight(policy.rules)
    except ThreadaError as error:
        log.warning("policy_version_unreadable", policy_version_id=str(version_id), detail=error.detail)
        readable, weight = _Readable(None), 1
    _policies.put(version_id, readable, weight=weight)
    return readable


def _weight(rules: Collection[Rule]) -> int:
    return 1 + len(rules) + sum(len(rule.when) for rule in rules) // _BYTES_OF_A_RULE


def _lists_asked(entries: Collection[RulebookEntry], pointers: Mapping[str, uuid.UUID]) -> dict[str, uuid.UUID]:
    """Return the existing lists that the rules name, or all lists if a rule may read any."""
    named: set[str] = set()
    for entry in entries:
        if entry.document is None:
            continue
        if entry.document.lists is None:
            return dict(pointers)
        named |= entry.document.lists
    return {name: pointers[name] for name in sorted(named) if name in pointers}
