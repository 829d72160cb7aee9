"""`/access-reviews`: fixed lists of who holds what, and decisions about their entries."""

from __future__ import annotations

from typing import Any, Final

import django_filters
from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.response import Response

from threada_site.api.filters import CreatedWindow
from threada_site.api.operations import operation
from threada_site.api.resources.field_types import (
    COUNT,
    INSTANT,
    MAYBE_INSTANT,
    OBJECT,
    SHA256,
    TEXT,
    choice,
    maybe_public_id,
    public_id,
)
from threada_site.api.resources.resource import Resource, field
from threada_site.api.shapes import shape
from threada_site.api.viewsets import TenantViewSet, listing, verb
from threada_site.identity.access_reviews.reviews import LONGEST_COMMENT, access_reviews, attest, entries
from threada_site.identity.stewardship import is_steward_or_auditor
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.directory.access_review_models import AccessReview, AccessReviewEntry, Attestation

_OPEN: Final = "open"
ACCESS_REVIEW: Final = Resource(
    "AccessReview",
    field("access_review_id", public_id(ids.ACCESS_REVIEW), "id", description="Id of the review."),
    field("status", choice((_OPEN, "finished"))),
    field("entry_count", COUNT, description="Number of entries: members when the review started."),
    field("sha256", SHA256, description="Digest of the canonical JSON of what the entries hold, oldest member first."),
    field("started_by", public_id(ids.PRINCIPAL), description="Steward who started it."),
    field("started_at", INSTANT),
    field("finished_by", maybe_public_id(ids.PRINCIPAL), description="Steward who finished it, or null."),
    field("finished_at", MAYBE_INSTANT),
)
ACCESS_REVIEW_ENTRY: Final = Resource(
    "AccessReviewEntry",
    field("access_review_entry_id", public_id(ids.ACCESS_REVIEW_ENTRY), "id", description="Id of the entry."),
    field("access_review_id", public_id(ids.ACCESS_REVIEW), "review_id", description="Review that it belongs to."),
    field(
        "principal",
        TEXT,
        lambda entry: entry.holds["principal"],
        description="Id of the principal; of the invitation if it was not accepted when the review started.",
    ),
    field("holds", OBJECT, description="Roles, groups, scopes and credentials when the review started."),
    field(
        "decision",
        choice((_OPEN, *Attestation.values)),
        lambda entry: entry.decision or _OPEN,
        description="`remove` asks for a removal, and removes nothing.",
    ),
    field("comment", TEXT, description="Reason of the decision. Empty after the erasure of the principal."),
    field("decided_by", maybe_public_id(ids.PRINCIPAL), description="Steward who decided, or null."),
    field("decided_at", MAYBE_INSTANT, description="Time of the decision, or null."),
)
ATTEST: Final = shape(
    {
        "decision": {"type": "string", "enum": list(Attestation.values)},
        "comment": {
            "type": "string",
            "maxLength": LONGEST_COMMENT,
            "description": "Reason. Required for a removal.",
        },
    },
    required=("decision",),
    example={"decision": "remove", "comment": "She changed the team."},
)


class EntryFilters(CreatedWindow):
    """Filters of entries. `decision=open`: those without a decision."""

    decision = django_filters.ChoiceFilter(
        choices=[(word, word) for word in (_OPEN, *Attestation.values)], method="with_decision"
    )

    def with_decision(self, rows: QuerySet[Any], _name: str, value: str) -> QuerySet[Any]:
        return rows.filter(decision="" if value == _OPEN else value)


class AccessReviewViewSet(TenantViewSet):
    id_prefix = ids.ACCESS_REVIEW
    lookup_url_kwarg = "access_review_id"
    resource = ACCESS_REVIEW
    tag = "Principals"

    def get_queryset(self) -> QuerySet[AccessReview]:
        _require_reader(self.request.auth)
        return access_reviews(self.request.auth)

    @listing(
        "listAccessReviews",
        "List access reviews",
        ACCESS_REVIEW,
        scope=Scope.TELEMETRY_READ,
        reasons=("permission_denied",),
    )
    def list(self, request: Any) -> Response:
        """List all reviews, for stewards and auditors as on the pages of the console."""
        return self.page()

    @operation(
        "readAccessReview",
        "Read an access review",
        scope=Scope.TELEMETRY_READ,
        answers={200: ACCESS_REVIEW},
        reasons=("permission_denied",),
    )
    def retrieve(self, request: Any, access_review_id: str) -> Response:
        return self.shown(self.get_object())

    @action(detail=True)
    @listing(
        "listAccessReviewEntries",
        "List the entries of an access review",
        ACCESS_REVIEW_ENTRY,
        scope=Scope.TELEMETRY_READ,
        filters=EntryFilters,
        reasons=("permission_denied",),
    )
    def entries(self, request: Any, access_review_id: str) -> Response:
        rows = entries(request.auth).filter(review=self.get_object())
        return self.page(self.filter_queryset(rows), represent=ACCESS_REVIEW_ENTRY.represent)


class AccessReviewEntryViewSet(TenantViewSet):
    id_prefix = ids.ACCESS_REVIEW_ENTRY
    lookup_url_kwarg = "access_review_entry_id"
    resource = ACCESS_REVIEW_ENTRY
    tag = "Principals"

    def get_queryset(self) -> QuerySet[AccessReviewEntry]:
        _require_reader(self.request.auth)
        return entries(self.request.auth)

    @verb(
        "attestAccessReviewEntry",
        "Decide about an entry of an access review",
        scope=Scope.WORKFLOW_MANAGE,
        body=ATTEST,
        answers={200: ACCESS_REVIEW_ENTRY},
        reasons=(
            "permission_denied",
            "person_required",
            "vote_authentication_required",
            "second_person_required",
            "access_review_closed",
        ),
    )
    def attest(self, request: Any, access_review_entry_id: str, body: dict[str, Any]) -> Response:
        """Record that access is kept, or must be removed. For stewards, about people who are independent of them."""
        return self.shown(attest(self.get_object(), body["decision"], body.get("comment", ""), ctx=request.auth))


def _require_reader(ctx: ActingContext) -> None:
    if not is_steward_or_auditor(ctx):
        raise errors.PermissionDenied("Stewards and auditors read access reviews.")
