"""Assignment of a step to the person whom a form names, for one step and for several."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext, gettext_lazy

from threada_site.admin.actions import Call, Done
from threada_site.admin.bulk import BulkAction
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError
from workitems.api.shapes import REASSIGN_STEP
from workitems.approvers.active_members import active_members_of
from workitems.models import DecisionStep, WorkItem
from workitems.steps.reassignment import named_principal, reassign_step

MOST_CHOICES: Final = 300
"""Above this number of people, a form names none of them."""
ASSIGN: Final = BulkAction(
    "assign", gettext_lazy("Assign selected"), takes_reason=True, person_label=gettext_lazy("Assign to")
)


def assign_to_sent(item: WorkItem, step: DecisionStep, call: Call, *, reason: str) -> Done:
    """Assign a locked step to the person in the field `to`. Raise the errors of `reassign_step`."""
    body = REASSIGN_STEP.check({"to": call.sent("to"), **({"reason": reason} if reason else {})})
    to = named_principal(body["to"], ctx=call.ctx)
    if to is None:
        raise errors.AssigneeNotEligible(
            "There is no such person in this tenant.",
            errors=[FieldError("/to", "is not a person of this tenant", "unknown")],
        )
    reassign_step(item, step, to, reason=body.get("reason", ""), ctx=call.ctx)
    return Done(gettext("The step is assigned to {username}.").format(username=to.username))


def people_to_assign(ctx: ActingContext) -> list[str]:
    """Return the names of the people of the tenant other than the caller; none if there are too many to list."""
    names = sorted(member.username for member in active_members_of(ctx.tenant_id) if member.id != ctx.principal_id)
    return names if len(names) <= MOST_CHOICES else []
