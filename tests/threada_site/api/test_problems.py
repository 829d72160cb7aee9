"""Every way a request is refused, as problem documents; nothing is stored, and refusals are recorded."""

from __future__ import annotations

import json

import pytest
from django.db import OperationalError

from telemetry.models import Receipt
from tests.client import Api
from tests.threada_site.api.conftest import assert_problem, channels_of, refusals_of
from threada_site.api import problems
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.errors import REASONS, FieldError, ThreadaError
from threada_site.tenancy.models import Tenant

pytestmark = pytest.mark.urls("tests.threada_site.api.shelf")


class TestBodies:
    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"", "invalid_request"),
            (b"{", "malformed_json"),
            (b"nonsense", "malformed_json"),
            (b'{"slug": "web"} trailing', "malformed_json"),
            (b"\xff\xfe", "malformed_json"),
            (b'{"slug": "web", "slug": "web"}', "json_not_interoperable"),
            (b'{"slug": NaN}', "json_not_interoperable"),
            (b'{"slug": 1e400}', "json_not_interoperable"),
            (b'{"slug": ' + b"9" * 5000 + b"}", "json_not_interoperable"),
            (b'{"slug": "\\u0000"}', "json_not_interoperable"),
            (b'{"slug": "\\ud800"}', "json_not_interoperable"),
            (b"[" * 100_000, "json_not_interoperable"),
            (b"null", "invalid_request"),
            (b"[]", "invalid_request"),
            (b'"web"', "invalid_request"),
            (b'{"slug": "web", "extra": 1}', "invalid_request"),
        ],
        ids=lambda part: repr(part[:20]) if isinstance(part, bytes) else part,
    )
    def test_hostile_body_is_refused(self, tenant: Tenant, client: Api, body: bytes, reason: str) -> None:
        response = client.post("/channels", body)
        assert_problem(response, REASONS[reason].status, reason)
        assert (channels_of(tenant), refusals_of(tenant)) == ([], [(reason,)])

    def test_every_failing_field_is_named(self, client: Api) -> None:
        response = client.post("/channels", {"slug": "WEB", "then": "dance", "extra": 1})
        assert {(entry["pointer"], entry["code"]) for entry in response.json()["errors"]} == {
            ("/slug", "pattern"),
            ("/then", "enum"),
            ("/extra", "unknown_field"),
        }

    @pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""])
    def test_other_media_type_is_refused(self, tenant: Tenant, client: Api, content_type: str) -> None:
        response = client.send("POST", "/channels", b'{"slug": "web"}', content_type=content_type)
        assert_problem(response, 415, "unsupported_media_type")
        assert channels_of(tenant) == []

    def test_charset_parameter_is_accepted(self, client: Api) -> None:
        response = client.send("POST", "/channels", b'{"slug": "web"}', content_type="Application/JSON; charset=utf-8")
        assert response.status_code == 201

    def test_body_over_the_limit_is_refused(self, tenant: Tenant, client: Api, settings: object) -> None:
        settings.THREADA_MAX_BODY_BYTES = 64
        fits = b'{"slug": "web"}'.ljust(64)
        assert_problem(client.post("/channels", fits + b" "), 413, "payload_too_large")
        assert channels_of(tenant) == []
        assert client.post("/channels", fits).status_code == 201


class TestNegotiation:
    @pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/*, text/*"])
    def test_other_representation_is_refused(self, client: Api, accept: str) -> None:
        assert_problem(client.get("/channels", headers={"Accept": accept}), 406, "not_acceptable")

    @pytest.mark.parametrize(
        "accept",
        [
            "*/*",
            "application/json",
            "application/*;q=0.5",
            "text/html, application/json;q=0.1",
            "application/problem+json",
        ],
    )
    def test_json_is_served_to_clients_that_accept_it(self, client: Api, accept: str) -> None:
        assert client.get("/channels", headers={"Accept": accept}).status_code == 200


class TestAddresses:
    @pytest.mark.parametrize(
        "path", ["/nothing", "/channels/", "/channels/web/", "//channels", "/channels/%00", "/channels/a%2Fb", "/%ff"]
    )
    def test_unknown_path_is_not_found(self, client: Api, path: str) -> None:
        assert_problem(client.get(path), 404, "not_found")

    def test_malformed_and_unknown_ids_get_the_same_response(self, client: Api) -> None:
        bodies = []
        for slug in ("absent", "ILL FORMED", "x" * 5000):
            document = assert_problem(client.get(f"/channels/{slug}"), 404, "not_found")
            bodies.append({name: value for name, value in document.items() if name != "correlation_id"})
        assert bodies[0] == bodies[1] == bodies[2]

    def test_unknown_host_is_refused(self, client: Api) -> None:
        response = client.get("/channels", headers={"Host": "attacker.example"})
        assert_problem(response, 400, "bad_request")
        assert client.get("/healthz", headers={"Host": "10.0.0.7"}).status_code == 200


class TestConditionalEdits:
    def test_edit_without_if_match_is_refused(self, client: Api) -> None:
        assert_problem(client.patch("/channels/web", {}), 428, "precondition_required")

    def test_edit_with_a_stale_etag_is_refused(self, client: Api) -> None:
        response = client.patch("/channels/web", {}, headers={"If-Match": '"web.0"'})
        assert_problem(response, 412, "precondition_failed")

    @pytest.mark.parametrize("tag", ['"web.1"', "*", '"other", "web.1"'])
    def test_edit_with_the_current_etag_succeeds(self, client: Api, tag: str) -> None:
        assert client.patch("/channels/web", {}, headers={"If-Match": tag}).status_code == 200


class TestRecord:
    def test_refusal_leaves_a_receipt_with_method_path_and_reason(
        self, tenant: Tenant, client: Api, requester: object
    ) -> None:
        response = client.post("/channels", {"slug": "web", "then": "refuse"})
        with unit_of_work(tenant.id):
            receipt = Receipt.objects.get(kind="request.refused")
        body = json.loads(bytes(receipt.body))
        assert receipt.correlation_id == response.headers["Threada-Correlation-Id"]
        assert body["inputs"] == {"method": "POST", "path": "/channels"}
        assert body["outcome"]["reason_code"] == "conflict"
        assert body["actor"]["principal"] == requester.public_id
        assert "not wanted" not in json.dumps(body)


class TestMapping:
    def test_every_error_class_has_a_registered_reason(self) -> None:
        classes = [
            value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, ThreadaError)
        ]
        assert len(classes) >= 100
        for error in classes:
            assert error.reason_code in REASONS
            assert error().detail

    def test_unreachable_database_is_a_problem(self) -> None:
        refusal = problems.as_threada_error(OperationalError("connection refused"))
        assert (refusal.reason_code, refusal.status, refusal.headers) == (
            "service_unavailable",
            503,
            {"Retry-After": "2"},
        )

    def test_members_of_a_problem_document(self) -> None:
        error = errors.InvalidRequest("Fix it.", errors=[FieldError("/a", "is wrong")], limit=3)
        assert problems.problem_document(error, correlation_id="c") == {
            "type": "/docs/reason-codes#invalid_request",
            "title": "The request does not match its schema",
            "status": 422,
            "detail": "Fix it.",
            "category": "validation",
            "reason_code": "invalid_request",
            "correlation_id": "c",
            "errors": [{"pointer": "/a", "detail": "is wrong", "code": "invalid"}],
            "limit": 3,
        }
