"""The rule `identity_four_eyes`, which is on without a row while there are two stewards, when one of the two leaves."""

from __future__ import annotations

from threada_site.identity.departure.outcome import DepartureReason
from threada_site.identity.four_eyes import keep_four_eyes
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.four_eyes import IDENTITY_FOUR_EYES, is_four_eyes_required, stewards
from threada_site.tenancy.independence import is_independent_of
from threada_site.tenancy.models import User


def keep_rule_of_two_stewards(leaving: User, reason: DepartureReason, *, ctx: ActingContext) -> None:
    """Keep `identity_four_eyes` on if the departure of one of two stewards would turn it off. Receipt as of turning on.

    Otherwise one person with two accounts could leave with one to be free of the rule with the other, and a directory
    could free its administrator. A steward whom a second one or the operator removed, and one who is independent of the
    steward who stays and leaves of their own accord, ends the rule knowingly.
    """
    found = stewards(ctx.tenant_id)
    staying = [steward for steward in found if steward != leaving.id]
    if leaving.id not in found or len(staying) != 1 or not is_four_eyes_required(ctx.tenant_id, IDENTITY_FOUR_EYES):
        return
    is_own_wish = reason is DepartureReason.LEFT
    if reason is DepartureReason.DEPROVISIONED or (
        is_own_wish and not is_independent_of(leaving.id, staying, tenant_id=ctx.tenant_id)
    ):
        keep_four_eyes(IDENTITY_FOUR_EYES, ctx=ctx)
