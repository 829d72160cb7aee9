"""Approvers as candidates of a vote count, and groups of candidates of whom at most one counts. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import assert_never

from policies.language.approvals import Leaf
from threada_site.kernel.context import PrincipalKind
from threada_site.tenancy.controllers import NOBODY, UNKNOWN, Control, Controllers, joined


@dataclass(frozen=True, slots=True)
class Approver:
    """Principal as seen by approval rules; `scopes` are those held on the workflow of the step.

    `controlled_by` are the people who control the account (see `threada_site.tenancy.independence`).
    """

    id: uuid.UUID
    kind: PrincipalKind
    name: str
    roles: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    controlled_by: Control = NOBODY

    @property
    def controllers(self) -> Control:
        """The approver and everyone who controls the account."""
        return joined((self.controlled_by, Controllers(frozenset({self.id}))))


@dataclass(frozen=True, slots=True)
class Candidate:
    """Approver whose vote may count. `identities` are the approver and the delegators, all of known control."""

    id: uuid.UUID
    identities: tuple[Approver, ...]

    @property
    def controllers(self) -> frozenset[uuid.UUID]:
        """The controllers of all identities. Of two candidates whose controllers intersect, at most one counts."""
        control = self.control
        if control is UNKNOWN:
            raise ValueError(f"{self.id} is no candidate: nobody knows who controls the account")
        return control.people

    @property
    def control(self) -> Control:
        return joined(identity.controllers for identity in self.identities)

    def is_eligible_for(self, leaf: Leaf, stand_ins: Collection[Leaf]) -> bool:
        """Return True if the candidate may fill `leaf`. A match with one of `stand_ins` may fill any leaf."""
        return any(is_eligible_for(identity, wanted) for identity in self.identities for wanted in (leaf, *stand_ins))


@dataclass(frozen=True, slots=True)
class Group:
    """Candidates of whom at most one counts."""

    candidates: tuple[Candidate, ...]

    @property
    def id(self) -> uuid.UUID:
        """Id of the first candidate. No other group of the same set contains this candidate."""
        return self.candidates[0].id

    def is_eligible_for(self, leaf: Leaf, stand_ins: Collection[Leaf]) -> bool:
        """Return True if one of the candidates may fill `leaf`."""
        return any(candidate.is_eligible_for(leaf, stand_ins) for candidate in self.candidates)

    def candidate_for(self, leaf: Leaf, stand_ins: Collection[Leaf]) -> Candidate:
        """Return the first candidate who may fill `leaf`."""
        return next(candidate for candidate in self.candidates if candidate.is_eligible_for(leaf, stand_ins))


def is_eligible_for(approver: Approver, leaf: Leaf) -> bool:
    """Return True if the approver matches the leaf, without delegations."""
    match leaf.kind:
        case "role":
            return leaf.name in approver.roles
        case "group":
            return leaf.name in approver.groups
        case "user":
            return leaf.name == approver.name
        case "scope":
            return leaf.name in approver.scopes
        case _ as never:
            assert_never(never)
