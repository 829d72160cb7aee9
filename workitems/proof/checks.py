"""Checks of a proof. Each runs on one sample in a transaction of its own and returns its result with a sentence.

The synthetic people exist before the case, because later grants do not count on its steps.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from integrations.freezes.scope import FreezeScope
from policies.language.approvals import Leaf
from threada_site.kernel import clock, errors
from threada_site.kernel.context import PrincipalKind
from threada_site.kernel.json.canonical import canonical_sha256
from workitems.approvers.count_votes import Outcome
from workitems.approvers.step_votes import StepVotes, read_step_votes
from workitems.executions.freezes import set_freeze
from workitems.lifecycle import StepStatus
from workitems.models import Vote
from workitems.proof.cases import Asked, approve, ask, requests_sent, vote
from workitems.proof.results import Result
from workitems.proof.samples import Sample
from workitems.proof.stage import Case
from workitems.steps.deadlines import expire_step

type Observation = tuple[Result, str]


@dataclass(frozen=True, slots=True)
class Check:
    """A check: the promise that it tries, and its run on a sample.

    `run` takes the sample, the leaves of the rule that it meets (empty: nobody is asked), and the open case.
    `needs_people`: the check applies only where people are asked.
    """

    name: str
    promise: str
    run: Callable[[Sample, tuple[Leaf, ...], Case], Observation]
    needs_people: bool = True


_MOST_NAMED: Final = 20
_ONLY_VOTES: Final = (Result.PASS, "A vote that names another envelope is refused.")
_NOT_REACHED: Final = (
    Result.NOT_APPLICABLE,
    "The request is not sent at once even without it: limits or another rule.",
)
_EXCLUSIONS: Final = frozenset({errors.VoterExcluded.reason_code, errors.VoterNotIndependent.reason_code})


def requester_alone(sample: Sample, _leaves: tuple[Leaf, ...], case: Case) -> Observation:
    """Check that the requester, with everything that the rule asks for, cannot approve the own request."""
    requester = case.cast.approvers[0]
    asked = ask(sample, case, by=requester)
    refusal = vote(asked, case, by=requester)
    if refusal:
        return _excluded(refusal), f"The vote of the requester is refused: {refusal}."
    return Result.FAIL, "The vote of the requester counts: the rule lifts the exclusion of requesters."


def agent_and_owner(sample: Sample, _leaves: tuple[Leaf, ...], case: Case) -> Observation:
    """Check that neither an agent nor its owner can approve the agent's request."""
    owner, agent = case.cast.approvers[0], case.cast.agent
    assert agent is not None  # noqa: S101  (people are asked)
    asked = ask(sample, case, by=agent)
    if asked.step is None:
        return Result.NOT_APPLICABLE, f"For an agent the policies answer: {asked.outcome}."
    vote(asked, case, by=agent)
    if _votes(asked).result.outcome is not Outcome.WAITING:
        return Result.FAIL, "The vote of the agent counts as that of a person."
    refusal = vote(asked, case, by=owner)
    if refusal:
        return _excluded(refusal), f"The agent's vote is not counted, and its owner's is refused: {refusal}."
    return Result.FAIL, "The vote of the agent's owner counts: the rule lifts the exclusion of owners."


def expired_step(sample: Sample, _leaves: tuple[Leaf, ...], case: Case) -> Observation:
    """Check that an expired step takes no vote, and that no worker sends anything after it."""
    asked = ask(sample, case, by=case.cast.requester)
    step = asked.step
    assert step is not None  # noqa: S101  (people are asked)
    if step.expires_at is None:
        return Result.NOT_APPLICABLE, "The step never expires."
    now = clock.now()
    step.expires_at = step.respond_due_at = now - timedelta(seconds=1)
    step.save(update_fields=["expires_at", "respond_due_at"])
    refusal = vote(asked, case, by=case.cast.approvers[0])
    if not refusal:
        return Result.FAIL, "A vote on the expired step was stored."
    expire_step(asked.item, step, now=now, ctx=case.ctx)
    if requests_sent(asked, case):
        return Result.FAIL, "A request was about to be sent although its step expired."
    if step.status == StepStatus.PENDING:
        return Result.PASS, f"The vote is refused ({refusal}); the step is escalated and extended once."
    return Result.PASS, f"The vote is refused ({refusal}), the step ends {step.status}, and nothing is sent."


def changed_envelope(sample: Sample, _leaves: tuple[Leaf, ...], case: Case) -> Observation:
    """Check that votes on other bytes are refused, and that an approved request is not sent after a change."""
    asked = ask(sample, case, by=case.cast.requester)
    if asked.step is not None and not vote(asked, case, by=case.cast.approvers[0], envelope_sha256="0" * 64):
        return Result.FAIL, "A vote that names another envelope was stored."
    if not approve(asked, case):
        return _ONLY_VOTES
    if not _is_sent_otherwise(asked, case):
        return _ONLY_VOTES if asked.step is not None else _NOT_REACHED
    item = asked.item
    item.payload = {**item.payload, "threada-proof": True}
    item.payload_sha256 = canonical_sha256(item.payload)
    item.save(update_fields=["payload", "payload_sha256"])
    if requests_sent(asked, case):
        return Result.FAIL, "The approved request was about to be sent although its payload was changed."
    return Result.PASS, "After a change of the payload the approved request is not sent."


def frozen_integration(sample: Sample, _leaves: tuple[Leaf, ...], case: Case) -> Observation:
    """Check that an approved request to a frozen integration is not sent."""
    asked = ask(sample, case, by=case.cast.requester)
    if asked.execution is None:
        return Result.NOT_APPLICABLE, "The action starts only after the decision about the request."
    if not approve(asked, case):
        return Result.NOT_APPLICABLE, "Synthetic people cannot complete the approval, so nothing would be sent anyway."
    if not _is_sent_otherwise(asked, case):
        return _NOT_REACHED
    set_freeze(FreezeScope(integration=sample.integration), reason="Proof.", ctx=case.ctx)
    case.check_time()
    if requests_sent(asked, case):
        return Result.FAIL, "A request was about to be sent to the frozen integration."
    return Result.PASS, "Without the freeze the request would be sent. With it nothing is sent."


def single_approver(sample: Sample, _leaves: tuple[Leaf, ...], case: Case) -> Observation:
    """Check that no member alone completes a step that asks for several people. Name the members who could decide."""
    asked = ask(sample, case, by=case.cast.requester)
    votes = _votes(asked)
    members = votes.can_vote_ids() - case.synthetic
    names = sorted(votes.name_of(member) for member in members if _decides(votes, member))
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
    Check("people_are_asked", "People decide before the action runs", without_people, needs_people=False),
    Check("requester_cannot_approve", "Nobody approves an own request", requester_alone),
    Check("agent_cannot_approve", "Neither an agent nor its owner approves the agent's request", agent_and_owner),
    Check("one_approver_is_not_enough", "Where several people are required, nobody approves alone", single_approver),
    Check("expired_step_does_not_act", "An expired step does not act", expired_step),
    Check("changed_envelope_is_refused", "A changed envelope is refused", changed_envelope, needs_people=False),
    Check(
        "frozen_integration_is_not_called",
        "A frozen integration is not called",
        frozen_integration,
        needs_people=False,
    ),
)


def _is_sent_otherwise(asked: Asked, case: Case) -> bool:
    """Return True if the request would be sent as it is: otherwise a check that nothing is sent would prove nothing."""
    return bool(case.undone(lambda: requests_sent(asked, case)))


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
