from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from threada_site.kernel import ids


def test_id_is_parsed_back() -> None:
    value = ids.new_uuid()
    text = ids.public_id(ids.WORK_ITEM, value)
    assert text.startswith("wi_")
    assert len(text) == 29
    assert ids.parse_public_id(ids.WORK_ITEM, text) == value


def test_form_is_typeid() -> None:
    value = uuid.UUID("01893726-efee-7f02-8fbf-9f2b7bc2f910")
    assert ids.public_id("prefix", value) == "prefix_01h4vjdvzefw18zfwz5dxw5y8g"


def test_ids_are_ordered_by_time() -> None:
    first = ids.new_uuid()
    time.sleep(0.002)
    second = ids.new_uuid()
    assert first.version == 7
    assert ids.public_id("wi", first) < ids.public_id("wi", second)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "wi",
        "wi_",
        "_01h4vjdvzefw18zfwz5dxw5y8g",
        "01h4vjdvzefw18zfwz5dxw5y8g",
        "ex_01h4vjdvzefw18zfwz5dxw5y8g",
        "wi_01h4vjdvzefw18zfwz5dxw5y8",
        "wi_01h4vjdvzefw18zfwz5dxw5y8gg",
        "wi_81h4vjdvzefw18zfwz5dxw5y8g",
        "wi_01h4vjdvzefw18zfwz5dxw5y8i",
        "wi_01H4VJDVZEFW18ZFWZ5DXW5Y8G",
        "wi_01h4vjdvzefw18zfwz5dxw5y8g\n",
        "wi_\u06601h4vjdvzefw18zfwz5dxw5y8",
        "x_wi_01h4vjdvzefw18zfwz5dxw5y8g",
        "wi-01h4vjdvzefw18zfwz5dxw5y8g",
        "wi_" + "0" * 100_000,
    ],
)
def test_malformed_id_is_none(text: str) -> None:
    assert ids.parse_public_id("wi", text) is None


@pytest.mark.parametrize("text", ["a", "web_main", "0-1", "a" * 63])
def test_valid_slugs(text: str) -> None:
    assert ids.is_slug(text)


@pytest.mark.parametrize("text", ["", "_a", "-a", "A", "a b", "a/b", "a\n", "é", "a" * 64])
def test_invalid_slugs(text: str) -> None:
    assert not ids.is_slug(text)


def test_instant_inside_a_millisecond_rounds_up() -> None:
    whole = datetime(2026, 5, 4, 12, 0, 0, 123_000, UTC)
    first = ids.first_id_at(whole)
    assert ids.instant_of(first) == whole
    for microseconds in (1, 999, 1000):
        assert ids.first_id_at(whole + timedelta(microseconds=microseconds)).int == first.int + (1 << 80)
    assert ids.first_id_at(datetime(1, 1, 1, tzinfo=UTC)).int == 0
