"""Path, query and header parameters in the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

import django_filters

from threada_site.api.filters import MOST_VALUES, AnyOf, InstantFilter, PublicIdFilter, SlugFilter, WholeNumberFilter
from threada_site.api.openapi.descriptions import FIELDS
from threada_site.api.openapi.version import API_VERSION
from threada_site.api.pagination import DEFAULT_LIMIT, MAX_LIMIT
from threada_site.api.shapes import SLUG, id_schema
from threada_site.kernel import ids

HEADERS: Final[dict[str, dict[str, Any]]] = {
    "Threada-Tenant": {
        "description": "Optional. The tenant of the credential; any other is refused.",
        "schema": SLUG,
        "example": "demo",
    },
    "Threada-Role": {
        "description": "Use only this role of the principal. Default: all roles.",
        "schema": SLUG,
    },
    "Threada-Correlation-Id": {
        "description": "Id that logs, receipts and the answer contain. Default: a new id.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._:-]{7,127}$"},
    },
    "Idempotency-Key": {
        "description": "The same key with the same body returns the first answer again, for 24 hours.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]{1,255}$"},
    },
    "If-Match": {
        "description": "ETag of the resource that was read; the edit is refused if it has changed.",
        "schema": {"type": "string", "maxLength": 500},
    },
    "Prefer": {
        "description": "`wait=30`: a read is answered when `status` changes, a request for an action when its "
        "execution has ended; or after this many seconds, at most 30 (RFC 7240).",
        "schema": {"type": "string", "maxLength": 200},
        "example": "wait=30",
    },
    "If-None-Match": {
        "description": "GET: ETag of an earlier answer; without a change the answer is 304, without a body. "
        "PUT: `*` creates the resource, and is refused if it exists.",
        "schema": {"type": "string", "maxLength": 500},
    },
}
RESPONSE_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "Threada-Correlation-Id": {
        "description": "Id of this request in logs and receipts.",
        "schema": {"type": "string"},
    },
    "Threada-Version": {
        "description": "Version of the API.",
        "schema": {"type": "string"},
        "example": API_VERSION,
    },
    "Deprecation": {
        "description": "Time since which the operation is deprecated (RFC 9745).",
        "schema": {"type": "string"},
    },
    "Sunset": {
        "description": "Time at which the operation is removed (RFC 8594).",
        "schema": {"type": "string"},
    },
    "Location": {"description": "Address of the new resource.", "schema": {"type": "string"}},
    "ETag": {"description": "Version of the resource, for If-Match and If-None-Match.", "schema": {"type": "string"}},
    "Accept-Ranges": {"description": "`bytes`: range requests are supported.", "schema": {"type": "string"}},
    "Content-Range": {"description": "Range of this part (206).", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait before the next request.", "schema": {"type": "string"}},
    "Preference-Applied": {
        "description": "`wait=…`: the preference was followed. Absent: the answer came at once.",
        "schema": {"type": "string"},
    },
    "RateLimit-Limit": {
        "description": "Requests of a full bucket: rate times burst seconds, of the tightest limit.",
        "schema": {"type": "string"},
    },
    "RateLimit-Remaining": {"description": "Requests that are left in it.", "schema": {"type": "string"}},
    "RateLimit-Reset": {"description": "Seconds until it is full again.", "schema": {"type": "string"}},
    "Idempotent-Replayed": {
        "description": "`true`: stored answer of an earlier request with the same Idempotency-Key.",
        "schema": {"type": "string"},
    },
}
_NUMBER_OR_ID: Final = f"^([0-9]{{1,9}}|{ids.POLICY_VERSION}_{ids.SUFFIX_PATTERN})$"
_WORKFLOW_VERSION: Final = f"^([0-9]{{1,9}}|{ids.WORKFLOW_VERSION}_{ids.SUFFIX_PATTERN})$"
_INTEGRATION_VERSION: Final = f"^([0-9]{{1,9}}|{ids.INTEGRATION_VERSION}_{ids.SUFFIX_PATTERN})$"
_PATHS: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "work_item_id": (id_schema(ids.WORK_ITEM), "Id of the work item."),
    "decision_step_id": (id_schema(ids.DECISION_STEP), "Id of the decision step."),
    "execution_id": (id_schema(ids.EXECUTION), "Id of the execution."),
    "permit_id": (id_schema(ids.PERMIT), "Id of the permit."),
    "policy_decision_id": (id_schema(ids.POLICY_DECISION), "Id of the policy decision."),
    "policy_replay_id": (id_schema(ids.POLICY_REPLAY), "Id of the replay."),
    "policy_shadow_id": (id_schema(ids.POLICY_SHADOW), "Id of the shadow."),
    "overlay_id": (id_schema(ids.OVERLAY), "Id of the overlay."),
    "receipt_id": (id_schema(ids.RECEIPT), "Id of the receipt."),
    "export_id": (id_schema(ids.EXPORT), "Id of the export."),
    "integration_test_id": (id_schema(ids.INTEGRATION_TEST), "Id of the test call."),
    "change_set_id": (id_schema(ids.CHANGE_SET), "Id of the change set."),
    "delegation_id": (id_schema(ids.DELEGATION), "Id of the delegation."),
    "freeze_id": (id_schema(ids.FREEZE), "Id of the freeze."),
    "attachment_id": (id_schema(ids.ATTACHMENT), "Id of the file."),
    "comment_id": (id_schema(ids.COMMENT), "Id of the comment."),
    "question_id": (id_schema(ids.REQUESTER_QUESTION), "Id of the question."),
    "callback_id": (
        {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}\\.[A-Za-z0-9_-]{1,64}$"},
        "Signed id from the callback URL that the receiver got.",
    ),
    "version": ({"type": "string", "pattern": _NUMBER_OR_ID}, "Number or id of the version."),
    "kind": ({"type": "string", "pattern": "^[A-Za-z]{1,64}$"}, "Kind of document, e.g. `Workflow`."),
    "workflow_id": (SLUG, "Id of the workflow."),
    "list_id": (SLUG, "Id of the list."),
    "channel_id": (SLUG, "Id of the channel."),
    "pack_id": (SLUG, "Id of the pack."),
    "policy_id": (SLUG, "Id of the policy."),
    "integration_id": (SLUG, "Id of the integration."),
    "secret_id": (SLUG, "Id of the secret."),
    "delivery_id": (SLUG, "Id of the delivery."),
    "identity_provider_id": (SLUG, "Id of the identity provider."),
    "trusted_issuer_id": (SLUG, "Id of the trusted issuer."),
    "role_id": (SLUG, "Id of the role."),
    "group_id": (SLUG, "Id of the group."),
    "retention_rule_id": (SLUG, "Id of the retention rule."),
    "retention_run_id": (id_schema(ids.RETENTION_RUN), "Id of the retention run."),
    "access_review_id": (id_schema(ids.ACCESS_REVIEW), "Id of the access review."),
    "access_review_entry_id": (id_schema(ids.ACCESS_REVIEW_ENTRY), "Id of the entry of an access review."),
    "proof_id": (id_schema(ids.PROOF), "Id of the proof."),
    "legal_hold_id": (id_schema(ids.LEGAL_HOLD), "Id of the legal hold."),
    "credential_id": (id_schema(ids.CREDENTIAL), "Id of the credential."),
    "workflow_version": ({"type": "string", "pattern": _WORKFLOW_VERSION}, "Number or id of the version."),
    "integration_version": ({"type": "string", "pattern": _INTEGRATION_VERSION}, "Number or id of the version."),
    "principal": (SLUG, "Name of the person, service or agent."),
}


def path_parameter(name: str) -> dict[str, Any]:
    """Return a path parameter with the pattern of its values."""
    schema, description = _PATHS.get(name, (SLUG, ""))
    return _parameter("path", name, schema, description, required=True)


def filter_parameters(filterset: type[django_filters.FilterSet]) -> list[dict[str, Any]]:
    """Return the query parameters of a filter set."""
    return [_query(name, _filter_schema(field), FIELDS.get(name, "")) for name, field in filterset.base_filters.items()]


def page_parameters() -> list[dict[str, Any]]:
    """Return the parameters `cursor` and `limit`."""
    limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
    return [
        _query("cursor", {"type": "string"}, "`next_cursor` of the previous page, with the same filters."),
        _query("limit", limit, "Most entries of a page."),
    ]


def _query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return _parameter("query", name, schema, description)


def _parameter(place: str, name: str, schema: dict[str, Any], description: str, **more: Any) -> dict[str, Any]:
    found = {"in": place, "name": name, **more, "schema": schema}
    return {**found, "description": description} if description else found


def _filter_schema(field: django_filters.Filter) -> dict[str, Any]:
    if isinstance(field, AnyOf):
        return {"type": "array", "items": _filter_schema(field.of), "maxItems": MOST_VALUES}
    if isinstance(field, InstantFilter):
        return {"type": "string", "format": "date-time"}
    if isinstance(field, WholeNumberFilter):
        return {"type": "integer", "minimum": 0}
    if isinstance(field, PublicIdFilter):
        return id_schema(field.extra["prefix"])
    if isinstance(field, SlugFilter):
        return SLUG
    if isinstance(field, django_filters.ChoiceFilter):
        return {"enum": [value for value, _ in field.extra["choices"]]}
    if "max_length" in field.extra:
        return {"type": "string", "maxLength": field.extra["max_length"]}
    return {"type": "string"}
