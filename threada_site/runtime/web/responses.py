"""Responses of the WSGI application, given to the server in a way that slow readers cost neither threads nor memory.

Small responses are given at once, files by their path. The server's own streams have no back-pressure, so a larger
response goes to a temporary file first. One that exceeds the disk space is sent through a pipe, which occupies a thread
while its client keeps up.
"""

from __future__ import annotations

import io
import os
import select
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog

from threada_site.kernel.errors import InternalError, ServerBusy, ThreadaError
from threada_site.runtime.web.held_requests import keep_back
from threada_site.runtime.web.limits import Limits
from threada_site.runtime.web.refusals import Headers, refusal_answer
from threada_site.runtime.web.spool import Spool

log = structlog.get_logger("threada.web")

IN_MEMORY: Final = 1024 * 1024
_FILES_FROM: Final = 64 * 1024
"""Size from which a static file is given by its path."""
_PIECE: Final = 128 * 1024
_OPENED_WITHIN_S: Final = 5.0

type Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class FileWrapper:
    """`wsgi.file_wrapper`: a file as an iterable of blocks, recognised by `Responder`."""

    def __init__(self, file: Any, block_size: int = 8192) -> None:
        self.file = file
        self._block_size = block_size
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self) -> Iterator[bytes]:
        while block := self.file.read(self._block_size):
            yield block


class _Start:
    """`start_response`: keeps status and headers."""

    __slots__ = ("headers", "status")

    def __init__(self) -> None:
        self.status = 500
        self.headers: Headers = []

    def __call__(self, status: str, headers: Headers, exc_info: Any = None) -> None:
        self.status = int(status[:3])
        self.headers = headers


class Responder:
    """Runs the application for one request after another, on the threads of the process."""

    def __init__(self, application: Application, *, limits: Limits, spool: Spool) -> None:
        self._application = application
        self._limits = limits
        self._spool = spool
        self._pipes = threading.BoundedSemaphore(max(1, limits.threads // 2))

    def respond(self, proto: Any, environ: dict[str, Any], *, headers: Any, closes: bool) -> tuple[int, bool]:
        """Run the application and give its response to the server.

        The response of a request that is to be held is not given. Return the bytes that the server now holds, and False
        if the response is incomplete, so that the connection has to be cut. `headers`: those of the request. `closes`:
        the connection ends with this response.
        """
        answer = _Answer(proto, is_head=environ["REQUEST_METHOD"] == "HEAD", closes=closes)
        start = _Start()
        body: Iterable[bytes] = ()
        try:
            environ["wsgi.file_wrapper"] = FileWrapper
            body = self._application(environ, start)
            if keep_back(environ, start.status):
                return 0, True
            return self._give(answer, start, body)
        except Exception as error:
            if answer.is_begun:
                log.warning("response_cut", path=environ["PATH_INFO"], error=type(error).__name__)
                return 0, False
            structlog.contextvars.clear_contextvars()  # those of an earlier request, if this one set none
            refusal = error if isinstance(error, ThreadaError) else InternalError()
            if refusal.status == 500:
                log.exception("application_failed", path=environ["PATH_INFO"])
            proto.response_bytes(*refusal_answer(refusal, headers))
            return 0, True
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                with suppress(Exception):
                    close()

    def _give(self, answer: _Answer, start: _Start, body: Iterable[bytes]) -> tuple[int, bool]:
        if isinstance(body, FileWrapper) and answer.give_file(start, body.file):
            return _PIECE, True
        pieces: list[bytes] = []
        size = 0
        blocks = iter(body)
        for piece in blocks:
            pieces.append(piece)
            size += len(piece)
            if size > IN_MEMORY:
                return self._give_large(answer, start, _chained(pieces, blocks)), True
        answer.give_bytes(start, pieces[0] if len(pieces) == 1 else b"".join(pieces))
        return size, True

    def _give_large(self, answer: _Answer, start: _Start, blocks: Iterator[bytes]) -> int:
        path = self._spool.new_path()
        try:
            with path.open("wb") as file:
                size = 0
                for piece in blocks:
                    if not self._spool.reserve(path, len(piece)):
                        file.flush()
                        self._give_through_pipe(answer, start, path, _chained([piece], blocks))
                        self._spool.remove(path)
                        return 0
                    file.write(piece)
                    size += len(piece)
        except BaseException:
            self._spool.remove(path)
            raise
        self._spool.give(path)
        answer.give_path(start, str(path), size=size)
        return _PIECE

    def _give_through_pipe(self, answer: _Answer, start: _Start, written: Path, rest: Iterator[bytes]) -> None:
        """Send what is in the file `written`, then the rest."""
        if not self._pipes.acquire(blocking=False):
            raise ServerBusy("Too many large responses are being sent. Retry later.", headers={"Retry-After": "10"})
        fifo = self._spool.new_path()
        try:
            os.mkfifo(fifo, 0o600)
            answer.give_path(start, str(fifo), size=None)
            pipe = _Pipe(_opened(fifo), self._limits)
            try:
                with written.open("rb") as file:
                    for block in iter(lambda: file.read(_PIECE), b""):
                        pipe.write(block)
                for block in rest:
                    pipe.write(block)
            finally:
                pipe.close()
        finally:
            self._spool.remove(fifo)
            self._pipes.release()


class _Answer:
    """The response to one request. It can be given once."""

    def __init__(self, proto: Any, *, is_head: bool, closes: bool) -> None:
        self._proto = proto
        self._is_head = is_head
        self._closes = closes
        self.is_begun = False

    def give_bytes(self, start: _Start, body: bytes) -> None:
        self.is_begun = True
        self._proto.response_bytes(start.status, self._headers(start, None), body)

    def give_path(self, start: _Start, path: str, *, size: int | None) -> None:
        self.is_begun = True
        self._proto.response_file(start.status, self._headers(start, size), path)

    def give_file(self, start: _Start, file: Any) -> bool:
        """Give an open regular file by its path. Return False if it has none, or is small."""
        name = getattr(file, "name", None)
        if self._is_head or not isinstance(name, str) or not os.path.isabs(name):  # noqa: PTH117
            return False
        if not isinstance(file, io.BufferedReader) or file.tell() != 0:
            return False
        size = os.fstat(file.fileno()).st_size
        if size < _FILES_FROM:
            return False
        self.give_path(start, name, size=size)
        return True

    def _headers(self, start: _Start, size: int | None) -> Headers:
        headers = start.headers
        if self._closes:
            headers = [*headers, ("connection", "close")]
        if size is not None and not any(name.lower() == "content-length" for name, _ in headers):
            headers = [*headers, ("content-length", str(size))]
        return headers


class _Pipe:
    """Writing end of a pipe to the server. A client that reads too slowly ends it with `TimeoutError`."""

    def __init__(self, descriptor: int, limits: Limits) -> None:
        self._descriptor = descriptor
        self._limits = limits
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._began = time.monotonic()
        self._written = 0

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if not self._poll.poll(self._limits.send_s * 1000):
                raise TimeoutError
            with suppress(BlockingIOError):
                count = os.write(self._descriptor, view)
                view = view[count:]
                self._written += count
            late = time.monotonic() - self._began - self._limits.send_s
            if late > 0 and self._written < late * self._limits.bytes_per_second:
                raise TimeoutError

    def close(self) -> None:
        os.close(self._descriptor)


def _opened(fifo: Path) -> int:
    """Return the writing end of a named pipe once the server has opened the other one."""
    deadline = time.monotonic() + _OPENED_WITHIN_S
    while True:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def _chained(pieces: list[bytes], blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the pieces, releasing each, and then the blocks."""
    while pieces:
        yield pieces.pop(0)
    yield from blocks
