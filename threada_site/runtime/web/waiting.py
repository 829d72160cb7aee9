"""Threads that run the application, and the requests that wait for one."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from enum import IntEnum
from queue import SimpleQueue
from typing import Final

from threada_site.kernel.errors import ServerBusy
from threada_site.kernel.request_threads import REQUESTS

_AHEAD: Final = 2
"""Jobs given to the threads beyond their number, so that none idles until the event loop hands over the next."""
_SHARE: Final = 4
"""One turn in this many is given to the standings in rotation instead of to the highest one."""

type Job = Callable[[], None]


class Turns:
    """Jobs that wait. Clients take turns, so that one with a thousand requests delays another by one request."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: OrderedDict[str, deque[Job]] = OrderedDict()
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, job: Job, client: str) -> None:
        """Append a job. Raise `ServerBusy` if too many wait and one of them is of the same client."""
        jobs = self._waiting.get(client)
        if jobs is None:
            jobs = self._waiting[client] = deque()
        elif self._count >= self._most:
            raise ServerBusy(headers={"Retry-After": "1"})
        self._count += 1
        jobs.append(job)

    def next(self) -> Job:
        """Return the next job and remove it."""
        client, jobs = self._waiting.popitem(last=False)
        self._count -= 1
        job = jobs.popleft()
        if jobs:
            self._waiting[client] = jobs
        return job


class Standing(IntEnum):
    """Class of a client, in the order in which requests are run.

    BUSY: it has many requests in progress. SUSPECT: a connection of it had to be closed lately.
    """

    REGULAR = 0
    BUSY = 1
    SUSPECT = 2


class Threads:
    """Threads of this process. They live as long as the process, so that connections of the database stay theirs.

    Requests of clients with a lower standing wait until no others do; every fourth turn is theirs all the same. They
    leave a thread free, and those of suspects run one at a time. `submit` and `finished` are called on the event loop.
    """

    def __init__(self, count: int, *, most_waiting: int, name: str = REQUESTS) -> None:
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._free = count + _AHEAD
        self._turn = 0
        self._running = dict.fromkeys(Standing, 0)
        self._most = {Standing.REGULAR: count + _AHEAD, Standing.BUSY: max(count - 1, 1), Standing.SUSPECT: 1}
        self._waiting = {standing: Turns(most_waiting) for standing in Standing}
        for number in range(count):
            threading.Thread(target=self._work, name=f"{name}-{number + 1}", daemon=True).start()

    def submit(self, job: Job, *, client: str, standing: Standing = Standing.REGULAR) -> None:
        """Run `job` on a thread, now or in turn. Raise `ServerBusy` if too many wait."""
        self._waiting[standing].add(job, client)
        self._start()

    def finished(self, standing: Standing = Standing.REGULAR) -> None:
        """Count one submitted job as done, and start the next one."""
        self._free += 1
        self._running[standing] -= 1
        self._start()

    def _start(self) -> None:
        while self._free > 0:
            standing = self._next()
            if standing is None:
                return
            self._free -= 1
            self._turn += 1
            self._running[standing] += 1
            self._jobs.put(self._waiting[standing].next())

    def _next(self) -> Standing | None:
        """Return the standing whose turn it is; None if no request may be run now."""
        waiting = [
            standing
            for standing, turns in self._waiting.items()
            if turns and self._running[standing] < self._most[standing]
        ]
        if not waiting:
            return None
        return waiting[self._turn // _SHARE % len(waiting)] if self._turn % _SHARE == 0 else waiting[0]

    def _work(self) -> None:
        while True:
            self._jobs.get()()
