from __future__ import annotations

import pytest

from telemetry.exports.byte_ranges import asked_range
from threada_site.kernel.errors import RangeNotSatisfiable


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None), ("", None), ("bytes=0-99", (0, 100)), ("bytes=0-", (0, 100)), ("bytes=40-", (40, 60)),
        ("bytes=99-", (99, 1)), ("bytes=10-19", (10, 10)), ("bytes=10-10", (10, 1)), ("bytes=90-500", (90, 10)),
        ("bytes=-1", (99, 1)), ("bytes=-100", (0, 100)), ("bytes=-500", (0, 100)), ("Bytes = 5 - 6", (5, 2)),
        ("bytes=20-10", None), ("bytes=0-1,5-6", None), ("lines=0-1", None), ("bytes=a-b", None), ("bytes=-", None),
        ("bytes=" + "9" * 30 + "-", None),
    ],
)  # fmt: skip
def test_served_range(header: str | None, expected: tuple[int, int] | None) -> None:
    part = asked_range(header, None, size=100, etag='"x"')
    assert (part and (part.start, part.length)) == expected


@pytest.mark.parametrize(("header", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-", 0), ("bytes=-5", 0)])
def test_unsatisfiable_range(header: str, size: int) -> None:
    with pytest.raises(RangeNotSatisfiable) as refused:
        asked_range(header, None, size=size, etag='"x"')
    assert refused.value.headers["Content-Range"] == f"bytes */{size}"


def test_a_part_of_another_version_is_not_served() -> None:
    assert asked_range("bytes=5-", '"x"', size=100, etag='"x"') is not None
    for other in ('"y"', 'W/"x"', "Wed, 21 Oct 2015 07:28:00 GMT", ""):
        assert asked_range("bytes=5-", other, size=100, etag='"x"') is None
