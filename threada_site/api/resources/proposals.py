"""Answer 202: the change was stored as a change set, because a second person must publish it."""

from __future__ import annotations

from typing import Final

from rest_framework.response import Response

from threada_site.api.resources.field_types import SHA256, TEXT, choice, public_id
from threada_site.api.resources.resource import Resource, field
from threada_site.kernel import ids
from threada_site.tenancy.authority_models import ChangeSet, ChangeSetStatus

PROPOSED_CHANGE: Final = Resource(
    "ProposedChange",
    field("change_set_id", public_id(ids.CHANGE_SET), "id"),
    field("status", choice([ChangeSetStatus.PROPOSED.value])),
    field("digest", SHA256, description="Digest with which an independent person publishes the change set."),
    field("title", TEXT),
    field("rule", TEXT, description="Four-eyes rule that requires the second person."),
    example={
        "change_set_id": "chg_01kb4x2v8qf3m9r7t5w1y0z6ab",
        "status": "proposed",
        "digest": "0" * 64,
        "title": "Remove the overlay of payments on the workflow payments",
        "rule": "policy_four_eyes",
    },
)


def proposed_response(change_set: ChangeSet) -> Response:
    """Return the answer 202 for a stored change set."""
    location = f"/change-sets/{change_set.public_id}"
    return Response(PROPOSED_CHANGE.represent(change_set), status=202, headers={"Location": location})
