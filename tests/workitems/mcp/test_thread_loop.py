"""Coroutines in the thread of a request: its functions run while the loop stands still, and nothing is left behind."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from workitems.mcp.thread_loop import call_outside, run


def loop_here() -> Any:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def calling(*functions: Callable[[], Any]) -> list[Any]:
    return [await call_outside(function) for function in functions]


def test_functions_run_in_the_thread_of_the_caller_outside_of_the_loop() -> None:
    assert run(calling(threading.get_ident, loop_here)) == [threading.get_ident(), None]


def test_functions_of_concurrent_tasks_all_run() -> None:
    async def both() -> Any:
        return await asyncio.gather(calling(lambda: 1, lambda: 2), calling(lambda: 3))

    assert list(run(both())) == [[1, 2], [3]]


def test_an_error_of_a_function_is_raised_where_it_is_awaited() -> None:
    def fail() -> None:
        raise LookupError

    async def asked() -> str:
        try:
            await call_outside(fail)
        except LookupError:
            return "caught"
        return "not raised"

    assert run(asked()) == "caught"
    with pytest.raises(LookupError):
        run(calling(fail))
    assert run(calling(lambda: 4)) == [4]


def test_a_thread_keeps_its_loop_and_other_threads_have_their_own() -> None:
    async def loop() -> Any:
        return asyncio.get_running_loop()

    loops = [run(loop()), run(loop())]
    other = threading.Thread(target=lambda: loops.append(run(loop())))
    other.start()
    other.join()
    assert loops[0] is loops[1]
    assert loops[2] is not loops[0]


def test_tasks_that_a_message_leaves_behind_do_not_run_during_the_next_one() -> None:
    ran: list[str] = []

    async def late() -> None:
        await asyncio.sleep(0.01)
        ran.append("late")

    async def leaving() -> Any:
        task = asyncio.create_task(late())
        await asyncio.sleep(0)
        return task

    left = run(leaving())
    assert left.cancelled()
    assert run(calling(lambda: time.sleep(0.02), lambda: 5)) == [None, 5]
    assert ran == []


def test_an_interruption_of_a_function_ends_its_message() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(calling(interrupt))
    assert run(calling(lambda: 6)) == [6]
