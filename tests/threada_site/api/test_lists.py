"""Pages and filters: every row once, unknown parameters refused, cursors valid only for their list."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from policies.models import Channel
from tests.client import Api
from tests.factories import make_principal, make_token
from tests.threada_site.api.conftest import assert_problem
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.kernel.clock import rfc3339
from threada_site.tenancy.models import Tenant

pytestmark = pytest.mark.urls("tests.threada_site.api.shelf")
START = datetime(2026, 1, 1, tzinfo=UTC)


def fill(tenant: Tenant, count: int) -> list[str]:
    """Create `count` channels, one a second from START. Return their slugs, newest first."""
    with unit_of_work(tenant.id):
        Channel.objects.bulk_create(
            [
                Channel(id=ids.first_id_at(START + timedelta(seconds=number)), tenant_id=tenant.id, slug=f"c{number}")
                for number in range(count)
            ]
        )
    return [f"c{number}" for number in reversed(range(count))]


def slugs(response: object) -> list[str]:
    assert response.status_code == 200, response.json()
    return [row["slug"] for row in response.json()["data"]]


class TestPages:
    def test_every_row_appears_once_newest_first(self, tenant: Tenant, other_tenant: Tenant, client: Api) -> None:
        expected = fill(tenant, 7)
        with unit_of_work(other_tenant.id):
            Channel.objects.create(tenant_id=other_tenant.id, slug="foreign")
        seen, cursor, sizes = [], None, []
        while True:
            page = client.get("/channels", {"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
            seen += [row["slug"] for row in page["data"]]
            sizes.append(len(page["data"]))
            assert page["has_more"] == (page["next_cursor"] is not None)
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert (seen, sizes) == (expected, [3, 3, 1])

    def test_row_added_between_pages_neither_repeats_nor_hides_another(self, tenant: Tenant, client: Api) -> None:
        expected = fill(tenant, 4)
        first = client.get("/channels", {"limit": 2}).json()
        with unit_of_work(tenant.id):
            Channel.objects.create(tenant_id=tenant.id, slug="late")
        assert slugs(client.get("/channels", {"limit": 2, "cursor": first["next_cursor"]})) == expected[2:]

    def test_last_full_page_has_no_next_cursor(self, tenant: Tenant, client: Api) -> None:
        fill(tenant, 2)
        page = client.get("/channels", {"limit": 2}).json()
        assert (len(page["data"]), page["has_more"], page["next_cursor"]) == (2, False, None)

    def test_default_page_size_is_fifty(self, tenant: Tenant, client: Api) -> None:
        fill(tenant, 51)
        assert len(slugs(client.get("/channels"))) == 50

    def test_page_takes_one_statement_without_count_or_offset(self, tenant: Tenant, client: Api) -> None:
        fill(tenant, 3)
        with CaptureQueriesContext(connection) as queries:
            client.get("/channels", {"limit": 1})
        (listing,) = [query["sql"] for query in queries if "policies_channel" in query["sql"]]
        assert "COUNT" not in listing
        assert "OFFSET" not in listing

    @pytest.mark.parametrize("limit", ["0", "201", "-1", "1.5", "", "many", "99999", "٣", "1e1", " 1"])
    def test_limit_out_of_range_is_refused(self, client: Api, limit: str) -> None:
        document = assert_problem(client.get("/channels", {"limit": limit}), 422, "invalid_request")
        assert document["errors"][0]["pointer"] == "?limit"


class TestCursors:
    @pytest.fixture
    def cursor(self, tenant: Tenant, client: Api) -> str:
        fill(tenant, 4)
        return client.get("/channels", {"limit": 2}).json()["next_cursor"]

    def test_every_changed_bit_of_a_cursor_is_detected(self, client: Api, cursor: str) -> None:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        assert len(raw) == 32
        for place in range(len(raw)):
            changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
            text = base64.urlsafe_b64encode(changed).decode().rstrip("=")
            assert_problem(client.get("/channels", {"cursor": text}), 400, "invalid_cursor")

    @pytest.mark.parametrize("text", ["x", "AAAA", "=", "ä", "A" * 5000, "' OR 1=1", "-1"])
    def test_malformed_cursor_is_refused(self, client: Api, text: str) -> None:
        assert_problem(client.get("/channels", {"cursor": text}), 400, "invalid_cursor")

    def test_cursor_of_another_tenant_is_refused(self, other_tenant: Tenant, cursor: str) -> None:
        carol = Api(make_token(other_tenant, make_principal(other_tenant, "carol")))
        assert_problem(carol.get("/channels", {"cursor": cursor}), 400, "invalid_cursor")

    def test_cursor_with_other_filters_is_refused(self, client: Api, cursor: str) -> None:
        for filters in ({"slug": "c1"}, {"created_after": rfc3339(START)}):
            assert_problem(client.get("/channels", {"cursor": cursor, **filters}), 400, "invalid_cursor")

    def test_cursor_works_with_another_page_size_and_credential(self, tenant: Tenant, client: Api, cursor: str) -> None:
        bob = Api(make_token(tenant, make_principal(tenant, "bob")))
        assert slugs(client.get("/channels", {"cursor": cursor, "limit": 1})) == ["c1"]
        assert slugs(bob.get("/channels", {"cursor": cursor})) == ["c1", "c0"]


class TestFilters:
    def test_filter_by_slug(self, tenant: Tenant, client: Api) -> None:
        fill(tenant, 3)
        assert slugs(client.get("/channels", {"slug": "c1"})) == ["c1"]
        assert slugs(client.get("/channels", {"slug": "c9"})) == []

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({"created_after": "2026-01-01T00:00:02Z"}, ["c3", "c2"]),
            ({"created_before": "2026-01-01T00:00:02Z"}, ["c1", "c0"]),
            ({"created_after": "2026-01-01T00:00:01.000Z", "created_before": "2026-01-01T00:00:02.001Z"}, ["c2", "c1"]),
            ({"created_after": "2026-01-01T02:00:02+02:00"}, ["c3", "c2"]),
            ({"created_after": "2026-01-01T00:00:02.000001Z"}, ["c3"]),
            ({"created_before": "0001-01-01T00:00:00Z"}, []),
            ({"created_after": "9999-12-31T23:59:59Z"}, []),
        ],
    )
    def test_filter_by_time_includes_after_and_excludes_before(
        self, tenant: Tenant, client: Api, filters: dict[str, str], expected: list[str]
    ) -> None:
        fill(tenant, 4)
        assert slugs(client.get("/channels", filters)) == expected

    @pytest.mark.parametrize(
        "instant",
        [
            "yesterday",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-13-01T00:00:00Z",
            "1767225600",
            "\x00",
            "0001-01-01T00:00:00+14:00",
        ],
    )
    def test_malformed_instant_is_refused(self, client: Api, instant: str) -> None:
        document = assert_problem(client.get("/channels", {"created_after": instant}), 422, "invalid_request")
        assert document["errors"][0]["pointer"] == "?created_after"

    @pytest.mark.parametrize("value", ["wi_", "ex_01k9zq6w4ve9qtr1n5m2d3c4b5", "wi_8zzzzzzzzzzzzzzzzzzzzzzzzz", "x"])
    def test_malformed_id_is_refused(self, client: Api, value: str) -> None:
        document = assert_problem(client.get("/channels", {"item_id": value}), 422, "invalid_request")
        assert document["errors"] == [
            {"pointer": "?item_id", "detail": "must be an id of the form wi_…", "code": "invalid"}
        ]

    def test_unknown_parameter_is_named_with_a_suggestion(self, client: Api) -> None:
        document = assert_problem(client.get("/channels", {"slugs": "a", "zzz": 1}), 422, "invalid_request")
        assert document["errors"] == [
            {
                "pointer": "?slugs",
                "detail": "is not a parameter of this list. Did you mean slug?",
                "code": "unknown_parameter",
            },
            {
                "pointer": "?zzz",
                "detail": "is not a parameter of this list. "
                "Use one of created_after, created_before, slug, item_id, status, cursor, limit.",
                "code": "unknown_parameter",
            },
        ]

    def test_all_errors_of_a_request_are_reported_at_once(self, client: Api) -> None:
        query = {
            "slugs": "a",
            "slug": ["a", "b"],
            "item_id": "x",
            "created_after": "yesterday",
            "created_before": "a\x00",
            "status": ["pendign", "zzz", "approved"],
            "limit": "0",
        }
        document = assert_problem(client.get("/channels", query), 422, "invalid_request")
        words = "pending, approved"
        assert {(error["pointer"], error["detail"]) for error in document["errors"]} == {
            ("?slugs", "is not a parameter of this list. Did you mean slug?"),
            ("?slug", "is given more than once"),
            ("?item_id", "must be an id of the form wi_…"),
            ("?created_after", "must be an RFC 3339 instant with offset, such as 2026-01-31T09:30:00Z"),
            ("?created_before", "contains U+0000"),
            ("?status", f"'pendign' is not one of {words}. Did you mean pending?"),
            ("?status", f"'zzz' is not one of {words}."),
            ("?limit", "must be a whole number from 1 to 200"),
        }
        assert len(document["errors"]) == 8

    def test_repeated_parameter_is_refused(self, client: Api) -> None:
        document = assert_problem(client.get("/channels", {"slug": ["a", "b"]}), 422, "invalid_request")
        assert document["errors"] == [{"pointer": "?slug", "detail": "is given more than once", "code": "repeated"}]

    def test_slug_that_is_too_long_is_refused(self, client: Api) -> None:
        assert_problem(client.get("/channels", {"slug": "a" * 64}), 422, "invalid_request")

    def test_nul_character_is_refused_before_the_query(self, client: Api) -> None:
        assert_problem(client.get("/channels", {"slug": "a\x00"}), 422, "invalid_request")
        assert_problem(client.get("/channels", {"a\x00": "b"}), 422, "invalid_request")
