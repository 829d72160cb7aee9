"""Threads for requests that hash passwords. At most two run; others wait briefly and then are refused."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from contextlib import suppress
from enum import IntEnum
from typing import Final

from threada_site.kernel.errors import SignInBusy
from threada_site.kernel.request_threads import PASSWORDS
from threada_site.runtime.web.waiting import Job, Threads

COUNT: Final = 2
LONGEST_WAIT_S: Final = 0.2
PAUSE_S: Final = 1.0
"""Time for which further requests of a client are refused without a thread, after one that had to wait."""
_SHARE: Final = 4
"""One turn in this many begins with the lowest precedence, so that somebody with a known browser keeps nobody out."""
_MOST_WAITING_OF_ONE: Final = 8
_MOST_PAUSED: Final = 4_096


class Precedence(IntEnum):
    """Order in which waiting requests are run. KNOWN_BROWSER: somebody signed in from there before."""

    KNOWN_BROWSER = 0
    OTHER = 1


class PasswordThreads:
    """Two threads of this process. All methods are called on the event loop.

    Clients take turns, so that one with many requests delays another by one. Known browsers come first, except in every
    fourth turn.
    """

    def __init__(self) -> None:
        self._threads = Threads(COUNT, most_waiting=COUNT, name=PASSWORDS)
        self._free = COUNT
        self._turn = 0
        self._paused: dict[str, float] = {}
        self._waiting: dict[Precedence, OrderedDict[str, deque[asyncio.Future[None]]]] = {
            precedence: OrderedDict() for precedence in Precedence
        }

    async def enter(self, client: str, precedence: Precedence) -> None:
        """Wait until a thread is free. Raise `SignInBusy` if none is within 200 ms. Call `finished` afterwards."""
        if precedence is Precedence.OTHER and self._is_paused(client):
            await asyncio.sleep(LONGEST_WAIT_S)
            raise SignInBusy(headers={"Retry-After": "1"})
        if self._free:
            self._free -= 1
            return
        clients = self._waiting[precedence]
        waiting = clients.setdefault(client, deque())
        if len(waiting) >= _MOST_WAITING_OF_ONE:
            raise SignInBusy(headers={"Retry-After": "1"})
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(mine)
        try:
            async with asyncio.timeout(LONGEST_WAIT_S):
                await mine
        except BaseException as error:
            if mine.done() and not mine.cancelled():  # a thread became free at the same moment
                self._hand_over()
            else:
                with suppress(ValueError):
                    waiting.remove(mine)
                if not waiting and clients.get(client) is waiting:
                    del clients[client]
            if isinstance(error, TimeoutError):
                raise SignInBusy(headers={"Retry-After": "1"}) from None
            raise

    def submit(self, job: Job, *, client: str) -> None:
        """Run `job` on the thread that was entered."""
        self._threads.submit(job, client=client)

    def finished(self) -> None:
        """Count a submitted job as done, and admit the next request."""
        self._threads.finished()
        self._hand_over()

    def pause(self, client: str) -> None:
        """Refuse further requests of this client for a moment, except those from known browsers."""
        if len(self._paused) >= _MOST_PAUSED:
            self._paused.clear()
        self._paused[client] = time.monotonic() + PAUSE_S

    def _is_paused(self, client: str) -> bool:
        if client not in self._paused:
            return False
        if self._paused[client] > time.monotonic():
            return True
        del self._paused[client]
        return False

    def _hand_over(self) -> None:
        self._turn += 1
        queues = list(self._waiting.values())
        for clients in reversed(queues) if self._turn % _SHARE == 0 else queues:
            while clients:
                client, waiting = clients.popitem(last=False)
                mine = waiting.popleft()
                if waiting:
                    clients[client] = waiting
                if not mine.done():
                    mine.set_result(None)
                    return
        self._free += 1
