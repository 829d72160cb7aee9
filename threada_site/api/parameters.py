"""Path, query and header parameters in the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

import django_filters

from threada_site.api.filters import InstantFilter, PublicIdFilter, SlugFilter, WholeNumberFilter
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
}
RESPONSE_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "Threada-Correlation-Id": {
        "description": "Id of this request in logs and receipts.",
        "schema": {"type": "string"},
    },
    "Location": {"description": "Address of the new resource.", "schema": {"type": "string"}},
    "ETag": {"description": "Version of the resource, for If-Match.", "schema": {"type": "string"}},
    "Accept-Ranges": {"description": "`bytes`: range requests are supported.", "schema": {"type": "string"}},
    "Content-Range": {"description": "Range of this part (206).", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait before the next request.", "schema": {"type": "string"}},
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
_PUBLIC_IDS: Final = {
    "work_item_id": ids.WORK_ITEM,
    "decision_step_id": ids.DECISION_STEP,
    "execution_id": ids.EXECUTION,
    "policy_decision_id": ids.POLICY_DECISION,
    "policy_replay_id": ids.POLICY_REPLAY,
    "policy_shadow_id": ids.POLICY_SHADOW,
    "overlay_id": ids.OVERLAY,
    "receipt_id": ids.RECEIPT,
    "export_id": ids.EXPORT,
    "integration_test_id": ids.INTEGRATION_TEST,
    "change_set_id": ids.CHANGE_SET,
}


def path_parameter(name: str) -> dict[str, Any]:
    """Return a path parameter: a public id with its prefix, or a slug."""
    schema = id_schema(_PUBLIC_IDS[name]) if name in _PUBLIC_IDS else SLUG
    return {"in": "path", "name": name, "required": True, "schema": schema}


def filter_parameters(filterset: type[django_filters.FilterSet]) -> list[dict[str, Any]]:
    """Return the query parameters of a filter set."""
    return [_query(name, _filter_schema(field)) for name, field in filterset.base_filters.items()]


def page_parameters() -> list[dict[str, Any]]:
    """Return the parameters `cursor` and `limit`."""
    limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
    return [
        _query("cursor", {"type": "string"}, "`next_cursor` of the previous page, with the same filters."),
        _query("limit", limit),
    ]


def _query(name: str, schema: dict[str, Any], description: str = "") -> dict[str, Any]:
    return {
        "in": "query",
        "name": name,
        "schema": schema,
        **({"description": description} if description else {}),
    }


def _filter_schema(field: django_filters.Filter) -> dict[str, Any]:
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
