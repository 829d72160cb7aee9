"""Access in a tenant as CSV: what each member holds, with times and givers, and the access reviews."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from telemetry.exports.formats.csv_rows import neutralize_formula
from threada_site.identity.access_reviews.holdings import Held, Holding, read_holdings
from threada_site.identity.access_reviews.reviews import access_reviews, entries
from threada_site.kernel import ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import Membership, User

COLUMNS: Final = (
    "principal",
    "kind",
    "owner",
    "roles",
    "groups",
    "scopes_on_objects",
    "break_glass",
    "grants",
    "member_since",
    "added_by",
    "invitation_accepted_at",
    "last_sign_in_at",
    "credentials",
    "credential_last_used_at",
    "last_used_at",
)
REVIEW_COLUMNS: Final = (
    "review",
    "list_sha256",
    "started_at",
    "started_by",
    "finished_at",
    "finished_by",
    "principal",
    "name",
    "decision",
    "decided_by",
    "decided_at",
    "comment",
)


def access_csv(ctx: ActingContext) -> str:
    """Return one row per member, by kind and name. Times are RFC 3339 or empty; lists are separated by spaces.

    `grants` names each role, group and scope with the time of its grant and who gave it.
    """
    members = Membership.objects.filter(tenant_id=ctx.tenant_id).select_related("user", "owner")
    ordered = list(members.order_by("user__kind", "user__username"))
    return _table(COLUMNS, (_member(holding) for holding in read_holdings(ordered, tenant_id=ctx.tenant_id)))


def reviews_csv(ctx: ActingContext) -> str:
    """Return one row per entry of every access review, the newest review first."""
    reviews = {review.id: review for review in access_reviews(ctx).order_by("-id")}
    rows = list(entries(ctx).order_by("-review_id", "user__username"))
    named = (person for row in rows for person in (row.decided_by, row.review.started_by, row.review.finished_by))
    names = dict(User.objects.filter(id__in={person for person in named if person}).values_list("id", "username"))
    return _table(
        REVIEW_COLUMNS,
        (
            (
                review.public_id,
                review.sha256,
                rfc3339(review.started_at),
                names.get(review.started_by, ""),
                _written(review.finished_at),
                names.get(review.finished_by, "") if review.finished_by else "",
                ids.public_id(ids.PRINCIPAL, row.user_id),
                row.user.username,
                row.decision,
                names.get(row.decided_by, "") if row.decided_by else "",
                _written(row.decided_at),
                neutralize_formula(row.comment),
            )
            for row in rows
            for review in (reviews[row.review_id],)
        ),
    )


def _member(holding: Holding) -> tuple[object, ...]:
    member, credentials = holding.member, holding.of("credential")
    used = [one.used_at for one in credentials if one.used_at is not None]
    granted = [one for kind in ("role", "group", "scope") for one in holding.of(kind)]
    return (
        member.user.username,
        member.user.kind,
        member.owner.username if member.owner else "",
        " ".join(one.name for one in holding.of("role")),
        " ".join(one.name for one in holding.of("group")),
        "; ".join(one.name for one in holding.of("scope")),
        " ".join(one.name for one in holding.of("break_glass")),
        "; ".join(_grant(one, holding) for one in granted),
        rfc3339(member.created_at),
        holding.names.get(member.added_by, "") if member.added_by else "operator",
        _written(member.accepted_at),
        _written(member.user.last_login),
        len(credentials),
        _written(max(used, default=None)),
        _written(holding.last_used_at),
    )


def _grant(one: Held, holding: Holding) -> str:
    if one.since is None:
        return f"{one.kind} {one.name} without a record"
    by = holding.names.get(one.by, "") if one.by else "operator"
    return f"{one.kind} {one.name} since {_written(one.since)} by {by}"


def _table(columns: tuple[str, ...], lines: Iterable[tuple[object, ...]]) -> str:
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(columns)
    rows.writerows(lines)
    return out.getvalue()


def _written(time: datetime | None) -> str:
    return rfc3339(time) if time is not None else ""
