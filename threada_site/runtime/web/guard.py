"""Application of the web server: it receives requests under limits and runs the WSGI application on threads.

Heads are read by the server under a deadline. Bodies are read here, on the event loop, before a thread is used, so that
a slow client costs a small amount of memory and nothing else.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog

from threada_site.kernel.errors import (
    BadRequest,
    InstanceStopping,
    RequestTimeout,
    ServerBusy,
    ThreadaError,
    TooManyConnections,
)
from threada_site.kernel.request_threads import MUST_WAIT
from threada_site.kernel.waits import Offer
from threada_site.runtime.web.addresses import Addresses, Client, host_of
from threada_site.runtime.web.bodies import BodyBudget, Reading, UnreadBody, declared_size, read_body
from threada_site.runtime.web.connections import Connections
from threada_site.runtime.web.environ import wsgi_environ
from threada_site.runtime.web.held_requests import HeldRequests, ReadStatuses, again, without_body
from threada_site.runtime.web.limits import Limits
from threada_site.runtime.web.password_threads import PasswordThreads, Precedence
from threada_site.runtime.web.refusals import ClientIsGoneError, Headers, refusal_answer
from threada_site.runtime.web.responses import Application, Responder
from threada_site.runtime.web.spool import Spool
from threada_site.runtime.web.waiting import Standing, Threads

log = structlog.get_logger("threada.web")

_MANY_IN_PROGRESS: Final = 8
"""Requests of one client at the same time beyond which further ones wait behind those of others."""
_LOOK_EVERY_S: Final = 1.0
_LOOKING_SHARE: Final = 20
"""Looking at the connections takes at most one part in this many of the event loop's time."""

type Predicate = Callable[[dict[str, Any]], bool]
type BodyLimit = Callable[[dict[str, Any]], int]
type PasswordPrecedence = Callable[[dict[str, Any]], Precedence | None]
type Refuse = Callable[[dict[str, Any]], ThreadaError | None]
type RefusalPage = Callable[[ThreadaError, Any], tuple[int, Headers, bytes] | None]


class Guard:
    """RSGI application of one process. `answers_unread`: True for requests to refuse without reading their body.

    `body_limit`: the largest size of the body of a request; by default `body_bytes`.
    `refuse`: the refusal of a request that is not worth a thread, or None. `password_precedence`: not None for requests
    that hash passwords, which run on threads of their own. `refusal_page`: page in place of the problem document for
    people, or None. `read_statuses`: current statuses of rows that requests wait for. `closing`, `stopping`: files that
    the main process creates when this process has to end its connections, and when it starts to drain.
    """

    def __init__(
        self,
        application: Application,
        *,
        port: int,
        limits: Limits,
        spool_folder: Path,
        closing: Path,
        stopping: Path | None = None,
        answers_unread: Predicate | None = None,
        body_limit: BodyLimit | None = None,
        refuse: Refuse | None = None,
        password_precedence: PasswordPrecedence | None = None,
        refusal_page: RefusalPage | None = None,
        read_statuses: ReadStatuses | None = None,
    ) -> None:
        self._limits = limits
        self._addresses = Addresses(limits)
        self._connections = Connections(port, limits, self._addresses)
        self._spool = Spool(spool_folder, limits.spool_bytes)
        self._responder = Responder(application, limits=limits, spool=self._spool)
        self._budget = BodyBudget(limits.held_body_bytes)
        self._answers_unread = answers_unread or (lambda _environ: False)
        self._body_limit = body_limit or (lambda _environ: limits.body_bytes)
        self._refuse = refuse or (lambda _environ: None)
        self._password_precedence = password_precedence or (lambda _environ: None)
        self._refusal_page = refusal_page or (lambda _error, _headers: None)
        self._in_progress: Counter[str] = Counter()
        self._closing = closing
        self._held = HeldRequests(limits, read_statuses, stopping=stopping or closing)
        self._is_closing = False

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._threads = Threads(self._limits.threads, most_waiting=self._limits.waiting_requests)
        self._passwords = PasswordThreads()
        loop.call_later(_LOOK_EVERY_S, self._look)

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        peer = scope.client
        headers = scope.headers
        host = host_of(peer)
        forwarded = headers.get_all("x-forwarded-for")
        client = self._addresses.client(host, ",".join(forwarded))
        closes = self._connections.begin(peer) or self._is_closing
        self._in_progress[client.key] += 1
        reading = Reading(client.key)
        held = 0
        try:
            if not client.is_limited and not forwarded and "x-forwarded-for" in headers.keys():  # noqa: SIM118
                raise BadRequest("X-Forwarded-For contains characters that are not ASCII.")
            if client.is_limited and self._in_progress[client.key] > self._limits.connections_per_address:
                raise TooManyConnections(headers={"Retry-After": "1"})
            environ = wsgi_environ(scope, client, keeps_forwarded=self._keeps_forwarded(host))
            refusal = self._refuse(environ)
            if refusal is not None:
                raise refusal
            size = declared_size(headers)
            most = self._body_limit(environ)
            unread = None
            if size == 0:
                environ["wsgi.input"] = io.BytesIO()
            elif environ["REQUEST_METHOD"] in ("GET", "HEAD") or self._answers_unread(environ):
                unread = UnreadBody(lambda: self._body(proto, size, reading, most=most), self._loop)
                environ["wsgi.input"] = unread
            else:
                environ["wsgi.input"] = io.BytesIO(await self._body(proto, size, reading, most=most))
            held = await self._answer(
                proto, environ, client, headers, peer=peer, closes=closes, reading=None if unread else reading
            )
        except ClientIsGoneError:
            self._connections.cut(peer)
            proto.response_empty(400, [("connection", "close")])
        except ThreadaError as error:
            if isinstance(error, RequestTimeout) and client.is_limited:
                self._connections.suspect(client.key)
            proto.response_bytes(*(self._refusal_page(error, headers) or refusal_answer(error, headers)))
        finally:
            self._budget.release(reading)
            self._in_progress[client.key] -= 1
            if not self._in_progress[client.key]:
                del self._in_progress[client.key]
            self._connections.end(peer, size=held)

    async def _body(self, proto: Any, size: int | None, reading: Reading, *, most: int) -> bytes:
        try:
            return await read_body(
                proto,
                size=size,
                reading=reading,
                budget=self._budget,
                limits=self._limits,
                most=most,
            )
        except ServerBusy:
            if self._is_closing:
                raise InstanceStopping from None
            raise

    async def _run(
        self, proto: Any, environ: dict[str, Any], client: Client, headers: Any, *, peer: str, closes: bool
    ) -> int:
        """Run the application on a thread. Return the bytes of its response that the server holds."""
        done: asyncio.Future[tuple[int, bool]] = self._loop.create_future()

        standing = self._standing(client)
        precedence = self._password_precedence(environ)
        if precedence is not None:
            await self._passwords.enter(client.key, precedence)

        def finish(outcome: tuple[int, bool]) -> None:
            if precedence is None:
                self._threads.finished(standing)
            else:
                self._passwords.finished()
                if environ.get(MUST_WAIT) and client.is_limited:
                    self._passwords.pause(client.key)
            if not done.done():
                done.set_result(outcome)

        def job() -> None:
            outcome = (0, False)
            try:
                outcome = self._responder.respond(proto, environ, headers=headers, closes=closes)
            finally:
                self._loop.call_soon_threadsafe(finish, outcome)

        if precedence is None:
            self._threads.submit(job, client=client.key, standing=standing)
        else:
            self._passwords.submit(job, client=client.key)
        held, is_complete = await done
        if not is_complete:
            self._connections.cut(peer)
        return held

    async def _answer(
        self, proto: Any, environ: dict[str, Any], client: Client, *rest: Any, reading: Reading | None, **more: Any
    ) -> int:
        """Run the application, and if it takes the offer to wait, a second time after the wait.

        `reading`: that of the body; None if the body is not read yet.
        """
        offer = self._held.offer(environ) if reading is not None else None
        if offer is None:
            return await self._run(proto, environ, client, *rest, **more)
        assert reading is not None  # noqa: S101 - else there is no offer
        before = without_body(environ)
        try:
            held = await self._run(proto, environ, client, *rest, **more)
            watched = offer.watched
            if offer.is_kept and watched is not None:
                environ.clear()
                self._budget.release(reading)
                waited = await self._waited(offer, proto, client)
                held = await self._run(proto, again(before, watched, waited, offer.message), client, *rest, **more)
            return held
        finally:
            self._held.release(offer)

    async def _waited(self, offer: Offer, proto: Any, client: Client) -> int:
        """Hold a request. Meanwhile it does not count as one in progress, because it uses nothing."""
        self._in_progress[client.key] -= 1
        try:
            return await self._held.wait(offer, proto.client_disconnect())
        finally:
            self._in_progress[client.key] += 1

    def _standing(self, client: Client) -> Standing:
        if self._connections.is_suspect(client.key):
            return Standing.SUSPECT
        return Standing.BUSY if self._in_progress[client.key] > _MANY_IN_PROGRESS else Standing.REGULAR

    def _keeps_forwarded(self, host: str) -> bool:
        return not self._limits.proxies or self._addresses.is_proxy(host)

    def _look(self) -> None:
        """Supervise connections and temporary files, once a second or less often if that takes long."""
        began = time.monotonic()
        try:
            if self._is_closing:  # since the previous look, so that requests on their way were received
                self._budget.evict_all()
                self._connections.close_idle()
            elif self._closing.exists():
                self._is_closing = True
                self._held.interrupt()
            else:
                self._connections.look()
                self._spool.remove_sent(self._connections.paths)
        except Exception:
            log.exception("looking_failed")
        took = time.monotonic() - began
        self._loop.call_later(max(_LOOK_EVERY_S, took * _LOOKING_SHARE), self._look)
