"""Threads for requests that hash passwords."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest

from threada_site.kernel.errors import SignInBusy
from threada_site.runtime.web import password_threads
from threada_site.runtime.web.password_threads import COUNT, PasswordThreads, Precedence

KNOWN, OTHER = Precedence.KNOWN_BROWSER, Precedence.OTHER


def run(work: Callable[[PasswordThreads], Awaitable[None]]) -> None:
    async def whole() -> None:
        await work(PasswordThreads())

    asyncio.run(whole())


def test_a_third_request_waits_at_most_200_ms() -> None:
    async def work(threads: PasswordThreads) -> None:
        for _ in range(COUNT):
            await threads.enter("a", OTHER)
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(SignInBusy) as refused:
            await threads.enter("b", OTHER)
        assert (password_threads.LONGEST_WAIT_S, loop.time() - began >= 0.15) == (0.2, True)
        assert refused.value.headers == {"Retry-After": "1"}

    run(work)


async def order(threads: PasswordThreads, requests: list[tuple[str, Precedence]]) -> list[str]:
    """Let requests wait while both threads are busy. Return the clients in the order in which they are admitted."""
    admitted: list[str] = []

    async def enter(client: str, precedence: Precedence) -> None:
        await threads.enter(client, precedence)
        admitted.append(client)
        threads.submit(lambda: None, client=client)
        threads.finished()

    for _ in range(COUNT):
        await threads.enter("busy", OTHER)
        threads.submit(lambda: None, client="busy")
    tasks = [asyncio.create_task(enter(*each)) for each in requests]
    await asyncio.sleep(0)
    threads.finished()
    await asyncio.gather(*tasks)
    return admitted


def test_clients_take_turns_and_known_browsers_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(password_threads, "LONGEST_WAIT_S", 30.0)

    async def work(threads: PasswordThreads) -> None:
        requests = [("a", OTHER), ("a", OTHER), ("a", OTHER), ("b", OTHER), ("k", KNOWN)]
        assert await order(threads, requests) == ["k", "a", "b", "a", "a"]

    run(work)


def test_known_browsers_leave_every_fourth_turn_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(password_threads, "LONGEST_WAIT_S", 30.0)

    async def work(threads: PasswordThreads) -> None:
        requests = [*([("k", KNOWN)] * 8), ("a", OTHER), ("b", OTHER)]
        assert await order(threads, requests) == [*"kkka", *"kkkb", *"kk"]

    run(work)


def test_one_client_fills_no_queue() -> None:
    async def work(threads: PasswordThreads) -> None:
        for _ in range(COUNT):
            await threads.enter("a", OTHER)
        outcomes = await asyncio.gather(*(threads.enter("a", OTHER) for _ in range(100)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {SignInBusy}

    run(work)


def test_threads_are_free_again_after_requests_gave_up() -> None:
    async def work(threads: PasswordThreads) -> None:
        for _ in range(COUNT):
            await threads.enter("a", OTHER)
        waiting = [asyncio.create_task(threads.enter(f"c{number}", OTHER)) for number in range(5)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for _ in range(COUNT):
            threads.submit(lambda: None, client="a")
            threads.finished()
        for _ in range(COUNT):
            await asyncio.wait_for(threads.enter("b", OTHER), 0.1)
        with pytest.raises(SignInBusy):
            await threads.enter("b", OTHER)

    run(work)


def test_a_thread_that_is_handed_over_to_a_request_that_ends_is_not_lost() -> None:
    async def work(threads: PasswordThreads) -> None:
        for _ in range(COUNT):
            await threads.enter("a", OTHER)
            threads.submit(lambda: None, client="a")
        waiting = asyncio.create_task(threads.enter("b", OTHER))
        await asyncio.sleep(0)
        threads.finished()  # handed over to the waiting request
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.wait_for(threads.enter("c", OTHER), 0.1)

    run(work)


def test_a_client_that_had_to_wait_is_refused_without_a_thread_for_a_moment() -> None:
    async def work(threads: PasswordThreads) -> None:
        threads.pause("a")
        with pytest.raises(SignInBusy):
            await threads.enter("a", OTHER)
        await threads.enter("a", KNOWN)
        await threads.enter("b", OTHER)

    run(work)


def test_a_pause_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(password_threads, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(password_threads, "LONGEST_WAIT_S", 0.0)

    async def work(threads: PasswordThreads) -> None:
        threads.pause("a")
        now[0] += password_threads.PAUSE_S / 2
        with pytest.raises(SignInBusy):
            await threads.enter("a", OTHER)
        now[0] += password_threads.PAUSE_S / 2
        for client in ("a", *["b"] * (COUNT - 1)):
            await threads.enter(client, OTHER)
        with pytest.raises(SignInBusy):  # the client that was paused has a thread
            await threads.enter("c", OTHER)

    run(work)
