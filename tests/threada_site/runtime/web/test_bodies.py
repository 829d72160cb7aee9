"""Bodies: deadlines, sizes, the budget of bytes that arrived, and bodies that are not read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.threada_site.runtime.web.rsgi import Headers, Protocol
from threada_site.kernel.errors import PayloadTooLarge, RequestTimeout, ServerBusy
from threada_site.runtime.web.bodies import BodyBudget, Reading, UnreadBody, declared_size, read_body
from threada_site.runtime.web.limits import Limits
from threada_site.runtime.web.refusals import ClientIsGoneError

KB = 1024


def read(
    protocol: Protocol,
    size: int | None,
    *,
    budget: BodyBudget | None = None,
    most: int = 1_048_576,
    **limits: Any,
) -> bytes:
    return asyncio.run(
        read_body(
            protocol,
            size=size,
            reading=Reading("client"),
            budget=budget or BodyBudget(10 * KB * KB),
            limits=Limits(**limits),
            most=most,
        )
    )


@pytest.mark.parametrize(
    ("headers", "size"),
    [
        ([], 0),
        ([("content-length", "12")], 12),
        ([("content-length", "²")], 0),
        ([("transfer-encoding", "chunked")], None),
        ([("transfer-encoding", "chunked"), ("content-length", "5")], None),
    ],
)
def test_declared_size(headers: list[tuple[str, str]], size: int | None) -> None:
    assert declared_size(Headers(*headers)) == size


@pytest.mark.parametrize("size", [3 * KB, 30 * KB])
@pytest.mark.parametrize("is_declared", [True, False])
def test_whole_body_is_read(size: int, is_declared: bool) -> None:
    pieces = [b"a" * KB] * (size // KB)
    budget = BodyBudget(size)
    assert read(Protocol(pieces), size if is_declared else None, budget=budget) == b"".join(pieces)
    assert budget.held == size


@pytest.mark.parametrize("size", [KB, 30 * KB, None])
def test_body_that_ends_too_early_is_not_given_to_the_application(size: int | None) -> None:
    with pytest.raises(ClientIsGoneError):
        read(Protocol([b'{"payload": {}}'], is_cut=True), size)


def test_body_that_is_shorter_than_declared_is_refused() -> None:
    with pytest.raises(ClientIsGoneError):
        read(Protocol([b"a" * 10]), 11)


@pytest.mark.parametrize("size", [2_001, None])
def test_body_beyond_the_limit_is_refused(size: int | None) -> None:
    with pytest.raises(PayloadTooLarge):
        read(Protocol([b"a" * 500] * 5), size, most=2_000)


@pytest.mark.parametrize("size", [40, 40 * KB, None])
def test_body_that_does_not_begin_is_timed_out(size: int | None) -> None:
    with pytest.raises(RequestTimeout):
        read(Protocol([b"a"], pause_s=60), size, pause_s=0, bytes_per_second=1_000_000)


@pytest.mark.parametrize("size", [20 * KB, None])
def test_dripping_body_is_timed_out(size: int | None) -> None:
    """Send forty bytes a second, where a thousand are required after a tenth of a second."""
    drips = Protocol([b"a"] * 1_000, pause_s=0.025)
    with pytest.raises(RequestTimeout):
        read(drips, size, pause_s=0, bytes_per_second=100)
    assert drips._sent < 20


def test_complete_body_has_a_deadline_of_its_own() -> None:
    limits = Limits(pause_s=5, bytes_per_second=1_000, body_s=60)
    assert limits.body_deadline(0) == 5
    assert limits.body_deadline(10_000) == 15
    assert limits.body_deadline(1_000_000) == 60


def test_client_with_most_bytes_loses_its_oldest_body() -> None:
    budget = BodyBudget(100)
    ended: list[Reading] = []
    begun = [Reading(client) for client in ("a", "heavy", "heavy", "b")]
    for reading in begun:
        reading.cancel = lambda reading=reading: ended.append(reading)
        budget.begin(reading)
    for reading, size in zip(begun, (10, 40, 40, 5), strict=True):
        budget.add(reading, size)
    budget.add(begun[3], 10)
    assert ended == [begun[1]]
    assert budget.held == 65


def test_client_that_has_most_bytes_is_refused_itself() -> None:
    budget = BodyBudget(100)
    small, large = Reading("a"), Reading("heavy")
    budget.begin(small)
    budget.begin(large)
    budget.add(small, 10)
    with pytest.raises(ServerBusy):
        budget.add(large, 91)
    budget.release(large)
    assert budget.held == 10


def test_finished_bodies_are_not_ended_for_others() -> None:
    budget = BodyBudget(100)
    finished, late = Reading("a", cancel=lambda: pytest.fail("ended")), Reading("b")
    budget.begin(finished)
    budget.add(finished, 90)
    budget.finish(finished)
    budget.begin(late)
    with pytest.raises(ServerBusy):
        budget.add(late, 20)


def test_evicted_reading_is_refused_and_its_bytes_are_released() -> None:
    async def main() -> tuple[BodyBudget, Any]:
        budget = BodyBudget(50 * KB)
        slow = Protocol([b"a" * 30 * KB, b"a"], pause_s=0.01)
        slow_task = asyncio.create_task(
            read_body(slow, size=40 * KB, most=KB * KB, reading=Reading("a"), budget=budget, limits=Limits())
        )
        slow.pieces = [slow.pieces[0], *[b"a"] * 500]
        await asyncio.sleep(0.1)
        other = Protocol([b"a" * 15 * KB] * 2)
        await read_body(other, size=30 * KB, most=KB * KB, reading=Reading("b"), budget=budget, limits=Limits())
        return budget, (await asyncio.gather(slow_task, return_exceptions=True))[0]

    budget, result = asyncio.run(main())
    assert isinstance(result, ServerBusy)
    assert budget.held == 30 * KB


def test_unread_body_is_read_once_and_only_if_asked_for() -> None:
    asked: list[int] = []

    async def read_all() -> bytes:
        asked.append(1)
        return b"first\nsecond"

    async def main() -> None:
        body = UnreadBody(read_all, asyncio.get_running_loop())
        assert not asked
        assert await asyncio.to_thread(body.read, 2) == b"fi"
        assert await asyncio.to_thread(body.readline) == b"rst\n"
        assert await asyncio.to_thread(body.read) == b"second"
        assert asked == [1]

    asyncio.run(main())
