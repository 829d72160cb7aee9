"""Run all checks of a proof for one tenant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.db import OperationalError

from integrations.attempts.failures import TransportFailure
from policies.language.approvals import Leaf
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from workitems.proof import people
from workitems.proof.cases import Case, Outcome, TooSlowError, ask, rolled_back_case
from workitems.proof.checks import CHECKS, Check, Observation
from workitems.proof.results import Finding, Proof, Result
from workitems.proof.samples import Sample, samples

MOST_SECONDS: Final = 1.0
"""Longest transaction of a case, and so the longest time for which it locks existing rows."""


def prove(ctx: ActingContext, *, seconds: float = MOST_SECONDS) -> Proof:
    """Check the product's promises against the configuration in force. `ctx` is the operator's.

    Every case is rolled back: no work item, receipt or message remains, and nothing is called. A case that takes longer
    than `seconds`, or that the configuration refuses, is not applicable.
    """
    with unit_of_work(ctx.tenant_id):
        chosen = list(samples(ctx))
    findings = [
        Finding(named.name, *observation, sample.name)
        for sample in chosen
        for named, observation in _observations(sample, ctx=ctx, seconds=seconds)
    ]
    return Proof({named.name: named.question for named in CHECKS}, tuple(findings))


def _observations(sample: Sample, *, ctx: ActingContext, seconds: float) -> list[tuple[Check, Observation]]:
    outcome: Outcome = "denied"
    leaves: tuple[Leaf, ...] = ()

    def first(case: Case) -> Observation:
        nonlocal outcome, leaves
        requester = people.acting(people.person("requester", ctx=case.ctx), ctx=case.ctx)
        asked = ask(sample, case, by=requester)
        outcome, leaves = asked.outcome, asked.leaves
        return Result.NOT_APPLICABLE, "The policies deny it."

    observed = _observed(first, ctx=ctx, seconds=seconds)
    found: list[tuple[Check, Observation]] = []
    for check in CHECKS:
        if outcome == "denied":
            found.append((check, observed))
        elif check.needs_people and outcome != "asked":
            found.append((check, (Result.NOT_APPLICABLE, "A rule allows it without people.")))
        else:
            found.append((check, _observed(lambda case: check.run(sample, leaves, case), ctx=ctx, seconds=seconds)))  # noqa: B023
    return found


def _observed(run: Callable[[Case], Observation], *, ctx: ActingContext, seconds: float) -> Observation:
    """Return what `run` observes in a case of its own, or why it could not observe anything."""
    try:
        with rolled_back_case(ctx, seconds=seconds) as case:
            return run(case)
    except TooSlowError:
        return Result.NOT_APPLICABLE, f"The case took longer than {seconds:g} s. Run it again with --seconds."
    except errors.ThreadaError as refusal:
        return Result.NOT_APPLICABLE, f"The configuration refuses the case: {refusal.reason_code}."
    except TransportFailure as failure:
        return Result.NOT_APPLICABLE, f"The envelope cannot be opened: {failure.detail}"
    except OperationalError as error:
        return Result.NOT_APPLICABLE, f"The database did not answer in time: {str(error).splitlines()[0]}"
