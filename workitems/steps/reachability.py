"""Reachability of a decision: whether the members of the tenant can still complete a step.

It is checked when a step changes and when the members change. An empty role, a departed approver, or an approver out of
office without a delegate is not caused by a request about the step, so no request would report it.
"""

from __future__ import annotations

import uuid
from bisect import bisect_left
from collections.abc import Iterable
from typing import Any, Final

from django.db.models import Prefetch

from threada_site.kernel import clock
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext, Visibility
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.controllers import UNKNOWN
from threada_site.tenancy.members import Member
from workitems.approvers.active_members import ActiveMembers
from workitems.approvers.participants import add_participants
from workitems.approvers.step_votes import StepVotes
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep, MembershipSnapshot, Vote, WorkItem
from workitems.steps.pending_approvers import refresh_pending_approvers
from workitems.steps.unreachable import escalate_unreachable

type Memo = dict[str, bool]
_COUNTING: Final = 2
"""Number of the rules of counting. Another one lets all open steps be checked again. 2: unknown control."""


def check_reachability(
    item: WorkItem, step: DecisionStep, active_members: ActiveMembers, *, ctx: ActingContext
) -> bool:
    """Set `nobody_can_decide` of a locked item, and refresh the pending approvers of its locked, pending step.

    A step that nobody can complete since this check is escalated. Return True for such a step.
    """
    votes = StepVotes(step, tuple(step.votes.all()), active_members, item.workflow_version.workflow_id)
    became_unreachable = votes.result.nobody_can_decide and not item.nobody_can_decide
    if became_unreachable and escalate_unreachable(item, step, ctx=ctx):
        votes = StepVotes(step, votes.votes, active_members, votes.workflow_id)
    result = votes.result
    refresh_pending_approvers(step, result.opened, workflow_id=votes.workflow_id)
    if item.nobody_can_decide != result.nobody_can_decide:
        item.nobody_can_decide = result.nobody_can_decide
        item.save(update_fields=["nobody_can_decide"])
    step.reachability_check_due = False
    step.save(update_fields=["reachability_check_due"])
    return became_unreachable


def membership_fingerprint(active_members: ActiveMembers) -> str:
    """Return a digest that changes with members, roles, groups, scopes, their times, delegations and `_COUNTING`."""
    return canonical_sha256(
        {
            "counting": _COUNTING,
            "members": [_permissions_of(member) for member in sorted(active_members, key=lambda member: member.id)],
            "grant_times": {
                str(who): {grant: since and rfc3339(since) for grant, since in times.items()}
                for who, times in active_members.grant_times.items()
            },
            "stands_for": {str(who): sorted(map(str, others)) for who, others in active_members.stands_for.items()},
        }
    )


def mark_changed_reachability(
    tenant_id: uuid.UUID, active_members: ActiveMembers, after: uuid.UUID | None, *, limit: int
) -> uuid.UUID | None:
    """Mark the steps whose reachability has changed, among `limit` pending steps after `after`.

    Return the id of the last step read, or None at the end. Takes no locks: `check_reachability` repeats the check.
    """
    pending = DecisionStep.objects.filter(tenant_id=tenant_id, status=StepStatus.PENDING)
    if after is not None:
        pending = pending.filter(id__gt=after)
    steps = list(
        pending.select_related("work_item__workflow_version")
        .prefetch_related(Prefetch("votes", queryset=Vote.objects.order_by("id")))
        .order_by("id")[:limit]
    )
    memo: Memo = {}
    _name_new_approvers(steps, active_members)
    changed = [
        step.id for step in steps if _is_unreachable(step, active_members, memo) != step.work_item.nobody_can_decide
    ]
    if changed:
        DecisionStep.objects.filter(tenant_id=tenant_id, id__in=changed, status=StepStatus.PENDING).update(
            reachability_check_due=True
        )
    return steps[-1].id if len(steps) == limit else None


def save_membership_snapshot(tenant_id: uuid.UUID, fingerprint: str) -> None:
    """Store the fingerprint of the members for whom the steps of the tenant were checked."""
    MembershipSnapshot.objects.update_or_create(
        tenant_id=tenant_id, defaults={"fingerprint": fingerprint, "checked_at": clock.now()}
    )


def _name_new_approvers(steps: Iterable[DecisionStep], active_members: ActiveMembers) -> None:
    """Make work items visible to members who have become approvers and see only their own work items."""
    limited = [member for member in active_members if member.permissions.visibility is Visibility.OWN]
    for step in steps if limited else ():
        workflow_id = step.work_item.workflow_version.workflow_id
        eligible = StepVotes(step, tuple(step.votes.all()), active_members, workflow_id).eligible_ids()
        add_participants(step.work_item, [member for member in limited if member.id in eligible])


def _is_unreachable(step: DecisionStep, active_members: ActiveMembers, memo: Memo) -> bool:
    """Return True if nobody can complete the step.

    Steps with the same rule, exclusions, votes and counting grants share one result in `memo`: many open steps are of
    few kinds.
    """
    workflow_id = step.work_item.workflow_version.workflow_id
    votes = tuple(step.votes.all())
    key = canonical_sha256(
        [
            step.rule,
            str(workflow_id),
            sorted(map(str, step.excluded_ids)),
            step.excluded_controllers,
            bisect_left(active_members.grants_began, step.grants_as_of),
            step.escalated_to,
            [[str(vote.voter_id), vote.decision, vote.voter_kind, sorted(map(str, vote.stands_for))] for vote in votes],
        ]
    )
    if key not in memo:
        memo[key] = StepVotes(step, votes, active_members, workflow_id).result.nobody_can_decide
    return memo[key]


def _permissions_of(member: Member) -> list[Any]:
    permissions = member.permissions
    return [
        str(member.id),
        member.username,
        permissions.visibility.value,
        _sorted(permissions.roles),
        _sorted(permissions.groups),
        _sorted(permissions.scopes),
        None if member.controlled_by is UNKNOWN else sorted(map(str, member.controlled_by.people)),
        {str(workflow): _sorted(scopes) for workflow, scopes in permissions.grants.workflows.items()},
    ]


def _sorted(words: Iterable[str]) -> list[str]:
    return sorted(map(str, words))
