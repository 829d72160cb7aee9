"""One evaluator process, seen from its parent: start, exchange of messages under a deadline, end. Imports no Django.

Every failure ends the process and is one of two exceptions. The next use starts another process.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import orjson

from policies.evaluator.child import STATUS_BYTES, Status
from policies.evaluator.messages import HEAD_BYTES, MOST_BYTES, Message

START_SECONDS: Final = 60.0
"""A start takes 0.3 s of processor time, and longer on a busy machine."""
_ROOT: Final = Path(__file__).resolve().parents[2]
_PROGRAM: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); from policies.evaluator.child import main; "
    "main(int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))"
)
_KEPT: Final = ("PATH", "LANG", "LC_ALL", "TZ", "TZDIR", "LD_LIBRARY_PATH")
"""Environment variables that the process gets: none that may contain an address or a secret."""
_CHUNK: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one process: processor time for one question, time until its answer, memory."""

    cpu_seconds: float
    wall_seconds: float
    memory_bytes: int


class StoppedError(Exception):
    """The process was killed because a rule used up its processor time. `policy` and `rule` are "" if unknown."""

    def __init__(self, policy: str, rule: str) -> None:
        self.policy = policy
        self.rule = rule
        super().__init__(f"{policy}/{rule}")


class BrokenError(Exception):
    """The process could not be started, ended, sent something else than an answer, or sent nothing in time."""

    def __init__(self, reason: str, policy: str = "", rule: str = "") -> None:
        self.reason = reason
        self.policy = policy
        self.rule = rule
        super().__init__(reason)


class EvaluatorProcess:
    """A running evaluator. Not thread-safe: one caller at a time."""

    def __init__(self, limits: Limits) -> None:
        """Start the process and wait until it is ready. Raises `BrokenError`."""
        self._limits = limits
        self.sent_bytes = 0
        descriptor = os.memfd_create("threada-evaluator")
        try:
            os.ftruncate(descriptor, STATUS_BYTES)
            self._status = Status(descriptor)
            self._process = self._started(descriptor)
        finally:
            os.close(descriptor)
        self._sink, self._source = _pipe(self._process.stdin), _pipe(self._process.stdout)
        os.set_blocking(self._sink, False)
        os.set_blocking(self._source, False)
        if self._received(time.monotonic() + START_SECONDS).get("ready") is not True:
            raise self._broken("it did not say that it is ready")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def ask(self, message: Message) -> Message:
        """Return the answer to a message. Raises `StoppedError` and `BrokenError`; the process has ended then."""
        deadline = time.monotonic() + self._limits.wall_seconds
        sent = orjson.dumps(message)
        if len(sent) > MOST_BYTES:
            raise self._broken("the question is too large")
        self.sent_bytes += len(sent)
        self._send(len(sent).to_bytes(HEAD_BYTES) + sent, deadline)
        return self._received(deadline)

    def end(self) -> None:
        """End the process at once. May be called again."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _started(self, descriptor: int) -> subprocess.Popen[bytes]:
        limits = self._limits
        arguments = [str(_ROOT), str(descriptor), str(limits.cpu_seconds), str(limits.memory_bytes)]
        try:
            # In a process group of its own, and in the same session: with autogroup scheduling, a session of its own
            # would get as much processor time as the whole instance, whatever its niceness.
            return subprocess.Popen(
                [sys.executable, "-I", "-c", _PROGRAM, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                cwd="/",
                env={name: os.environ[name] for name in _KEPT if name in os.environ},
                pass_fds=(descriptor,),
                process_group=0,
            )
        except OSError as error:
            raise BrokenError(f"it cannot be started: {error.strerror}") from None

    def _send(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            self._wait(self._sink, select.POLLOUT, deadline)
            try:
                view = view[os.write(self._sink, view[:_CHUNK]) :]
            except BlockingIOError:
                continue
            except OSError:
                raise self._ended() from None

    def _received(self, deadline: float) -> Message:
        size = int.from_bytes(self._read(HEAD_BYTES, deadline))
        if size > MOST_BYTES:
            raise self._broken("its answer is too large")
        try:
            answer = orjson.loads(self._read(size, deadline))
        except orjson.JSONDecodeError:
            raise self._broken("its answer is not JSON") from None
        if not isinstance(answer, dict):
            raise self._broken("its answer is not an object")
        return answer

    def _read(self, size: int, deadline: float) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            self._wait(self._source, select.POLLIN, deadline)
            try:
                chunk = os.read(self._source, min(size - len(parts), _CHUNK))
            except BlockingIOError:
                continue
            if not chunk:
                raise self._ended()
            parts += chunk
        return bytes(parts)

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise self._broken("it did not answer in time")

    def _ended(self) -> Exception:
        """Return the exception for a process that has ended, or is about to, without an answer."""
        try:
            code = self._process.wait(1)
        except subprocess.TimeoutExpired:
            code = None
        self.end()
        policy, rule = self._status.read()
        if code in (-signal.SIGPROF, -signal.SIGXCPU):
            return StoppedError(policy, rule)
        name = signal.Signals(-code).name if code is not None and code < 0 else f"status {code}"
        return BrokenError(f"it ended with {name}", policy, rule)

    def _broken(self, reason: str) -> BrokenError:
        self.end()
        return BrokenError(reason, *self._status.read())


def _pipe(pipe: IO[Any] | None) -> int:
    assert pipe is not None  # noqa: S101 - opened with PIPE
    return pipe.fileno()
