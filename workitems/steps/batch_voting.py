"""Voting on several steps in one batch: all or none, each vote bound to the envelope that was shown."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from django.conf import settings

from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError, ThreadaError
from workitems import selectors
from workitems.models import DecisionStep, Vote, WorkItem
from workitems.steps import batch_limits as batches
from workitems.steps.voting import Ballot, cast_vote

STEPS_POINTER: Final = "/steps"


@dataclass(frozen=True, slots=True)
class Chosen:
    """One step of a batch: its public id, and the hash of the envelope that was shown for it."""

    step_id: str
    envelope_sha256: str


@dataclass(frozen=True, slots=True)
class Cast:
    """One vote of a batch, with its step and work item as changed by the vote."""

    vote: Vote
    step: DecisionStep
    item: WorkItem


def locked_batch(chosen: Sequence[Chosen], *, ctx: ActingContext) -> list[tuple[WorkItem, DecisionStep]]:
    """Return the chosen steps with their work items, locked, in the order of `chosen`.

    Locks items before steps, each ordered by id. Raises `InvalidRequest` for a repeated or unreadable step,
    `BatchTooLarge` for more than 200 steps.
    """
    require_unit_of_work(ctx.tenant_id)
    if len(chosen) > batches.MOST_IN_A_BATCH:
        raise errors.BatchTooLarge(f"A batch decides at most {batches.MOST_IN_A_BATCH} steps, not {len(chosen)}.")
    wanted = [ids.parse_public_id(ids.DECISION_STEP, entry.step_id) for entry in chosen]
    found = selectors.steps_for_update({value for value in wanted if value is not None}, ctx=ctx)
    problems = [
        FieldError(
            f"{STEPS_POINTER}/{place}/decision_step_id",
            "names no decision step here" if value not in found else "is named twice",
            "unknown" if value not in found else "repeated",
        )
        for place, value in enumerate(wanted)
        if value not in found or value in wanted[:place]
    ]
    if problems:
        raise errors.InvalidRequest("Name each step once, by its id. Nothing was decided.", errors=problems)
    return [found[value] for value in wanted if value is not None]


def cast_votes(
    steps: Sequence[tuple[WorkItem, DecisionStep]], chosen: Sequence[Chosen], ballot: Ballot, *, ctx: ActingContext
) -> list[Cast]:
    """Cast the same vote on every step of `locked_batch`, each with its own envelope hash.

    The hash in `ballot` is ignored. All or nothing: the first refusal is raised with its step in `detail`, `errors` and
    `decision_step_id`, and the caller's unit of work rolls back the other votes. Raises `BatchMixed`, `BatchTooLarge`,
    and the errors of `cast_vote`.
    """
    check_together(steps)
    cast = []
    for place, ((item, step), entry) in enumerate(zip(steps, chosen, strict=True)):
        try:
            vote = cast_vote(item, step, replace(ballot, envelope_sha256=entry.envelope_sha256), ctx=ctx)
        except ThreadaError as refusal:
            _name(refusal, step, place, of=len(steps))
            raise
        cast.append(Cast(vote, step, item))
    return cast


def check_together(steps: Sequence[tuple[WorkItem, DecisionStep]]) -> None:
    """Raise `BatchMixed` or `BatchTooLarge` unless one batch may decide all of `steps`."""
    if not steps:
        raise errors.InvalidRequest(
            "Name at least one step.", errors=[FieldError(STEPS_POINTER, "is empty", "required")]
        )
    key = steps[0][1].batch_key
    strangers = [place for place, (_, step) in enumerate(steps) if step.batch_key != key or (place and not key)]
    if strangers:
        named = ", ".join(steps[place][1].public_id for place in strangers[:5])
        raise errors.BatchMixed(
            f"Only steps with the same rule and action are decided together; not of the first one's kind: {named}.",
            errors=[
                FieldError(f"{STEPS_POINTER}/{place}", "has another rule or action", "mixed") for place in strangers
            ],
        )
    level = riskiest_of(item for item, _ in steps)
    cap = cap_of(level)
    if len(steps) > cap:
        raise errors.BatchTooLarge(
            f"At {level.value} risk a batch decides at most {cap} {'step' if cap == 1 else 'steps'}; "
            f"these are {len(steps)}.",
            risk_level=level.value,
            cap=cap,
        )


def riskiest_of(items: Iterable[WorkItem]) -> batches.RiskLevel:
    """Return the risk level of a batch about `items`."""
    sensitive = settings.THREADA_SENSITIVE_DATA_CLASSES
    return batches.riskiest(batches.risk_level(item.risk_flags, item.data_class, sensitive=sensitive) for item in items)


def cap_of(level: batches.RiskLevel) -> int:
    """Return the maximum number of steps of this risk level in one batch."""
    return min(settings.THREADA_BATCH_CAPS[level.value], batches.MOST_IN_A_BATCH)


def step_refused(refusal: ThreadaError, steps: Sequence[tuple[WorkItem, DecisionStep]]) -> uuid.UUID | None:
    """Return the id of the step at which `cast_votes` stopped."""
    named = refusal.extensions.get("decision_step_id")
    return next((step.id for _, step in steps if step.public_id == named), None)


def _name(refusal: ThreadaError, step: DecisionStep, place: int, *, of: int) -> None:
    """Add the step and its place in the batch to a refusal."""
    refusal.detail = f"{step.public_id} ({place + 1} of {of}): {refusal.detail} Nothing was decided."
    refusal.errors = (
        *refusal.errors,
        FieldError(f"{STEPS_POINTER}/{place}", f"{step.public_id} is refused: {refusal.reason_code}", "refused"),
    )
    refusal.extensions.setdefault("decision_step_id", step.public_id)
