"""Run all checks of a proof for one tenant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from django.db import InternalError, OperationalError

from policies.language.approvals import Leaf
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from workitems.approvers.step_votes import read_step_votes
from workitems.proof.accountable import PROMISES, accountable_findings
from workitems.proof.cases import Asked, Outcome, ask
from workitems.proof.checks import CHECKS, Check, Observation
from workitems.proof.results import Finding, Proof, Result
from workitems.proof.rules_matching import NAME, PROMISE, rule_findings
from workitems.proof.samples import Sample, samples
from workitems.proof.stage import Case, Stage, TooSlowError

_MOST_APPROVERS: Final = 6

MOST_SECONDS: Final = 1.0
"""Longest transaction, and so the longest time for which a proof locks existing rows."""


def prove(ctx: ActingContext, *, seconds: float = MOST_SECONDS) -> Proof:
    """Check the product's promises against the configuration in force. `ctx` is the operator's.

    Every case is rolled back: no work item, receipt or message remains, and nothing is called. A case that takes longer
    than `seconds`, or that the configuration refuses, is not applicable.
    """
    with unit_of_work(ctx.tenant_id):
        chosen = list(samples(ctx))
        about_rules = list(rule_findings(ctx))
    stage = Stage(ctx, seconds=seconds)
    try:
        found = [
            Finding(named.name, *observation, sample.name)
            for sample in chosen
            for named, observation in _observations(sample, stage)
        ]
    finally:
        stage.close()
    is_tried = any(finding.result is Result.PASS for finding in found)
    with unit_of_work(ctx.tenant_id):
        about_people = list(accountable_findings(ctx, is_tried=is_tried))
    promises = {named.name: named.promise for named in CHECKS} | {NAME: PROMISE} | PROMISES
    return Proof(promises, (*found, *about_rules, *about_people))


@dataclass(slots=True)
class _Answered:
    """Answer of the policies to a sample: outcome, leaves of the rule, number of approvers that complete its step."""

    outcome: Outcome = "denied"
    leaves: tuple[Leaf, ...] = ()
    approvers: int = 0


def _observations(sample: Sample, stage: Stage) -> list[tuple[Check, Observation]]:
    answered = _Answered()

    def first(case: Case) -> Observation:
        asked = ask(sample, case, by=case.cast.requester)
        answered.outcome, answered.leaves = asked.outcome, asked.leaves
        answered.approvers = _approvers(asked)
        return Result.NOT_APPLICABLE, "The policies deny it."

    observed = _observed(stage, first)
    found: list[tuple[Check, Observation]] = []
    for check in CHECKS:
        if answered.outcome == "denied":
            found.append((check, observed))
        elif check.needs_people and answered.outcome != "asked":
            found.append((check, (Result.NOT_APPLICABLE, "A rule allows it without people.")))
        else:
            run = partial(check.run, sample, answered.leaves)
            found.append((check, _observed(stage, run, answered.leaves, answered.approvers)))
    return found


def _approvers(asked: Asked) -> int:
    """Return how many synthetic approvers a step needs: one for each leaf, and as many as votes are missing."""
    if asked.step is None:
        return 0
    missing = read_step_votes(asked.step, workflow_id=asked.item.workflow_version.workflow_id).result.missing
    return min(max(missing, len(asked.leaves), 1), _MOST_APPROVERS)


def _observed(
    stage: Stage, run: Callable[[Case], Observation], leaves: tuple[Leaf, ...] = (), approvers: int = 0
) -> Observation:
    """Return what `run` observes in a case of its own, or why it could not observe anything."""
    try:
        return stage.observe(run, leaves, approvers)
    except (TooSlowError, InternalError):
        return Result.NOT_APPLICABLE, f"The case took longer than {stage.seconds:g} s. Run it again with --seconds."
    except errors.ThreadaError as refusal:
        return Result.NOT_APPLICABLE, f"The configuration refuses the case: {refusal.reason_code}."
    except OperationalError as error:
        return Result.NOT_APPLICABLE, f"The database did not answer in time: {str(error).splitlines()[0]}"
