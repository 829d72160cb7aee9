"""Large bodies: tokens that they cost, and refusals that do not depend on what the engine of schemas does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.client import Api
from threada_site.api.bodies import TOKENS, tokens_of
from threada_site.api.shapes import Shape, shape
from threada_site.kernel import tokens
from threada_site.kernel.documents.structure import Structure, closed_object, text
from threada_site.kernel.errors import DocumentInvalid, InvalidRequest
from threada_site.kernel.json import schemas, strict
from threada_site.tenancy.rate_limits import leases

BLOCK = 64 * 1024
TOKEN = {"HTTP_AUTHORIZATION": f"Bearer {tokens.new_token()}"}
MANY = {f"k{number}": number for number in range(20_000)}


class NoEngine:
    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"The engine was asked: {name}.")


@pytest.mark.parametrize(
    ("size", "needed"), [(0, 1), (1, 1), (BLOCK, 1), (BLOCK + 1, 2), (900_000, 14), (2 * BLOCK, 2), (4_194_304, 64)]
)
def test_a_body_costs_a_token_for_each_started_block(size: int, needed: int) -> None:
    assert tokens_of({"PATH_INFO": "/work-items", "CONTENT_LENGTH": str(size), **TOKEN}) == needed
    assert tokens_of({"PATH_INFO": "/console/policies/policy/x/", "CONTENT_LENGTH": str(size)}) == needed
    assert tokens_of({"PATH_INFO": "/attachments", "CONTENT_LENGTH": str(size), **TOKEN}) == 1
    assert tokens_of({"PATH_INFO": "/mcp", "CONTENT_LENGTH": "2", TOKENS: needed}) == needed


@pytest.mark.parametrize("path", ["/work-items", "/policies", "/configuration/plan", "/mcp", "/scim/v2/Users"])
def test_a_large_body_draws_its_tokens(
    rate_limits: Any, client: Api, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    rate_limits(credential=1000)
    client.get("/me")
    drawn, take = list[int](), leases.take

    def noted(buckets: Any, tokens: int = 1) -> Any:
        drawn.append(tokens)
        return take(buckets, tokens)

    monkeypatch.setattr(leases, "take", noted)
    client.post(path, {"x": "x" * 600_000})
    assert drawn[0] == 10


def test_a_bucket_with_fewer_tokens_refuses_the_large_body_only(rate_limits: Any, client: Api) -> None:
    rate_limits(credential=1, burst_seconds=30)
    assert client.post("/freezes", {"x": "x" * 900_000}).status_code == 422
    assert client.post("/freezes", {"x": "x" * 900_000}).status_code == 422
    assert client.post("/freezes", {"x": "x" * 900_000}).status_code == 429
    assert client.get("/me").status_code == 200


def test_many_unknown_names_are_refused_before_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = shape({"a": {"type": "string"}}, required=("a",))
    monkeypatch.setattr(closed, "_validator", NoEngine())
    with pytest.raises(InvalidRequest) as refused:
        closed.check(MANY)
    assert [(entry.pointer, entry.code) for entry in refused.value.errors] == [
        (f"/k{number}", "unknown_field") for number in range(50)
    ]


def test_with_few_unknown_names_all_errors_are_named() -> None:
    with pytest.raises(InvalidRequest) as refused:
        shape({"a": {"type": "string"}}, required=("a",)).check({"b": 1})
    assert {(entry.pointer, entry.code) for entry in refused.value.errors} == {
        ("/b", "unknown_field"),
        ("/a", "required"),
    }


INNER = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "value", "pointer"),
    [
        ({"type": "object", "properties": {"o": INNER}}, {"o": {**MANY, "x": "x"}}, "/o/k0"),
        ({"type": "array", "items": INNER}, [{"a": 1}] * 20_000, "/0/x"),
        ({"type": "array", "items": INNER}, [*([{"x": ""}] * 20_000), {}], "/20000/x"),
        ({"type": "array", "maxItems": 9_000}, [1] * 10_000, ""),
    ],
)
def test_the_engine_looks_for_errors_in_a_value_that_is_cut(schema: dict[str, Any], value: Any, pointer: str) -> None:
    compiled = schemas.validator(schema)
    seen = list[int]()

    class Counting:
        is_valid, validate = staticmethod(compiled.is_valid), staticmethod(compiled.validate)

        @staticmethod
        def iter_errors(cut: Any) -> Any:
            seen.append(len(json.dumps(cut)))
            return compiled.iter_errors(cut)

    found = schemas.field_errors(Counting(), value, known=frozenset(schemas.field_names(schema)))  # type: ignore[arg-type]
    assert pointer in {entry.pointer for entry in found}
    assert 1 <= len(found) <= 50
    assert seen[0] < 20_000


def test_a_long_name_is_cut() -> None:
    with pytest.raises(InvalidRequest) as refused:
        Shape({"type": "object", "additionalProperties": False}).check({"x" * 100_000: 1})
    assert len(refused.value.errors[0].pointer) < 400


def test_documents_with_many_unknown_fields_name_some_and_what_is_missing() -> None:
    structure = Structure(closed_object({"a": text(10)}, required=("a",)))
    found = structure.check({**MANY, "a": "x"})
    with pytest.raises(DocumentInvalid) as refused:
        found.raise_any()
    assert {entry.code for entry in refused.value.errors} == {"unknown_field"}


def test_an_object_has_a_bounded_number_of_members(client: Api) -> None:
    for path, body, pointer in (
        ("/work-items", {"x": {"y": MANY}}, "/x/y"),
        ("/work-items/batch", {"work_items": [{"y": MANY}]}, "/work_items/0/y"),
    ):
        answer = client.post(path, body)
        assert answer.status_code == 422
        assert answer.json()["errors"] == [
            {"pointer": pointer, "detail": "has more than 2000 members", "code": "too_large"}
        ]


def test_the_first_object_beyond_the_bound_is_found() -> None:
    most = {str(number): number for number in range(2_000)}
    assert strict.crowded([most, {"a": most}]) is None
    assert strict.crowded({"a": [most, {"b/": {**most, "x": []}}]}) == "/a/1/b~1"
    payload = {**most, "x": 1}
    assert strict.crowded({"payload": payload}, besides=[payload]) is None
    assert strict.crowded({"payload": payload}, besides=[payload, None], most=2_001) is None


def test_a_body_that_no_workflow_accepts_is_refused_by_its_length(client: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict.large, "parse", NoEngine())
    answer = client.post("/work-items", {"workflow_id": "x", "payload": {"x": "x" * 900_000}})
    assert answer.status_code == 413
    assert "851968 at most" in answer.json()["detail"]
