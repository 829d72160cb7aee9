"""Responses: at once, by the path of a file, through a temporary file, or through a pipe when the disk space is used."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.threada_site.runtime.web.rsgi import Headers, Protocol
from threada_site.runtime.web.limits import Limits
from threada_site.runtime.web.responses import IN_MEMORY, Application, Responder
from threada_site.runtime.web.spool import Spool

BLOCK = b"0123456789abcdef" * 4_096


class Reader(Protocol):
    """A protocol that reads the file it is given in a thread, like the server."""

    def response_file(self, status: int, headers: list[tuple[str, str]], path: str) -> None:
        super().response_file(status, headers, path)
        self.thread = threading.Thread(target=self._read, args=[path])
        self.thread.start()

    def _read(self, path: str) -> None:
        with Path(path).open("rb") as file:
            self.body = file.read()


class Body:
    """An iterable of blocks that remembers whether it was closed."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = blocks
        self.is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._blocks)

    def close(self) -> None:
        self.is_closed = True


def application(body: Any, *headers: tuple[str, str]) -> Application:
    def run(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        start("200 OK", list(headers))
        return body(environ) if callable(body) else body

    return run


def respond(
    run: Application, folder: Path, *, method: str = "GET", closes: bool = False, spool: Spool | None = None
) -> tuple[Reader, tuple[int, bool]]:
    proto = Reader()
    responder = Responder(run, limits=Limits(send_s=1), spool=spool or Spool(folder, 100 * IN_MEMORY))
    environ = {"REQUEST_METHOD": method, "PATH_INFO": "/x"}
    outcome = responder.respond(proto, environ, headers=Headers(), closes=closes)
    if hasattr(proto, "thread"):
        proto.thread.join(10)
    return proto, outcome


def test_small_response_is_given_at_once(tmp_path: Path) -> None:
    body = Body([b"a", b"b"])
    proto, outcome = respond(application(body, ("x-a", "1")), tmp_path)
    assert (proto.status, proto.body, proto.headers) == (200, b"ab", {"x-a": "1"})
    assert outcome == (2, True)
    assert body.is_closed


def test_last_response_of_a_connection_says_so(tmp_path: Path) -> None:
    proto, _ = respond(application([b"a"]), tmp_path, closes=True)
    assert proto.headers["connection"] == "close"


def test_large_response_goes_through_a_temporary_file_that_is_removed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 100 * IN_MEMORY)
    body = Body(BLOCK for _ in range(40))
    proto, (held, is_complete) = respond(application(body), tmp_path, spool=spool)
    assert proto.body == BLOCK * 40
    assert proto.headers["content-length"] == str(len(BLOCK) * 40)
    assert is_complete
    assert held < IN_MEMORY
    assert body.is_closed
    assert [str(path) for path in tmp_path.iterdir()] == [proto.path]
    spool.remove_sent(set())
    assert list(tmp_path.iterdir())  # the server may not have opened it yet
    spool.opened_within_s = 0.0
    spool.remove_sent({proto.path})
    assert list(tmp_path.iterdir())
    spool.remove_sent(set())
    assert list(tmp_path.iterdir()) == []
    assert spool.reserve(spool.new_path(), 100 * IN_MEMORY)


def test_response_beyond_the_disk_space_goes_through_a_pipe(tmp_path: Path) -> None:
    proto, outcome = respond(
        application(Body(BLOCK for _ in range(64))), tmp_path, spool=Spool(tmp_path, IN_MEMORY * 2)
    )
    assert proto.body == BLOCK * 64
    assert outcome[1]
    assert "content-length" not in proto.headers
    assert list(tmp_path.iterdir()) == []


def test_pipe_that_nobody_reads_ends_as_an_incomplete_response(tmp_path: Path) -> None:
    responder = Responder(
        application(Body(BLOCK for _ in range(64))), limits=Limits(send_s=1), spool=Spool(tmp_path, IN_MEMORY * 2)
    )
    proto = Protocol()
    opened: list[Any] = []
    thread = threading.Thread(target=lambda: opened.append(_opened(tmp_path)))
    thread.start()
    outcome = responder.respond(proto, {"REQUEST_METHOD": "GET", "PATH_INFO": "/x"}, headers=Headers(), closes=False)
    thread.join(10)
    opened[0].close()
    assert outcome == (0, False)
    assert list(tmp_path.iterdir()) == []


def _opened(folder: Path) -> Any:
    while True:
        for path in folder.iterdir():
            if path.is_fifo():
                return path.open("rb")


def test_only_some_threads_send_through_pipes(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 0)
    responder = Responder(application(Body(BLOCK for _ in range(64))), limits=Limits(threads=1), spool=spool)
    assert responder._pipes.acquire(blocking=False)
    proto = Protocol()
    responder.respond(proto, {"REQUEST_METHOD": "GET", "PATH_INFO": "/x"}, headers=Headers(), closes=False)
    assert proto.status == 503
    assert json.loads(proto.body)["reason_code"] == "server_busy"


def test_file_is_given_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "large.js"
    file.write_bytes(BLOCK * 2)
    run = application(lambda environ: environ["wsgi.file_wrapper"](file.open("rb")))
    proto, outcome = respond(run, tmp_path)
    assert (proto.path, proto.body) == (str(file), BLOCK * 2)
    assert outcome[0] < len(BLOCK) * 3


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_small_file_is_given_at_once(tmp_path: Path, method: str) -> None:
    file = tmp_path / "small.js"
    file.write_bytes(b"a" * 100)
    run = application(lambda environ: environ["wsgi.file_wrapper"](file.open("rb")))
    proto, _ = respond(run, tmp_path, method=method)
    assert (proto.path, proto.body) == ("", b"a" * 100)


def failing(blocks: int) -> Iterator[bytes]:
    for _ in range(blocks):
        yield BLOCK
    raise RuntimeError


@pytest.mark.parametrize("blocks", [0, 1, 40])
def test_application_that_fails_while_it_answers_gives_500(tmp_path: Path, blocks: int) -> None:
    proto, outcome = respond(application(Body(failing(blocks))), tmp_path)
    assert proto.status == 500
    assert json.loads(proto.body)["reason_code"] == "internal_error"
    assert outcome[1]
    assert list(tmp_path.iterdir()) == []


def test_application_that_fails_in_a_pipe_leaves_an_incomplete_response(tmp_path: Path) -> None:
    _, outcome = respond(application(Body(failing(64))), tmp_path, spool=Spool(tmp_path, IN_MEMORY * 2))
    assert outcome == (0, False)
