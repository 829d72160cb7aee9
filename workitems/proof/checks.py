"""Checks of a proof. Each runs on one sample in a transaction of its own and returns its result with a sentence.

Synthetic people are created before the case, because later grants do not count on its steps.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from integrations.attempts.failures import TransportFailure
from integrations.freezes.block import freeze_before_lease
from integrations.freezes.scope import FreezeScope
from integrations.lifecycle import ExecutionStatus
from policies.language.approvals import Leaf
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, PrincipalKind
from workitems.approvers.count_votes import Outcome
from workitems.approvers.step_votes import StepVotes, read_step_votes
from workitems.executions.freezes import set_freeze
from workitems.executions.open_envelope import open_to_run
from workitems.lifecycle import StepStatus
from workitems.models import Vote, WorkItem
from workitems.proof import people
from workitems.proof.cases import Asked, Case, ask, vote
from workitems.proof.results import Result
from workitems.proof.samples import Sample
from workitems.steps.deadlines import expire_step

type Observation = tuple[Result, str]


@dataclass(frozen=True, slots=True)
class Check:
    """A check: its question, and its run on a sample.

    `run` takes the sample, the leaves of the rule that it meets (empty: nobody is asked), and the open case.
    `needs_people`: the check applies only where people are asked.
    """

    name: str
    question: str
    run: Callable[[Sample, tuple[Leaf, ...], Case], Observation]
    needs_people: bool = True


_MOST_APPROVERS: Final = 6
_MOST_NAMED: Final = 20
_EXCLUSIONS: Final = frozenset({errors.VoterExcluded.reason_code, errors.VoterNotIndependent.reason_code})
_ENDED: Final = frozenset({ExecutionStatus.STARTED, ExecutionStatus.RUNNING, ExecutionStatus.SUCCEEDED})


def requester_alone(sample: Sample, leaves: tuple[Leaf, ...], case: Case) -> Observation:
    """Check that the requester, with everything that the rule asks for, cannot approve the own request."""
    requester = _person("requester", leaves, case)
    asked = ask(sample, case, by=requester)
    refusal = vote(asked, case, by=requester)
    if refusal:
        return _excluded(refusal), f"The vote of the requester is refused: {refusal}."
    return Result.FAIL, "The vote of the requester counts: the rule lifts the exclusion of requesters."


def agent_and_owner(sample: Sample, leaves: tuple[Leaf, ...], case: Case) -> Observation:
    """Check that neither an agent nor its owner can approve the agent's request."""
    owner = people.person("owner", leaves, ctx=case.ctx)
    agent = people.acting(people.agent("agent", owner, leaves, ctx=case.ctx), ctx=case.ctx)
    asked = ask(sample, case, by=agent)
    if asked.step is None:
        return Result.NOT_APPLICABLE, f"For an agent the policies answer: {asked.outcome}."
    vote(asked, case, by=agent)
    if _votes(asked).result.outcome is not Outcome.WAITING:
        return Result.FAIL, "The vote of the agent counts as that of a person."
    refusal = vote(asked, case, by=people.acting(owner, ctx=case.ctx))
    if refusal:
        return _excluded(refusal), f"The agent's vote is not counted, and its owner's is refused: {refusal}."
    return Result.FAIL, "The vote of the agent's owner counts: the rule lifts the exclusion of owners."


def expired_step(sample: Sample, leaves: tuple[Leaf, ...], case: Case) -> Observation:
    """Check that an expired step takes no vote and starts no action."""
    voter, asked = _person("approver", leaves, case), ask(sample, case, by=_person("requester", (), case))
    step = asked.step
    assert step is not None  # noqa: S101  (leaves: somebody is asked)
    if step.expires_at is None:
        return Result.NOT_APPLICABLE, "The step never expires."
    now = clock.now()
    step.expires_at = step.respond_due_at = now - timedelta(seconds=1)
    step.save(update_fields=["expires_at", "respond_due_at"])
    refusal = vote(asked, case, by=voter)
    expire_step(asked.item, step, now=now, ctx=case.ctx)
    case.check_time()
    if not refusal:
        return Result.FAIL, "A vote on the expired step was stored."
    if step.status == StepStatus.PENDING:
        return Result.PASS, f"The vote is refused ({refusal}); the step is escalated and extended once."
    if asked.execution is not None:
        asked.execution.refresh_from_db()
        if asked.execution.status in _ENDED:
            return Result.FAIL, f"The execution is {asked.execution.status} although its step expired."
    return Result.PASS, f"The vote is refused ({refusal}), and the step ends {step.status}."


def changed_envelope(sample: Sample, leaves: tuple[Leaf, ...], case: Case) -> Observation:
    """Check that votes on other bytes are refused, and that an approved request does not run after a change."""
    voters = [_person(f"approver-{number}", leaves, case) for number in range(_MOST_APPROVERS if leaves else 0)]
    asked = ask(sample, case, by=_person("requester", (), case))
    if asked.step is not None:
        if not vote(asked, case, by=voters[0], envelope_sha256="0" * 64):
            return Result.FAIL, "A vote that names another envelope was stored."
        for voter in voters:
            if asked.step.status == StepStatus.PENDING:
                vote(asked, case, by=voter)
    execution = asked.execution
    if execution is None or (asked.step is not None and asked.step.status != StepStatus.APPROVED):
        return Result.PASS, "A vote that names another envelope is refused."
    open_to_run(asked.item, execution)
    changed = WorkItem(tenant_id=asked.item.tenant_id)
    changed.__dict__.update(asked.item.__dict__, payload={**asked.item.payload, "threada-proof": True})
    case.check_time()
    try:
        open_to_run(changed, execution)
    except TransportFailure as failure:
        return Result.PASS, f"After a change of the payload the approved request does not run: {failure.failure}."
    return Result.FAIL, "The approved request runs although its payload was changed."


def frozen_integration(sample: Sample, leaves: tuple[Leaf, ...], case: Case) -> Observation:
    """Check that an execution at a frozen integration gets no lease, without which nothing is called."""
    asked = ask(sample, case, by=_person("requester", leaves, case))
    if asked.execution is None:
        return Result.NOT_APPLICABLE, "The action starts only after the decision about the request."
    set_freeze(FreezeScope(integration=sample.integration), reason="Proof.", ctx=case.ctx)
    case.check_time()
    if freeze_before_lease(asked.execution) is None:
        return Result.FAIL, "The freeze does not stop the execution."
    return Result.PASS, "The freeze stops the execution before its lease."


def single_approver(sample: Sample, _leaves: tuple[Leaf, ...], case: Case) -> Observation:
    """Check that no member alone completes a step that asks for several people. Name the members who could decide."""
    asked = ask(sample, case, by=_person("requester", (), case))
    votes = _votes(asked)
    names = sorted(votes.name_of(member) for member in votes.can_vote_ids() if _decides(votes, member))
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    named = f"{', '.join(names[:_MOST_NAMED])}{more}" or "nobody"
    if votes.result.missing == 1:
        return Result.NOT_APPLICABLE, f"The rule asks for one person. Who could decide: {named}."
    if names:
        return Result.FAIL, f"The rule asks for several people, and each of these could approve alone: {named}."
    return Result.PASS, "The rule asks for several people, and no member can approve alone."


def without_people(_sample: Sample, leaves: tuple[Leaf, ...], _case: Case) -> Observation:
    """Name the cases that run without people. They run by a rule, so they are not a failure."""
    if leaves:
        return Result.PASS, "People are asked."
    return Result.NOT_APPLICABLE, "A rule allows it without people."


CHECKS: Final = (
    Check("people_are_asked", "Does the action need people?", without_people, needs_people=False),
    Check("requester_cannot_approve", "Can one person request and approve?", requester_alone),
    Check("agent_cannot_approve", "Can an agent, or its owner, approve the agent's request?", agent_and_owner),
    Check("one_approver_is_not_enough", "Who could approve alone?", single_approver),
    Check("expired_step_does_not_act", "Does an expired step act?", expired_step),
    Check("changed_envelope_is_refused", "Is a changed envelope refused?", changed_envelope, needs_people=False),
    Check(
        "frozen_integration_is_not_called",
        "Does a frozen integration get called?",
        frozen_integration,
        needs_people=False,
    ),
)


def _person(name: str, leaves: tuple[Leaf, ...], case: Case) -> ActingContext:
    made = people.acting(people.person(name, leaves, ctx=case.ctx), ctx=case.ctx)
    case.check_time()
    return made


def _excluded(refusal: str) -> Result:
    """Return PASS if a vote was refused because of the voter's part in the case; any other refusal proves nothing."""
    return Result.PASS if refusal in _EXCLUSIONS else Result.NOT_APPLICABLE


def _votes(asked: Asked) -> StepVotes:
    step = asked.step
    assert step is not None  # noqa: S101
    return read_step_votes(step, workflow_id=asked.item.workflow_version.workflow_id)


def _decides(votes: StepVotes, member_id: uuid.UUID) -> bool:
    """Return True if the approval of this member alone completes the step."""
    ballot = Vote(
        tenant_id=votes.step.tenant_id,
        step_id=votes.step.id,
        voter_id=member_id,
        voter_kind=PrincipalKind.HUMAN.value,
        decision="approve",
        counted=True,
        stands_for=[],
        envelope_sha256="",
        created_at=clock.now(),
    )
    return votes.with_vote(ballot).result.outcome is Outcome.APPROVED
