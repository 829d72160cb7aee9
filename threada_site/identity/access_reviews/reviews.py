"""Access reviews: start, attest, finish.

A review decides nothing by itself: what an entry says to remove is removed by the services of members, roles and
credentials, under their four-eyes rules.
"""

from __future__ import annotations

import uuid
from typing import Final

from django.db.models import Case, Exists, OuterRef, Q, QuerySet, Sum, When

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.access_reviews.holdings import read_holdings
from threada_site.identity.stewardship import is_steward_or_auditor, require_steward
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.credentials.deciding import require_person
from threada_site.tenancy.directory.access_review_models import AccessReview, AccessReviewEntry, Attestation
from threada_site.tenancy.independence import is_independent_of
from threada_site.tenancy.models import Membership

LONGEST_COMMENT: Final = 500


def access_reviews(ctx: ActingContext) -> QuerySet[AccessReview]:
    """Return the reviews of the tenant that `ctx` may read."""
    rows = AccessReview.objects.filter(tenant_id=ctx.tenant_id)
    return rows if is_steward_or_auditor(ctx) else rows.none()


def entries(ctx: ActingContext) -> QuerySet[AccessReviewEntry]:
    """Return the entries of reviews that `ctx` may read."""
    rows = AccessReviewEntry.objects.filter(tenant_id=ctx.tenant_id).select_related("review", "user")
    return rows if is_steward_or_auditor(ctx) else rows.none()


def start_review(*, ctx: ActingContext) -> AccessReview:
    """Start a review of everybody who is a member now. Receipt `access_review.started`.

    Raise `PersonRequired`, `PermissionDenied`, and `AccessReviewOpen` while another review is open.
    """
    _require_reviewer(ctx)
    if AccessReview.objects.filter(tenant_id=ctx.tenant_id, finished_at=None).exists():
        raise errors.AccessReviewOpen
    members = Membership.objects.filter(tenant_id=ctx.tenant_id).select_related("user", "owner").order_by("id")
    holdings = read_holdings(list(members), tenant_id=ctx.tenant_id)
    fixed = [holding.as_json() for holding in holdings]
    review = AccessReview.objects.create(
        tenant_id=ctx.tenant_id,
        started_by=ctx.principal_id,
        entry_count=len(fixed),
        sha256=canonical_sha256(fixed),
    )
    AccessReviewEntry.objects.bulk_create(
        AccessReviewEntry(tenant_id=ctx.tenant_id, review=review, user=holding.member.user, holds=holds)
        for holding, holds in zip(holdings, fixed, strict=True)
    )
    inputs = {"access_review_id": review.public_id, "entries": len(fixed), "entries_sha256": review.sha256}
    record(Entry(kind="access_review.started", inputs=inputs), ctx=ctx)
    return review


def attest(entry: AccessReviewEntry, decision: str, comment: str, *, ctx: ActingContext) -> AccessReviewEntry:
    """Record the decision of a person about one entry of an open review. Receipt `access_review.attested`.

    Raise `PersonRequired`, `PermissionDenied`, `AccessReviewClosed`, `SecondPersonRequired` for the own access, that of
    people of whom one is not independent, and that of agents and services whom oneself or such people own, and
    `InvalidRequest`: a removal needs a comment.
    """
    _require_reviewer(ctx)
    review = AccessReview.objects.select_for_update().get(tenant_id=ctx.tenant_id, id=entry.review_id)
    found = (
        AccessReviewEntry.objects.select_for_update(of=("self",))
        .select_related("user")
        .get(tenant_id=ctx.tenant_id, id=entry.id)
    )
    if review.finished_at is not None:
        raise errors.AccessReviewClosed
    if not is_independent_of(ctx.principal_id, _answering(found, ctx=ctx), tenant_id=ctx.tenant_id):
        raise errors.SecondPersonRequired(
            "A steward who is independent of you must confirm your own access, that of accounts that you control or "
            "that control yours, and that of their agents."
        )
    said = comment.strip()
    if decision not in Attestation.values or len(said) > LONGEST_COMMENT or (decision == "remove" and not said):
        problem = FieldError("/comment", f"must have 1 to {LONGEST_COMMENT} characters", "required")
        raise errors.InvalidRequest(
            f"Say keep, or remove with a comment of at most {LONGEST_COMMENT} characters.", errors=[problem]
        )
    found.decision, found.comment = decision, said
    found.decided_by, found.decided_at = ctx.principal_id, clock.now()
    found.save(update_fields=["decision", "comment", "decided_by", "decided_at"])
    inputs = {
        "access_review_id": review.public_id,
        "principal": found.holds["principal"],
        "holds_sha256": canonical_sha256(found.holds),
    }
    record(Entry(kind="access_review.attested", inputs=inputs, outcome={"decision": decision}), ctx=ctx)
    return found


def finish_review(review: AccessReview, *, ctx: ActingContext) -> AccessReview:
    """Finish a review whose entries all have a decision. Receipt `access_review.finished`.

    Raise `PersonRequired`, `PermissionDenied`, `AccessReviewClosed` and `AccessReviewIncomplete`.
    """
    _require_reviewer(ctx)
    found = AccessReview.objects.select_for_update().get(tenant_id=ctx.tenant_id, id=review.id)
    if found.finished_at is not None:
        raise errors.AccessReviewClosed
    numbers = progress(found)
    if numbers["open"]:
        raise errors.AccessReviewIncomplete(f"{numbers['open']} entries have no decision yet.")
    found.finished_by, found.finished_at = ctx.principal_id, clock.now()
    found.save(update_fields=["finished_by", "finished_at"])
    inputs = {"access_review_id": found.public_id, "entries_sha256": found.sha256}
    outcome = {name: numbers[name] for name in ("keep", "remove", "still_held")}
    record(Entry(kind="access_review.finished", inputs=inputs, outcome=outcome), ctx=ctx)
    return found


def progress(review: AccessReview) -> dict[str, int]:
    """Return the numbers of entries: `open`, `keep`, `remove`, and `still_held` of those to be removed."""
    members = Membership.objects.filter(tenant_id=review.tenant_id, user_id=OuterRef("user_id"))
    rows = AccessReviewEntry.objects.filter(tenant_id=review.tenant_id, review=review)
    removed = Q(decision=Attestation.REMOVE)
    kinds = {"open": Q(decision=""), "keep": Q(decision=Attestation.KEEP), "remove": removed}
    kinds["still_held"] = removed & Q(Exists(members))
    numbers = rows.aggregate(**{name: Sum(Case(When(kind, then=1), default=0)) for name, kind in kinds.items()})
    return {name: number or 0 for name, number in numbers.items()}


def _require_reviewer(ctx: ActingContext) -> None:
    require_unit_of_work(ctx.tenant_id)
    require_person("A person must review access, in the console.", ctx=ctx)
    require_steward(ctx)


def _answering(entry: AccessReviewEntry, *, ctx: ActingContext) -> set[uuid.UUID]:
    """Return the people who answer for an entry: the person, or the owner of an agent or service then and now."""
    owners = Membership.objects.filter(tenant_id=ctx.tenant_id, user_id=entry.user_id).values_list(
        "owner_id", flat=True
    )
    then = entry.holds.get("owner")
    holder = entry.user_id if entry.user.kind == PrincipalKind.HUMAN else None
    found = {holder, *owners, ids.parse_public_id(ids.PRINCIPAL, then) if then else None}
    return {one for one in found if one is not None}
