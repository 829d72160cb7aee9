"""Declarations of endpoints appear in the document."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from django.urls import path
from drf_spectacular.generators import SchemaGenerator
from rest_framework.response import Response

from tests.threada_site.api.shelf import PUT_CHANNEL, ChannelFilters
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.resources.field_types import INTEGER, SLUG, TEXT, nested
from threada_site.api.resources.resource import Resource, field, page_of
from threada_site.api.views import TenantView
from threada_site.kernel.context import Scope

OWNER = Resource("ShelfOwner", field("name", TEXT))
CHANNEL = Resource(
    "ShelfChannel",
    field("slug", SLUG),
    field("owner", nested(OWNER)),
    field("note", TEXT, is_detail=True),
    example={"slug": "a"},
)


class Channels(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ, "POST": Scope.WORKITEMS_WRITE}

    @operation(
        "listChannels", "List", tag="Shelf", answers={200: page_of(CHANNEL)}, filters=ChannelFilters, is_paged=True
    )
    def get(self, request: Any) -> Response:
        """List channels, newest first."""
        return Response()

    @operation(
        "putChannel",
        "Put one",
        tag="Shelf",
        body=PUT_CHANNEL,
        answers={201: CHANNEL},
        reasons=("policy_denied",),
        headers=("Location",),
    )
    @idempotent
    def post(self, request: Any) -> Response:
        return Response()


class Channel(TenantView):
    scopes: ClassVar = {"PATCH": Scope.WORKITEMS_WRITE}

    @operation("editChannel", "Edit", tag="Shelf", body=PUT_CHANNEL, answers={200: CHANNEL}, takes_if_match=True)
    def patch(self, request: Any, work_item_id: str) -> Response:
        return Response()


class Undeclared(TenantView):
    """An endpoint without declarations."""

    scopes: ClassVar = {"GET": None}

    def get(self, request: Any) -> Response:
        return Response()


def document(*patterns: Any) -> dict[str, Any]:
    return SchemaGenerator(patterns=list(patterns)).get_schema(request=None, public=True)


@pytest.fixture(scope="module")
def shelf() -> dict[str, Any]:
    return document(
        path("shelf", Channels.as_view()),
        path("shelf/<str:work_item_id>", Channel.as_view()),
        path("undeclared", Undeclared.as_view()),
    )


def parameters(found: dict[str, Any]) -> list[str]:
    return [one.get("name") or one["$ref"].rpartition("/")[2] for one in found["parameters"]]


def codes(found: dict[str, Any], status: str) -> set[str]:
    return set(found["responses"][status]["content"]["application/problem+json"]["examples"])


def test_list_operation_is_documented(shelf: dict[str, Any]) -> None:
    found = shelf["paths"]["/shelf"]["get"]
    assert (found["operationId"], found["summary"], found["tags"]) == ("listChannels", "List", ["Shelf"])
    assert found["description"] == "List channels, newest first.\n\nScope: `workitems:read`."
    assert parameters(found) == [
        "created_after",
        "created_before",
        "slug",
        "item_id",
        "status",
        "cursor",
        "limit",
        "ThreadaTenant",
        "ThreadaRole",
        "IfNoneMatch",
        "ThreadaCorrelationId",
    ]
    assert codes(found, "422") == {"invalid_request"}
    assert "invalid_cursor" in codes(found, "400")
    schemas = shelf["components"]["schemas"]
    assert schemas["ShelfChannelPage"]["properties"]["data"]["items"] == {"$ref": "#/components/schemas/ShelfChannel"}
    assert schemas["ShelfChannel"]["properties"]["owner"] == {"$ref": "#/components/schemas/ShelfOwner"}
    assert schemas["ShelfChannel"]["required"] == ["slug", "owner"]


def test_post_operation_is_documented(shelf: dict[str, Any]) -> None:
    found = shelf["paths"]["/shelf"]["post"]
    assert "IdempotencyKey" in parameters(found)
    assert found["requestBody"]["required"] is True
    assert found["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/PutChannelRequest"
    }
    assert shelf["components"]["schemas"]["PutChannelRequest"]["required"] == ["slug"]
    limits = {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"}
    assert set(found["responses"]["201"]["headers"]) == {
        "Threada-Correlation-Id",
        "Threada-Version",
        *limits,
        "Location",
    }
    assert codes(found, "409") == {"idempotency_in_flight", "idempotency_answer_gone"}
    assert codes(found, "422") == {"invalid_request", "idempotency_key_reused"}
    assert "policy_denied" in codes(found, "403")


def test_edit_operation_is_documented(shelf: dict[str, Any]) -> None:
    found = shelf["paths"]["/shelf/{work_item_id}"]["patch"]
    assert found["parameters"][0]["schema"]["pattern"].startswith("^wi_")
    assert "IfMatch" in parameters(found)
    assert codes(found, "412") == {"precondition_failed"}
    assert codes(found, "404") == {"not_found"}


def test_operation_without_declaration_is_documented(shelf: dict[str, Any]) -> None:
    found = shelf["paths"]["/undeclared"]["get"]
    assert (found["operationId"], found["summary"], found["description"]) == (
        "getUndeclared",
        "Undeclared",
        "An endpoint without declarations.",
    )
    assert found["security"] == [{"bearer": []}]


def test_two_schemas_with_one_name_are_an_error() -> None:
    other = Resource("ShelfOwner", field("age", INTEGER))

    class Clash(TenantView):
        scopes: ClassVar = {"GET": None}

        @operation("clash", "Clash", tag="Shelf", answers={200: OWNER, 202: other})
        def get(self, request: Any) -> Response:
            return Response()

    with pytest.raises(ValueError, match="ShelfOwner"):
        document(path("clash", Clash.as_view()))
