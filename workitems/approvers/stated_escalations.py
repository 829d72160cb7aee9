"""Escalation targets that a row stores, and those that the receipts of the escalations of its step state."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.db.models import Q

from policies.language.approvals import Leaf, from_json
from threada_site.kernel import ids
from threada_site.tenancy.models import Membership, User
from workitems.approvers.active_members import escalation_leaves

ESCALATED: Final = "decision_step.escalated"


def stored_and_stated(
    stored: Iterable[Mapping[str, Any]],
    contents: Iterable[Mapping[str, Any]],
    *,
    step: str,
    rule: Mapping[str, Any],
    tenant_id: uuid.UUID,
) -> tuple[set[Leaf], set[Leaf]]:
    """Return the leaves of `stored`, and those that the receipts with these contents state about a step.

    `step`: public id. Leaves of users who are not members are left out: nobody votes by them. A target without a member
    at its escalation has no id in the receipt; then the targets of `rule` count. Runs one statement if users are named.
    """
    found = set(escalation_leaves(stored))
    inputs = [content["inputs"] for content in contents if content["kind"] == ESCALATED]
    stated = {
        leaf
        for one in inputs
        if one.get("decision_step_id") == step
        for leaf in escalation_leaves(one.get("escalated_to", ()))
    }
    if not any(leaf.kind == "user" for leaf in found | stated):
        return found, stated
    of_users = {ids.parse_public_id(ids.PRINCIPAL, leaf.name) for leaf in stated if leaf.kind == "user"}
    of_rule = {leaf.name for leaf in from_json(rule).escalate_to if leaf.kind == "user"} if None in of_users else set()
    names = of_rule | {leaf.name for leaf in found if leaf.kind == "user"}
    rows = User.objects.filter(
        Q(username__in=names) | Q(id__in=of_users - {None}),
        id__in=Membership.objects.filter(tenant_id=tenant_id).values("user_id"),
    )
    members = {(row.id, row.username) for row in rows.only("id", "username")}
    return (
        {leaf for leaf in found if leaf.kind != "user" or leaf.name in {name for _, name in members}},
        {leaf for leaf in stated if leaf.kind != "user"}
        | {Leaf("user", name) for who, name in members if who in of_users or name in of_rule},
    )
