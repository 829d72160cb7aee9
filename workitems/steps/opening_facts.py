"""Facts about a decision step that the receipt of its opening states, for the comparison right before a call."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from threada_site.kernel import ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.json.canonical import canonical_sha256
from workitems.models import DecisionStep, Vote


def opening_facts(step: DecisionStep, carried: Iterable[Vote]) -> dict[str, Any]:
    """Return what the receipt `decision_step.opened` states about who may decide, in ids and digests."""
    return {
        "rule_sha256": canonical_sha256(step.rule),
        "excluded": [ids.public_id(ids.PRINCIPAL, who) for who in step.excluded_ids],
        "controllers": controllers_with_public_ids(step.excluded_controllers),
        "grants_as_of": rfc3339(step.grants_as_of),
        "carried_votes": sorted(cast_id(vote) for vote in carried),
    }


def cast_id(vote: Vote) -> str:
    """Return the public id of a vote as it was cast, which its receipt names."""
    return ids.public_id(ids.VOTE, vote.carried_from or vote.id)


def controllers_with_public_ids(stored: Mapping[str, Sequence[str] | None]) -> dict[str, list[str] | None]:
    """Return the stored controllers of excluded principals, with public ids; None means that they are unknown."""
    return {
        _principal(who): None if people is None else sorted(map(_principal, people)) for who, people in stored.items()
    }


def _principal(value: str) -> str:
    return ids.public_id(ids.PRINCIPAL, uuid.UUID(value))
