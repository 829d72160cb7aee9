"""The evaluator: a process that answers questions about rules on a pipe. Imports no Django, and only pure modules.

It has no database, no secrets and no other open files. Policies and lists are sent once and then named by key. The
rule that runs is written to shared memory first, so that the parent can name it after a kill. The kernel ends the
process when one question uses more processor time than allowed: the engine cannot be interrupted from within.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import resource
import signal
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from policies.evaluator.messages import (
    HEAD_BYTES,
    Message,
    entries_from_json,
    policy_test_from_json,
    rule_from_json,
    verdict_json,
)
from policies.language.budget import CHECK_SECONDS, CpuBudget
from policies.language.evaluation import CompiledPolicy, compile_policy, engine_failure, evaluate
from policies.language.rule_tests import failure_of
from policies.language.rules import PolicyDocument

STATUS_BYTES: Final = 4096
LOADING_SECONDS: Final = 10.0
"""Processor time to compile one policy or read one list."""
_NICENESS: Final = 10
_OOM_SCORE: Final = b"800"
_SEPARATOR: Final = "\n"


class Status:
    """Shared memory that names the policy and the rule that run: a length of two bytes, then the text."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, STATUS_BYTES)

    def write(self, policy: str, rule: str) -> None:
        """Name the rule. The length is written last, so that a kill in between leaves no wrong name."""
        text = f"{policy}{_SEPARATOR}{rule}".encode()[: STATUS_BYTES - 2]
        self._memory[:2] = b"\0\0"
        self._memory[2 : 2 + len(text)] = text
        self._memory[:2] = struct.pack("!H", len(text))

    def read(self) -> tuple[str, str]:
        """Return policy and rule; both are "" if none has run."""
        (length,) = struct.unpack("!H", self._memory[:2])
        policy, _, rule = self._memory[2 : 2 + min(length, STATUS_BYTES - 2)].decode(errors="replace").partition("\n")
        return policy, rule

    def clear(self) -> None:
        self._memory[:2] = b"\0\0"


class Evaluator:
    """Answers messages. Policies and lists are stored under the keys that the parent chose."""

    def __init__(self, status: Status, cpu_seconds: float) -> None:
        self._status = status
        self._cpu_seconds = cpu_seconds
        self._policies: dict[int, CompiledPolicy] = {}
        self._lists: dict[str, list[Any]] = {}
        self._budget = CpuBudget(CHECK_SECONDS)

    def answer(self, message: Message) -> Message:
        """Return the answer; an exception is answered with its name, because its text may contain facts."""
        actions: dict[str, tuple[float, Callable[[Message], Message]]] = {
            "policy": (LOADING_SECONDS, self._policy),
            "list": (LOADING_SECONDS, self._list),
            "evaluate": (self._cpu_seconds, self._evaluate),
            "test": (self._cpu_seconds, self._test),
        }
        seconds, action = actions[message["do"]]
        self._status.clear()
        signal.setitimer(signal.ITIMER_PROF, seconds)  # its default action ends the process
        try:
            return action(message)
        except Exception as error:  # noqa: BLE001 - answered by name
            return {"exception": type(error).__name__}
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    def _policy(self, message: Message) -> Message:
        rules = tuple(map(rule_from_json, message["rules"]))
        compiled = self._policies[message["key"]] = compile_policy(PolicyDocument(None, rules))
        self._budget = CpuBudget(CHECK_SECONDS)
        return {"lists": None if compiled.lists is None else sorted(compiled.lists)}

    def _list(self, message: Message) -> Message:
        self._lists[message["key"]] = message["items"]
        return {}

    def _evaluate(self, message: Message) -> Message:
        entries = entries_from_json(message["entries"], self._policies)
        facts = {**message["facts"], "lists": self._named_lists(message)}
        try:
            verdict = evaluate(entries, facts, announce=self._status.write)
        except Exception as error:  # noqa: BLE001 - an engine defect must deny
            verdict = engine_failure(type(error).__name__)
        return {"verdict": verdict_json(verdict)}

    def _test(self, message: Message) -> Message:
        if self._budget.is_used_up:
            return {"is_used_up": True}
        failure = failure_of(
            policy_test_from_json(message["test"]),
            self._policies[message["key"]],
            policy=message["policy"],
            lists=self._named_lists(message),
            announce=self._status.write,
        )
        return {"failure": failure and failure.detail}

    def _named_lists(self, message: Message) -> dict[str, list[Any]]:
        return {name: self._lists[key] for name, key in message["lists"].items()}


def main(status_descriptor: int, cpu_seconds: float, memory_bytes: int) -> None:
    """Answer messages from standard input until it ends."""
    _limit(memory_bytes)
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # what a library prints must not become a message
        os.dup2(nothing, descriptor)
    evaluator = Evaluator(Status(status_descriptor), cpu_seconds)
    _send(sink, {"ready": True})
    while True:
        head = source.read(HEAD_BYTES)
        if len(head) < HEAD_BYTES:
            os._exit(0)  # the parent has closed the pipe, or has ended
        _send(sink, evaluator.answer(orjson.loads(source.read(int.from_bytes(head)))))


def _send(sink: BinaryIO, message: Message) -> None:
    sent = orjson.dumps(message)
    sink.write(len(sent).to_bytes(HEAD_BYTES) + sent)
    sink.flush()


def _limit(memory_bytes: int) -> None:
    """Give up what an evaluation does not need, for good."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, whose end ends this process
    os.nice(_NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_bytes(_OOM_SCORE)  # the kernel ends this process before others
    for limit, amount in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 32),
    ):
        resource.setrlimit(limit, (amount, amount))
