"""The evaluator as a process: isolation, limits, failures, its end."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from policies.documents.policy import parse_policy
from policies.evaluator import process as processes
from policies.evaluator.process import BrokenError, EvaluatorProcess, Limits, StoppedError
from policies.evaluator.sessions import SentList, Session
from policies.language.evaluation import RulebookEntry, compile_policy, evaluate
from policies.language.facts import build_facts
from tests.policies.evaluator.slow import PAYLOAD, slow_spec
from tests.policies.rulebooks import rule, spec
from threada_site.kernel import clock

ROOT = Path(__file__).resolve().parents[3]
LIMITS = Limits(cpu_seconds=5.0, wall_seconds=30.0, memory_bytes=512 * 1024 * 1024)
SMALL = spec(rule("listed", "deny", "item.payload.vendor in lists.vendors"), rule("open", "allow"))


@pytest.fixture
def started() -> Iterator[Any]:
    found: list[EvaluatorProcess] = []

    def start(limits: Limits = LIMITS) -> EvaluatorProcess:
        found.append(EvaluatorProcess(limits))
        return found[-1]

    yield start
    for process in found:
        process.end()


def entry(document: dict[str, Any], policy: str = "payments") -> RulebookEntry:
    return RulebookEntry(policy, "pv_1", "tenant", compile_policy(parse_policy(document)))


def facts(payload: Any) -> dict[str, Any]:
    return build_facts(point="intake", now=clock.now(), payload=payload)


def test_it_imports_neither_django_nor_settings() -> None:
    code = "import sys; import policies.evaluator.child; print(*sorted({n.partition('.')[0] for n in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "cel_expr_python" in imported
    assert not {"django", "rest_framework", "psycopg", "structlog", "telemetry", "integrations"} & imported


def test_a_session_answers_like_this_process(started: Any) -> None:
    session = Session(started())
    lists = {"vendors": ["Initech"]}
    for vendor, outcome in (("Initech", "deny"), ("Hooli", "allow")):
        given = facts({"vendor": vendor})
        verdict = session.verdict([entry(SMALL)], given, {"vendors": SentList("1", lists["vendors"])})
        here = evaluate([entry(SMALL)], {**given, "lists": lists})
        assert (verdict.outcome, verdict.reason_codes, verdict.trace) == (outcome, here.reason_codes, here.trace)
    assert session.verdict([RulebookEntry("odd", "pv_2", "tenant", None)], given, {}).reason_codes == (
        "policy_malformed",
    )


def test_it_gets_no_secret_no_file_and_gives_way(started: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "THREADA_SECRET_KEY", "PGPASSWORD"):
        monkeypatch.setenv(name, "canary-91")
    with Path(__file__).open() as inherited:
        os.set_inheritable(inherited.fileno(), True)
        process = psutil.Process(started().pid)
        assert "canary-91" not in str(process.environ())
        assert __file__ not in {file.path for file in process.open_files()}
    assert process.net_connections() == []
    assert process.nice() == min(os.nice(0) + 10, 19)
    assert Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip() == "800"
    assert process.rlimit(resource.RLIMIT_FSIZE) == (0, 0)
    assert process.rlimit(resource.RLIMIT_NPROC) == (0, 0)
    assert process.rlimit(resource.RLIMIT_AS)[0] == LIMITS.memory_bytes
    # The niceness would count only among the processes of a session of its own (autogroup scheduling).
    assert os.getsid(process.pid) == os.getsid(0)
    assert os.getpgid(process.pid) != os.getpgid(0)


def test_a_rule_that_uses_too_much_processor_time_is_killed_and_named(started: Any) -> None:
    process = started(Limits(0.05, 30.0, LIMITS.memory_bytes))
    session = Session(process)
    assert session.verdict([entry(SMALL)], facts({"vendor": "x"}), {"vendors": SentList("1", [])}).outcome == "allow"
    with pytest.raises(StoppedError) as killed:
        session.verdict([entry(slow_spec(), "expensive")], facts(PAYLOAD), {})
    assert killed.value.policy == "expensive"
    assert killed.value.rule.startswith("loop-")
    assert not process.is_running


def test_time_of_earlier_questions_does_not_count(started: Any) -> None:
    session = Session(started(Limits(0.1, 30.0, LIMITS.memory_bytes)))
    one = entry(slow_spec(4))
    for _ in range(30):
        assert session.verdict([one], facts(PAYLOAD), {}).outcome == "allow"


def test_a_stopped_process_does_not_hold_its_caller(started: Any) -> None:
    process = started(Limits(5.0, 0.5, LIMITS.memory_bytes))
    os.kill(process.pid, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(BrokenError, match="did not answer in time"):
        process.ask({"do": "list", "key": "1", "items": ["x" * 1000] * 1000})
    assert time.monotonic() - began < 10
    assert not process.is_running


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_crash_is_reported(started: Any, number: signal.Signals) -> None:
    process = started()
    os.kill(process.pid, number)
    with pytest.raises(BrokenError, match=number.name):
        process.ask({"do": "list", "key": "1", "items": []})


def test_memory_is_limited(started: Any) -> None:
    process = started(Limits(5.0, 30.0, 128 * 1024 * 1024))
    with pytest.raises(BrokenError):
        process.ask({"do": "list", "key": "1", "items": list(range(20_000_000))})
    assert not process.is_running


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("b'\\xff' * 100", "too large"),
        ("b'\\0\\0\\0\\4' + b'oops'", "not JSON"),
        ("b'\\0\\0\\0\\2' + b'[]'", "not an object"),
        ("b'\\0\\0\\0\\2' + b'{}'", "ready"),
        ("b''", "status 0"),
    ],
)
def test_garbage_is_refused(monkeypatch: pytest.MonkeyPatch, written: str, reason: str) -> None:
    monkeypatch.setattr(processes, "_PROGRAM", f"import os; os.write(1, {written})")
    with pytest.raises(BrokenError, match=reason):
        EvaluatorProcess(LIMITS)


def test_an_answer_of_another_form_ends_the_process(started: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    process = started()
    session = Session(process)
    monkeypatch.setattr(process, "ask", lambda _message: {"verdict": {"outcome": "maybe"}})
    with pytest.raises(BrokenError, match="another form"):
        session.verdict([], facts({}), {})
    assert not process.is_running


def test_a_program_that_cannot_start_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(BrokenError, match="cannot be started"):
        EvaluatorProcess(LIMITS)


def test_it_ends_with_its_parent() -> None:
    code = """
        import sys, time
        from policies.evaluator.process import EvaluatorProcess, Limits
        print(EvaluatorProcess(Limits(5.0, 30.0, 512 << 20)).pid, flush=True)
        time.sleep(60)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    child.wait(20)
    assert not child.is_running()
