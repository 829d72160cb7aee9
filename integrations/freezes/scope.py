"""Scope of a freeze, and its effect on deadlines. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from threada_site.kernel.sentences import Sentence, sentence


@dataclass(frozen=True, slots=True)
class Place:
    """Place that freezes are compared with. `requested_by` is None where no principal has requested an action yet."""

    workflow: str
    integration: str = ""
    action: str = ""
    requested_by: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class FreezeScope:
    """The stopped part: the whole tenant ("" throughout), one workflow, one integration, one action of an
    integration, or what one agent or service requests.

    `principal` is the name of the agent or service, `principal_id` its id. Raises `ValueError` for any other
    combination.
    """

    workflow: str = ""
    integration: str = ""
    action: str = ""
    principal: str = ""
    principal_id: uuid.UUID | None = None

    def __post_init__(self) -> None:
        if self.action and not self.integration:
            raise ValueError("an action is named together with its integration")
        if self.workflow and self.integration:
            raise ValueError("name a workflow or an integration, not both")
        if self.principal and (self.workflow or self.integration):
            raise ValueError("name an agent or a service alone")

    def covers(self, place: Place) -> bool:
        """Return True if the scope includes the place."""
        if self.principal:
            return place.requested_by is not None and place.requested_by == self.principal_id
        return (
            self.workflow in ("", place.workflow)
            and self.integration in ("", place.integration)
            and (not self.action or self.action == place.action)
        )

    def __str__(self) -> str:
        return self.sentence

    @property
    def sentence(self) -> Sentence:
        """Return the scope in words."""
        if self.action:
            return sentence("{action} on {integration}", action=self.action, integration=self.integration)
        if self.principal:
            return sentence("requests of {name}", name=self.principal)
        if self.integration:
            return sentence("integration {name}", name=self.integration)
        return sentence("workflow {name}", name=self.workflow) if self.workflow else sentence("everything")


def frozen_since(periods: Iterable[tuple[datetime, datetime]], until: datetime) -> datetime:
    """Return the start of the gapless frozen period that ends at `until`, or `until` if there is none.

    Periods may overlap.
    """
    since = until
    for begin, end in sorted(periods, key=lambda period: period[1], reverse=True):
        if end >= since:
            since = min(since, begin)
    return since


def moved(deadline: datetime | None, *, since: datetime, until: datetime, opened_at: datetime) -> datetime | None:
    """Return a deadline that fell into a frozen period, moved by the frozen time of the step.

    Return others unchanged.
    """
    begin = max(since, opened_at)
    if deadline is None or not begin <= deadline <= until:
        return deadline
    return deadline + (until - begin)
