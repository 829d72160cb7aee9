"""Access in a tenant as CSV: roles, groups and credentials of each member, with times of their use."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from datetime import datetime
from typing import Final

from threada_site.identity.selectors import credentials_of_tenant, groups_of_member, roles_of_member
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import Membership

COLUMNS: Final = (
    "principal",
    "kind",
    "owner",
    "roles",
    "groups",
    "member_since",
    "invitation_accepted_at",
    "last_sign_in_at",
    "credentials",
    "credential_last_used_at",
)


def access_csv(ctx: ActingContext) -> str:
    """Return one row per member, by kind and name. Times are RFC 3339 or empty; lists are separated by spaces."""
    used: dict[object, list[datetime | None]] = defaultdict(list)
    for credential in credentials_of_tenant(ctx.tenant_id).filter(revoked_at=None):
        used[credential.user_id].append(credential.last_used_at)
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(COLUMNS)
    members = Membership.objects.filter(tenant_id=ctx.tenant_id).select_related("user", "owner")
    for member in members.order_by("user__kind", "user__username"):
        times = [time for time in used[member.user_id] if time is not None]
        rows.writerow(
            (
                member.user.username,
                member.user.kind,
                member.owner.username if member.owner else "",
                " ".join(roles_of_member(member.user, tenant_id=ctx.tenant_id)),
                " ".join(groups_of_member(member)),
                rfc3339(member.created_at),
                _written(member.accepted_at),
                _written(member.user.last_login),
                len(used[member.user_id]),
                _written(max(times, default=None)),
            )
        )
    return out.getvalue()


def _written(time: datetime | None) -> str:
    return rfc3339(time) if time is not None else ""
