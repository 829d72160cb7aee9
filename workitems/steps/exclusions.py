"""Members excluded from a step because of their part in the case. Stored by id when the step opens."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from django.db.models import Exists, OuterRef, Value

from policies.language.approvals import ApprovalRule
from policies.models import PolicyVersion
from threada_site.database.sets.shared_reads import shared
from threada_site.kernel import clock
from threada_site.kernel.context import PrincipalKind
from threada_site.tenancy.controllers import UNKNOWN
from threada_site.tenancy.independence import read_controllers
from threada_site.tenancy.models import Membership, User
from workitems.approvers.active_members import by_delegate, delegations_in_force
from workitems.approvers.count_votes import with_principals
from workitems.items.participants import requesters_of
from workitems.models import WorkItem


def excluded_principals(
    item: WorkItem,
    rule: ApprovalRule,
    *,
    pins: Collection[uuid.UUID],
    asked_by: uuid.UUID | None,
    input_edited_by: uuid.UUID | None = None,
) -> frozenset[uuid.UUID]:
    """Return the principals that `exclude` refers to in this case, and their current delegators.

    `requester`: the submitter, the named requester, and the principal that requested the action. `last_editor`: the
    author of the current payload, and the last editor of the action's input. `agent_owner`: the owners of those of them
    that are agents or services; where there is no active owner, the agent or service itself, so that the step waits for
    one. `policy_author`: the authors and publishers of the pinned policy versions or, if there
    are none, of the version that decided about the item.
    """
    if not rule.exclude:
        return frozenset()
    asking = requesters_of(item, asked_by)
    editors = {item.edited_by_id or item.submitted_by_id, *([input_edited_by] if input_edited_by else ())}
    excluded: set[uuid.UUID] = set()
    if "requester" in rule.exclude:
        excluded |= asking
    if "last_editor" in rule.exclude:
        excluded |= editors
    asked = frozenset(asking | editors)
    owners, standing = shared(
        ("owners and delegations", item.tenant_id, asked),
        lambda: _owners_and_delegations(asked, tenant_id=item.tenant_id),
    )
    if "agent_owner" in rule.exclude:
        excluded |= owners
    if "policy_author" in rule.exclude:
        versions = pins or ([item.policy_version_id] if item.policy_version_id else [])
        rows = PolicyVersion.objects.filter(tenant_id=item.tenant_id, id__in=versions)
        for people in rows.values_list("created_by", "published_by"):
            excluded.update(person for person in people if person is not None)
    return with_principals(excluded, standing)


def _owners_and_delegations(
    principals: Collection[uuid.UUID], *, tenant_id: uuid.UUID
) -> tuple[frozenset[uuid.UUID], dict[uuid.UUID, frozenset[uuid.UUID]]]:
    """Return the owners of agents and services among `principals`, and all delegations in force. Runs one statement.

    Agents and services without an active owner stand for their unknown owner.
    """
    owners = Membership.objects.filter(tenant_id=tenant_id, user_id__in=principals, owner__isnull=False)
    active = Membership.objects.filter(
        tenant_id=tenant_id, user_id=OuterRef("owner_id"), user__is_active=True, accepted_at__isnull=False
    )
    owned = Membership.objects.filter(Exists(active), tenant_id=tenant_id, user_id=OuterRef("id"))
    unowned = User.objects.filter(~Exists(owned), id__in=principals, home_tenant_id=tenant_id)
    delegations = delegations_in_force(tenant_id, now=clock.now())
    rows = list(
        owners.order_by()
        .values_list(Value(1), "user_id", "owner_id")
        .union(
            unowned.order_by().values_list(Value(1), "id", "id"),
            delegations.order_by().values_list(Value(2), "delegate_id", "delegator_id"),
            all=True,
        )
    )
    standing = by_delegate((delegate, delegator) for part, delegate, delegator in rows if part == 2)
    return frozenset(owner for part, _, owner in rows if part == 1), standing


def controllers_when_opened(excluded: Collection[uuid.UUID], *, tenant_id: uuid.UUID) -> dict[str, list[str] | None]:
    """Return the people who control `excluded` now, as the step stores them for agents and for people who leave.

    Of unknown control are people with the entry None, and agents and services without one: an entry of these names at
    least the owner. People whom nobody else controls have no entry either.
    """
    if not excluded:
        return {}
    key = ("controllers", tenant_id, frozenset(excluded))
    found = shared(key, lambda: read_controllers(tenant_id, excluded))
    others = {who: control.people - {who} for who, control in found.items() if control is not UNKNOWN}
    known = {str(who): sorted(map(str, people)) for who, people in others.items() if people}
    return {**known, **dict.fromkeys(map(str, _people_among(found.keys() - others.keys())))}


def _people_among(principals: Collection[uuid.UUID]) -> list[uuid.UUID]:
    """Return those of `principals` who are people. Runs one statement, without principals none."""
    if not principals:
        return []
    return list(User.objects.filter(id__in=principals, kind=PrincipalKind.HUMAN.value).values_list("id", flat=True))
