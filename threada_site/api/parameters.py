"""Path, query and header parameters as OpenAPI writes them."""

from __future__ import annotations

from typing import Any, Final

import django_filters

from threada_site.api.filters import InstantFilter, PublicIdFilter, SlugFilter, WholeNumberFilter
from threada_site.api.pagination import DEFAULT_LIMIT, MAX_LIMIT
from threada_site.api.shapes import SLUG, id_schema
from threada_site.kernel import ids

HEADERS: Final[dict[str, dict[str, Any]]] = {
    "Threada-Tenant": {
        "description": "The tenant to act in; required when the principal belongs to several.",
        "schema": SLUG,
        "example": "demo",
    },
    "Threada-Role": {
        "description": "Act with this one of the roles held. Without it, all of them count.",
        "schema": SLUG,
    },
    "Threada-Correlation-Id": {
        "description": "Found again in logs, receipts and the answer. One is made when it is absent.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._:-]{7,127}$"},
    },
    "Idempotency-Key": {
        "description": "The same key and the same body get the first answer again, for 24 hours.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]{1,255}$"},
    },
    "If-Match": {
        "description": "The ETag of what was read; the edit is refused when it has changed since.",
        "schema": {"type": "string", "maxLength": 500},
    },
}
RESPONSE_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "Threada-Correlation-Id": {
        "description": "What this request is called in logs and receipts.",
        "schema": {"type": "string"},
    },
    "Location": {"description": "Where the new resource is.", "schema": {"type": "string"}},
    "ETag": {"description": "The state that was answered with, for If-Match.", "schema": {"type": "string"}},
    "Accept-Ranges": {"description": "`bytes`: parts can be asked for.", "schema": {"type": "string"}},
    "Content-Range": {"description": "Which part this is (206).", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds until asking again makes sense.", "schema": {"type": "string"}},
    "Idempotent-Replayed": {
        "description": "`true`: this is the first answer under the same Idempotency-Key.",
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
}


def path_parameter(name: str) -> dict[str, Any]:
    """A variable of a path: a public id by its known prefix, or a slug."""
    schema = id_schema(_PUBLIC_IDS[name]) if name in _PUBLIC_IDS else SLUG
    return {"in": "path", "name": name, "required": True, "schema": schema}


def filter_parameters(filterset: type[django_filters.FilterSet]) -> list[dict[str, Any]]:
    """The query parameters that a filter set reads."""
    return [_query(name, _filter_schema(field)) for name, field in filterset.base_filters.items()]


def page_parameters() -> list[dict[str, Any]]:
    """`cursor` and `limit`."""
    limit = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
    return [
        _query("cursor", {"type": "string"}, "`next_cursor` of the page before, with the same filters."),
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
