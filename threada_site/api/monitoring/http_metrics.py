"""Counts and durations of requests, in memory that all web processes of this machine share.

The main process of the web server loads this module before it forks, so that its workers inherit the memory. Each
worker writes to a region of its own and any of them can read all. A worker that replaces a dead one continues its
region, so the counts of the machine never decrease until its web server restarts. Nothing is written to a disk.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import cache
from typing import Final, NamedTuple

from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.urls import get_resolver
from django.urls.resolvers import URLResolver

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other")
CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")
BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets of durations, in seconds. One more bucket has the longer ones."""
POOL: Final = ("pool_size", "pool_available", "requests_waiting")
NO_ROUTE: Final = "none"

_MOST_ROUTES: Final = 400
_REGIONS: Final = 32
_PER_ROUTE: Final = len(METHODS) * len(CLASSES) + len(BOUNDS) + 2
_HEAD: Final = 1 + len(POOL)  # process id and state of the pool
_REGION: Final = _HEAD + _MOST_ROUTES * _PER_ROUTE
_POOL_EVERY_S: Final = 1.0


class RouteCounts(NamedTuple):
    """Requests of one route. `requests`: by method and class of status. `buckets`: by duration, not accumulated."""

    route: str
    requests: dict[tuple[str, str], float]
    buckets: list[float]
    seconds: float


class RequestCounts:
    """Shared counts. Unwritten pages take no memory."""

    def __init__(self) -> None:
        self._file = os.memfd_create("threada-requests")
        os.ftruncate(self._file, _REGIONS * _REGION * 8)
        self._values = memoryview(mmap.mmap(self._file, _REGIONS * _REGION * 8)).cast("d")
        self._lock = threading.Lock()
        self._own: tuple[int, int] = (0, 0)
        self._pool_at = float("-inf")

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request."""
        index = routes().get(route, 0)
        kind = METHODS.index(method) if method in METHODS else len(METHODS) - 1
        with self._lock:
            start = self._region() * _REGION
            place = start + _HEAD + index * _PER_ROUTE
            self._values[place + kind * len(CLASSES) + min(max(status // 100, 1), 5) - 1] += 1
            place += len(METHODS) * len(CLASSES)
            self._values[place + bisect_left(BOUNDS, seconds)] += 1
            self._values[place + len(BOUNDS) + 1] += seconds
            if time.monotonic() - self._pool_at > _POOL_EVERY_S:
                self._pool_at = time.monotonic()
                for number, value in enumerate(_pool_state()):
                    self._values[start + 1 + number] = value

    def routes(self) -> Iterator[RouteCounts]:
        """Yield the sums of all processes for each route that was requested."""
        for route, index in routes().items():
            sums = [0.0] * _PER_ROUTE
            for region in range(_REGIONS):
                place = region * _REGION + _HEAD + index * _PER_ROUTE
                if self._values[region * _REGION]:
                    sums = [
                        one + other for one, other in zip(sums, self._values[place : place + _PER_ROUTE], strict=True)
                    ]
            split = len(METHODS) * len(CLASSES)
            keys = [(method, status) for method in METHODS for status in CLASSES]
            requests = {key: value for key, value in zip(keys, sums[:split], strict=True) if value}
            if requests:
                yield RouteCounts(route, requests, sums[split:-1], sums[-1])

    def pool(self) -> dict[str, float]:
        """Return the state of the database connections of all living processes together."""
        starts = [region * _REGION for region in range(_REGIONS) if _is_living(int(self._values[region * _REGION]))]
        return {name: sum(self._values[start + 1 + number] for start in starts) for number, name in enumerate(POOL)}

    def _region(self) -> int:
        """Return the region of this process; take a free one, or that of a dead process, at the first request."""
        pid = os.getpid()
        if self._own[0] != pid:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                owners = [int(self._values[region * _REGION]) for region in range(_REGIONS)]
                free = next((region for region, owner in enumerate(owners) if not _is_living(owner)), _REGIONS - 1)
                self._values[free * _REGION] = pid
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)
            self._own = (pid, free)
        return self._own[1]


COUNTS: Final = RequestCounts()


def measured(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Return middleware that counts requests. Durations end with the head of the response."""

    def middleware(request: HttpRequest) -> HttpResponse:
        began = time.perf_counter()
        response = get_response(request)
        match = request.resolver_match
        route = _name(match.route) if match else NO_ROUTE
        COUNTS.count(route, request.method or "", response.status_code, time.perf_counter() - began)
        return response

    return middleware


@cache
def routes() -> dict[str, int]:
    """Return the places of all routes, the same in every process of this version. Requests without a route, and routes
    beyond the largest number, are at place 0."""
    names = sorted({_name(route) for route in _patterns(get_resolver(), "")} - {NO_ROUTE})
    return {name: place for place, name in enumerate([NO_ROUTE, *names][:_MOST_ROUTES])}


def _patterns(resolver: URLResolver, prefix: str) -> Iterator[str]:
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern, route)
        else:
            yield route


@cache
def _name(route: str) -> str:
    """Return the label of a route. Pages of the console have one for each application."""
    if route.startswith("console/"):
        return "/" + "/".join(route.split("/")[:2])
    return f"/{route}"


def _pool_state() -> Iterator[float]:
    found: dict[str, int] = connections["default"].pool_state()  # type: ignore[attr-defined]
    return (float(found.get(name, 0)) for name in POOL)


def _is_living(pid: int) -> bool:
    if not pid:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
