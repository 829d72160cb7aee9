"""History of a decision step in sentences: escalations and reassignments, with the names of actor and target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from telemetry.models import Receipt
from threada_site.kernel import ids
from threada_site.kernel.sentences import sentence, sentence_list, stored_sentence
from threada_site.tenancy.models import User
from workitems.models import DecisionStep

_KINDS: Final = ("decision_step.escalated", "decision_step.reassigned")
_MOST: Final = 50


@dataclass(frozen=True, slots=True)
class StepEvent:
    """One change of the people of a step, as a sentence without a full stop."""

    sentence: str
    at: datetime


def history_of(step: DecisionStep) -> list[StepEvent]:
    """Return the last 50 escalations and reassignments of a step, the oldest first. Runs at most two statements."""
    if not step.escalated_to and step.assignee_id is None:
        return []
    rows = Receipt.objects.filter(tenant_id=step.tenant_id, work_item_id=step.work_item_id, kind__in=_KINDS)
    found = [(row, orjson.loads(bytes(row.body))) for row in rows.order_by("-id")[:_MOST]]
    bodies = [(row, body) for row, body in found if body["inputs"].get("decision_step_id") == step.public_id]
    names = _names(body for _, body in bodies)
    return [StepEvent(_sentence(step.kind, body, names), row.occurred_at) for row, body in reversed(bodies)]


def _sentence(step_kind: str, body: Mapping[str, Any], names: Mapping[str, str]) -> str:
    inputs = body["inputs"]
    actor = names.get(body["actor"]["principal"], "Threada")
    kind, somebody = stored_sentence(step_kind), sentence("somebody")
    if body["kind"] == "decision_step.reassigned":
        assignee = names.get(inputs["assignee"], somebody)
        return sentence("{actor} assigned the {kind} to {assignee}", actor=actor, kind=kind, assignee=assignee)
    found = (
        names.get(name, somebody)
        if leaf_kind == "user"
        else sentence("the {kind} {name}", kind=stored_sentence(leaf_kind), name=name)
        for leaf in inputs["escalated_to"]
        for leaf_kind, name in leaf.items()
    )
    targets = sentence_list(found, ", ")
    if not inputs["by_hand"]:
        return sentence("The {kind} was escalated to {targets} after a deadline", kind=kind, targets=targets)
    if proposer := inputs.get("proposed_by"):
        return sentence(
            "{proposer} escalated the {kind} to {targets}, confirmed by {actor}",
            proposer=names.get(proposer, sentence("Somebody")),
            kind=kind,
            targets=targets,
            actor=actor,
        )
    return sentence("{actor} escalated the {kind} to {targets}", actor=actor, kind=kind, targets=targets)


def _names(bodies: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the usernames of the principals that `bodies` name, by public id."""
    named: set[str] = set()
    for body in bodies:
        inputs = body["inputs"]
        named |= {body["actor"]["principal"], inputs.get("assignee", ""), inputs.get("proposed_by", "")}
        named |= {leaf["user"] for leaf in inputs.get("escalated_to", ()) if "user" in leaf}
    known = {name: ids.parse_public_id(ids.PRINCIPAL, name) for name in named}
    users = User.objects.filter(id__in=[value for value in known.values() if value is not None])
    return {user.public_id: user.username for user in users}
