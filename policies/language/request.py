"""The input of a decision: plain data about one case at one point. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from policies.language.facts import Point, build_facts
from threada_site.kernel import ids


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRequest:
    """One case to decide. `requester` and `actor` are public ids; `payload` and `input` are I-JSON.

    At intake, `action` and `integration` are "" and `execution_id` is None. If `requester_groups` is None, the groups
    are looked up. `salt` belongs to the case; once it is erased, the digest of the facts reveals nothing about them.
    """

    point: Point | str
    work_item_id: uuid.UUID
    workflow: str
    channel: str = ""
    payload: Any
    confidence: float | None = None
    risk_flags: Sequence[str] = ()
    requester: str
    requester_groups: Sequence[str] | None = None
    data_class: str
    item_version: int = 1
    execution_id: uuid.UUID | None = None
    action: str = ""
    integration: str = ""
    input: Any = None
    actor: str
    actor_kind: str
    roles: Sequence[str] = ()
    salt: bytes = b""

    @property
    def requester_id(self) -> uuid.UUID | None:
        """Return the id of the requester if it is a principal, else None."""
        return ids.parse_public_id(ids.PRINCIPAL, self.requester)

    def facts(
        self, *, now: datetime, lists: Mapping[str, Sequence[Any]], requester_groups: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Return the complete facts, with the `requester_groups` that the rulebook found."""
        return build_facts(
            point=self.point,
            now=now,
            item_id=ids.public_id(ids.WORK_ITEM, self.work_item_id),
            workflow=self.workflow,
            channel=self.channel,
            payload=self.payload,
            confidence=self.confidence,
            risk_flags=self.risk_flags,
            requester=self.requester,
            requester_groups=requester_groups,
            data_class=self.data_class,
            version=self.item_version,
            action=self.action,
            integration=self.integration,
            actor=self.actor,
            actor_kind=self.actor_kind,
            roles=self.roles,
            input=self.input,
            lists=lists,
        )
