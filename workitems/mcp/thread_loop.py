"""Event loops of the threads that answer requests, for coroutines of the SDK that call functions of the request.

A thread keeps its loop: to start a loop and a thread for each message takes longer than the message. The loop does not
run while a function of the request does, because Django refuses to use the database inside of a running loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

_kept: Final = threading.local()


def run[Result](coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine in the calling thread, and the functions that it passes to `call_outside`. Return its result."""
    kept: _ThreadLoop | None = getattr(_kept, "loop", None)
    if kept is None:
        kept = _kept.loop = _ThreadLoop()
    try:
        return kept.run(coroutine)
    finally:
        if kept.has_tasks():  # what is left of this message must not run during the next one
            del _kept.loop
            kept.close()


async def call_outside[Result](function: Callable[[], Result]) -> Result:
    """Let the thread call `function` while its loop stands still. Return the result. Await it inside of `run`."""
    kept: _ThreadLoop = _kept.loop
    return await kept.call_outside(function)


class _ThreadLoop:
    """Event loop of one thread, and the functions that its coroutines wait for."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._asked: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        task = self._loop.create_task(coroutine)
        task.add_done_callback(self._stop)
        try:
            while not task.done():
                self._loop.run_forever()
                while self._asked:
                    self._answer(*self._asked.popleft())
        finally:
            task.remove_done_callback(self._stop)
        return task.result()

    async def call_outside(self, function: Callable[[], Any]) -> Any:
        future = self._loop.create_future()
        self._asked.append((function, future))
        self._loop.stop()
        return await future

    def has_tasks(self) -> bool:
        return bool(asyncio.all_tasks(self._loop)) or bool(self._asked)

    def close(self) -> None:
        """Cancel the tasks that are left, and close the loop."""
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
            self._loop.run_until_complete(asyncio.wait([task]))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _stop(self, _task: asyncio.Task[Any]) -> None:
        self._loop.stop()

    def _answer(self, function: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        if future.cancelled():
            return
        try:
            result = function()
        except Exception as error:  # noqa: BLE001 - raised in the coroutine that waits
            future.set_exception(error)
        else:
            future.set_result(result)
