"""Check that the vote of the acting principal would count on a step."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_noop

from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext
from workitems.approvers.count_votes import Eligibility
from workitems.approvers.step_votes import StepVotes
from workitems.approvers.timely_grants import late_in_words
from workitems.approvers.unowned import names_without_owner

ENDS_DEPENDENCE: Final = gettext_noop(
    "The dependence ends when an independent steward, the identity provider or the operator confirms the account."
)


def check_eligible(votes: StepVotes, *, ctx: ActingContext, rejects: bool = False) -> None:
    """Raise an error if the principal's vote would not count.

    Raises `VoterExcluded`, `VoterNotEligible`, `StageNotOpen`, `InvitationNotAccepted`, `GrantTooLate`, or
    `VoterNotIndependent`. A rejection may depend on another vote.
    """
    match votes.eligibility_of(ctx):
        case Eligibility.EXCLUDED:
            raise errors.VoterExcluded("You have a part in this case, so somebody else has to decide.")
        case Eligibility.DEPENDENT_ON_EXCLUDED:
            raise _dependent_on_excluded(votes)
        case Eligibility.NOT_ACCEPTED:
            raise errors.InvitationNotAccepted(
                "Accept your invitation to this tenant first. Until then you cannot vote."
            )
        case Eligibility.LATE:
            raise errors.GrantTooLate(late_in_words(votes.late_grants_of(ctx), as_of=votes.step.grants_as_of))
        case Eligibility.NOT_ELIGIBLE:
            raise errors.VoterNotEligible("Your vote does not count on this decision. See waiting_for on the step.")
        case Eligibility.NOT_YET:
            raise errors.StageNotOpen("You are asked in a later stage. See waiting_for for who decides first.")
        case Eligibility.NOT_INDEPENDENT:
            if not rejects:
                raise _not_independent(votes, ctx=ctx)
        case Eligibility.COUNTS:
            return


def _dependent_on_excluded(votes: StepVotes) -> errors.VoterNotIndependent:
    if unowned := names_without_owner(votes):
        return errors.VoterNotIndependent(
            f"Nobody is known to be independent of {', '.join(unowned)}: no active person is known as the owner. A "
            "steward must name one, or the operator with manage.py set_owner."
        )
    return errors.VoterNotIndependent(
        "Your account and that of somebody who has a part in this case depend on each other or on one person, "
        f"so somebody else has to decide. {ENDS_DEPENDENCE}"
    )


def _not_independent(votes: StepVotes, *, ctx: ActingContext) -> errors.VoterNotIndependent:
    other = votes.dependent_vote(ctx.principal_id)
    assert other is not None  # noqa: S101  (the eligibility says so)
    return errors.VoterNotIndependent(
        f"Your approval cannot count beside the vote of {votes.name_of(other.voter_id)}: your accounts depend on each "
        f"other or on one person. You may reject. {ENDS_DEPENDENCE}",
        vote_id=other.public_id,
        voter=ids.public_id(ids.PRINCIPAL, other.voter_id),
    )
