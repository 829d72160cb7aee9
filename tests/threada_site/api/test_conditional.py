"""Conditional requests, JSON Merge Patch, and the announcements of versions and ends."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from tests.client import Api
from tests.threada_site.api.shelf import ChannelDetail
from threada_site.api.openapi.version import Deprecation
from threada_site.kernel.json.merge_patch import merge_patch

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.threada_site.api.shelf")]


@pytest.fixture(autouse=True)
def web(client: Api) -> None:
    """Create the channel that the tests read."""
    assert client.post("/channels", {"slug": "web"}).status_code == 201


def test_an_unchanged_answer_has_no_body(client: Api) -> None:
    first = client.get("/channels/web")
    tag = first["ETag"]
    assert (first.status_code, tag.startswith('"web.1/')) == (200, True)
    for sent in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        again = client.get("/channels/web", headers={"If-None-Match": sent})
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", tag)
    assert client.get("/channels/web", headers={"If-None-Match": '"web.1"'}).status_code == 200
    page = client.get("/channels")
    assert client.get("/channels", headers={"If-None-Match": page["ETag"]}).status_code == 304
    assert client.get("/channels/absent", headers={"If-None-Match": "*"}).status_code == 404


def test_the_tag_of_an_answer_permits_an_edit_of_its_state(client: Api) -> None:
    tag = client.get("/channels/web")["ETag"]
    assert client.patch("/channels/web", {}, headers={"If-Match": tag}).status_code == 200
    for other in (f"W/{tag}", '"web.10/x"', '"web"', ""):
        assert client.patch("/channels/web", {}, headers={"If-Match": other}).status_code == 412


def test_merge_patches_have_their_own_media_type(client: Api) -> None:
    asked: dict[str, Any] = {"content_type": "application/merge-patch+json", "headers": {"If-Match": "*"}}
    assert client.send("PATCH", "/channels/web", {}, **asked).status_code == 200
    assert client.send("POST", "/channels", {"slug": "x"}, **asked).status_code == 415


def test_answers_name_the_version_and_the_end_of_an_operation(client: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.get("/channels/web")["Threada-Version"] == client.get("/nothing")["Threada-Version"] == "0.2"
    ending = Deprecation(date(2026, 1, 1), date(2026, 7, 1), "/channels")
    declared = type("Declared", (), {"deprecation": ending})
    monkeypatch.setattr(ChannelDetail.get, "threada_operation", declared, raising=False)
    answer = client.get("/channels/web")
    assert answer["Deprecation"] == "@1767225600"
    assert answer["Sunset"] == "Wed, 01 Jul 2026 00:00:00 GMT"
    assert "Deprecation" not in client.patch("/channels/web", {})


# Test cases of RFC 7396, appendix A.
@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_json_merge_patch(target: Any, patch: Any, merged: Any) -> None:
    assert merge_patch(target, patch) == merged
