"""`/change-sets`: changes that an independent person publishes or rejects."""

from __future__ import annotations

import uuid
from typing import Any, Final

import django_filters
from django.db.models import QuerySet
from rest_framework.response import Response

from threada_site.api.filters import CreatedWindow
from threada_site.api.operations import operation
from threada_site.api.resources.field_types import (
    ANY,
    INSTANT,
    MAYBE_INSTANT,
    MAYBE_TEXT,
    SHA256,
    TEXT,
    array,
    choice,
    maybe_public_id,
    public_id,
)
from threada_site.api.resources.resource import Resource, field
from threada_site.api.shapes import shape
from threada_site.api.viewsets import TenantViewSet, listing, verb
from threada_site.identity.change_sets.permissions import change_sets
from threada_site.identity.change_sets.publish import MAX_REASON, change_set_with_id, publish, reject
from threada_site.kernel import ids
from threada_site.tenancy.authority_models import ChangeSet, ChangeSetStatus

CHANGE_SET: Final = Resource(
    "ChangeSet",
    field("change_set_id", public_id(ids.CHANGE_SET), "id"),
    field("status", choice(ChangeSetStatus)),
    field("rule", TEXT, description="Four-eyes rule that requires the second person."),
    field("operation", TEXT, description="Change that is carried out on publication."),
    field("title", TEXT),
    field("digest", SHA256, description="SHA-256 of rule, operation, arguments, before and after (RFC 8785)."),
    field(
        "proposed_by", maybe_public_id(ids.PRINCIPAL), description="null: the operator of the instance by a command."
    ),
    field("proposed_at", INSTANT),
    field("closed_by", maybe_public_id(ids.PRINCIPAL), description="Person who published or rejected it."),
    field("closed_at", MAYBE_INSTANT),
    field("reason", MAYBE_TEXT, description="Reason of the rejection."),
    field(
        "parties",
        array(public_id(ids.PRINCIPAL)),
        lambda row: [uuid.UUID(party) for party in row.parties],
        is_detail=True,
        description="Further people with a part in the change, who must not publish it.",
    ),
    field("arguments", ANY, is_detail=True, description="Input of the operation."),
    field("before", ANY, is_detail=True, description="State that the change replaces."),
    field("after", ANY, is_detail=True, description="State after the change."),
)
PUBLISH_CHANGE_SET: Final = shape(
    {"digest": {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "Digest of the change set you read."}},
    required=("digest",),
    example={"digest": "0" * 64},
)
REJECT_CHANGE_SET: Final = shape(
    {"reason": {"type": "string", "minLength": 1, "maxLength": MAX_REASON}},
    required=("reason",),
    example={"reason": "The limit is too high."},
)


class ChangeSetFilters(CreatedWindow):
    status = django_filters.ChoiceFilter(choices=ChangeSetStatus.choices)


class ChangeSetViewSet(TenantViewSet):
    id_prefix = ids.CHANGE_SET
    lookup_url_kwarg = "change_set_id"
    resource = CHANGE_SET
    tag = "Change sets"

    def get_queryset(self) -> QuerySet[ChangeSet]:
        return change_sets(self.request.auth).defer("arguments", "before", "after")

    def get_object(self) -> ChangeSet:
        return change_set_with_id(self.row_id, ctx=self.request.auth)

    @listing(
        "listChangeSets",
        "List change sets",
        CHANGE_SET,
        scope=None,
        description="Your own change sets, and those of the rules that you may review: with `policies:publish` those "
        "of `policy_four_eyes`, as a steward all.",
        filters=ChangeSetFilters,
    )
    def list(self, request: Any) -> Response:
        return self.page()

    @operation("readChangeSet", "Read a change set", scope=None, answers={200: CHANGE_SET})
    def retrieve(self, request: Any, change_set_id: str) -> Response:
        """Return who proposed what, the state before and after the change, and the digest to publish it with."""
        return Response(CHANGE_SET.represent_whole(self.get_object()))

    @verb(
        "publishChangeSet",
        "Publish a change set",
        scope=None,
        body=PUBLISH_CHANGE_SET,
        answers={200: CHANGE_SET},
        reasons=(
            "step_up_required",
            "person_required",
            "vote_authentication_required",
            "permission_denied",
            "second_person_required",
            "change_set_stale",
            "change_set_closed",
        ),
    )
    def publish(self, request: Any, change_set_id: str, body: dict[str, Any]) -> Response:
        """Carry out the change as a person who is independent of everybody with a part in it.

        The change set becomes stale (409) if its base changed since it was proposed. Refusals of the change itself are
        answered as by its own endpoint: one about a trusted issuer, an identity provider or a provisioning client takes
        a step-up, so it is published in the console (`step_up_required`).
        """
        return Response(CHANGE_SET.represent_whole(publish(self.get_object(), body["digest"], ctx=request.auth)))

    @verb(
        "rejectChangeSet",
        "Reject or withdraw a change set",
        scope=None,
        body=REJECT_CHANGE_SET,
        answers={200: CHANGE_SET},
        reasons=(
            "person_required",
            "vote_authentication_required",
            "permission_denied",
            "second_person_required",
            "change_set_stale",
            "change_set_closed",
        ),
    )
    def reject(self, request: Any, change_set_id: str, body: dict[str, Any]) -> Response:
        """Close a change set without carrying it out. Its proposer may withdraw it, with any credential."""
        return Response(CHANGE_SET.represent_whole(reject(self.get_object(), body["reason"], ctx=request.auth)))
