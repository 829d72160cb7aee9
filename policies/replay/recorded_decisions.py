"""Recorded decisions with everything needed to replay them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final, NamedTuple

from django.db.models import QuerySet

from policies.deciding.comparison import Answer
from policies.documents.overlay import OverlayScope
from policies.language.evaluation import RulebookEntry
from policies.models import List, ListVersion, PolicyDecision
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext

AT_ONCE: Final = 50
"""Rows per fetch; the facts of one row may take 256 KB."""
_COLUMNS: Final = (
    "id",
    "work_item_id",
    "execution_id",
    "point",
    "outcome",
    "reason_codes",
    "rule_errors",
    "versions",
    "list_versions",
    "approvals",
    "facts",
    "created_at",
)


class Recorded(NamedTuple):
    """The columns of a stored decision that replays need."""

    id: uuid.UUID
    work_item_id: uuid.UUID
    execution_id: uuid.UUID | None
    point: str
    outcome: str
    reason_codes: list[str]
    rule_errors: Any
    versions: list[dict[str, Any]]
    list_versions: dict[str, str]
    approvals: dict[str, Any] | None
    facts: bytes
    created_at: datetime

    @property
    def public_id(self) -> str:
        return ids.public_id(ids.POLICY_DECISION, self.id)

    @property
    def answer(self) -> Answer:
        """Return the recorded answer."""
        return Answer(self.outcome, tuple(self.reason_codes), self.approvals)

    def case(self, facts: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return ids and names that identify the case, without contents."""
        item = facts["item"] if facts else {}
        return {
            "work_item_id": ids.public_id(ids.WORK_ITEM, self.work_item_id),
            "execution_id": ids.public_id(ids.EXECUTION, self.execution_id) if self.execution_id else None,
            "workflow_id": item.get("workflow") or None,
            "channel_id": item.get("channel") or None,
            "point": self.point,
        }


def recorded_decisions(rows: QuerySet[PolicyDecision]) -> Iterator[Recorded]:
    """Yield `rows` through a server-side cursor, in constant memory."""
    for values in rows.values_list(*_COLUMNS).iterator(chunk_size=AT_ONCE):
        yield Recorded(*values)


def may_override(entries: Sequence[RulebookEntry]) -> bool:
    """Return True if any rule can override another, so that the scope of each policy matters."""
    return any(rule.overrides for entry in entries if entry.document is not None for rule in entry.document.rules)


class ScopeNotRecordedError(Exception):
    """The facts do not contain what the scope refers to: groups are missing in old facts, packs in all."""


def matching_scopes(scopes: Sequence[OverlayScope], facts: Mapping[str, Any]) -> list[OverlayScope]:
    """Return the scopes that include the case. Raises `ScopeNotRecordedError`."""
    item = facts["item"]
    found = []
    for scope in scopes:
        if scope.kind == "pack":
            raise ScopeNotRecordedError
        if scope.kind == "group":
            if "requester_groups" not in item:
                raise ScopeNotRecordedError
            holds = scope.slug in item["requester_groups"]
        else:
            holds = scope.kind == "tenant" or scope.slug == item[scope.kind]
        if holds:
            found.append(scope)
    return found


class ListHistory:
    """History of list versions. Read once; versions are only added, never changed or removed."""

    SETTLES_S: ClassVar = 5
    """Time after its creation at which a list version is certainly visible to decisions."""

    def __init__(self, ctx: ActingContext) -> None:
        slugs = dict(List.objects.filter(tenant_id=ctx.tenant_id).values_list("id", "slug"))
        self._versions: dict[str, list[tuple[datetime, uuid.UUID]]] = {slug: [] for slug in slugs.values()}
        rows = ListVersion.objects.filter(tenant_id=ctx.tenant_id).order_by("number")
        for list_id, version_id, created_at in rows.values_list("list_id", "id", "created_at"):
            self._versions[slugs[list_id]].append((created_at, version_id))

    def names(self) -> set[str]:
        return set(self._versions)

    def at(self, name: str, instant: datetime) -> tuple[uuid.UUID | None, bool]:
        """Return the version at `instant` (None if there was none yet), and True if it is certain."""
        found, is_certain = None, True
        for created_at, version_id in self._versions.get(name, ()):
            if created_at > instant:
                break
            found, is_certain = version_id, (instant - created_at).total_seconds() >= self.SETTLES_S
        return found, is_certain
