"""Reasons and results of departures. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class DepartureReason(StrEnum):
    """Reason for which a membership ended."""

    LEFT = "left"
    """The person left."""
    REMOVED = "removed"
    """A steward or the operator removed the member."""
    DEPROVISIONED = "deprovisioned"
    """A provisioning client (SCIM) deactivated the person."""
    ERASED = "erased"
    """The account was erased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """What ended with a membership: public ids, sorted.

    `was_member` is False if there was no membership to end. `is_last` is True if the person is a member of no tenant
    any more: all its sessions, its password and its second factors ended. `work` contains what the departure handler
    ended, by noun. `issued` are live credentials of others that the person issued: they stay, and the person may know
    their tokens.
    """

    was_member: bool
    is_last: bool = False
    sessions: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()
    identity_links: tuple[str, ...] = ()
    account_links: tuple[str, ...] = ()
    second_factors: tuple[str, ...] = ()
    change_sets: tuple[str, ...] = ()
    exports: tuple[str, ...] = ()
    issued: tuple[str, ...] = ()
    work: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def as_outcome(self) -> dict[str, object]:
        """Return the outcome of the receipt: `revoked` always, and the other lists that are not empty."""
        named: dict[str, tuple[str, ...]] = {
            "sessions": self.sessions,
            "identity_links": self.identity_links,
            "account_links": self.account_links,
            "second_factors": self.second_factors,
            "change_sets": self.change_sets,
            "exports": self.exports,
            "issued_by_the_principal": self.issued,
            **self.work,
        }
        return {"revoked": list(self.credentials), **{name: list(ended) for name, ended in named.items() if ended}}
