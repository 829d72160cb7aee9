"""Processes of this machine that use one data directory. Imports no Django, and reads neither database nor files.

They are found by their command lines and environments, so that a full disk or a killed supervisor changes nothing. The
supervisor names its data directory in its command line, because other users cannot read its environment. Anybody can
write such a command line, so a supervisor counts only if root, this user or the owner of the directory runs it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from threada_site.environment import IS_INSTALLED, default_data_dir

SUPERVISOR: Final = "threada_site.runtime.supervisor"
KINDS: Final = ("up", "web", "worker", "sealer")
_MODULES: Final = {SUPERVISOR: "up", "threada_site.runtime.web.server": "web"}
_PROGRAMS: Final = ("manage.py", "threada", "threada-server", "threada_site.command_line")


class RunningProcess(NamedTuple):
    """One process. Its forks are not listed."""

    kind: str
    pid: int

    def __str__(self) -> str:
        return f"{self.kind} ({self.pid})"


def processes_of(data_dir: Path, base_dir: Path) -> list[RunningProcess]:
    """Return the running processes of the data directory, supervisor first.

    `base_dir`: folder of the code, whose data directory in a checkout is `.threada` unless another one is set.
    """
    found: dict[int, tuple[str, int]] = {}
    parents: dict[int, int] = {}
    supervisors = set()
    trusted = {0, os.geteuid()}
    with contextlib.suppress(OSError):
        trusted.add(data_dir.stat().st_uid)
    for process in psutil.process_iter(["pid", "ppid", "cmdline", "status", "uids"]):
        line = process.info["cmdline"] or []
        parents[process.info["pid"]] = process.info["ppid"]
        kind = _kind(line)
        if kind is None or process.info["status"] == psutil.STATUS_ZOMBIE:
            continue
        found[process.info["pid"]] = (kind, process.info["ppid"])
        if SUPERVISOR in line and str(data_dir) in line and process.info["uids"].real in trusted:
            supervisors.add(process.info["pid"])
    own = {
        pid: (kind, parent)
        for pid, (kind, parent) in found.items()
        if pid in supervisors or supervisors & set(_ancestors(pid, parents)) or _uses(pid, data_dir, base_dir)
    }
    shown = [RunningProcess(kind, pid) for pid, (kind, parent) in own.items() if own.get(parent, ("", 0))[0] != kind]
    return sorted(shown, key=lambda process: (KINDS.index(process.kind), process.pid))


def missing_kinds(processes: Iterable[RunningProcess], *, is_alone: bool) -> list[str]:
    """Return kinds of processes that should run on this machine and do not.

    Where `up` runs, it runs all. Otherwise other machines may run the missing ones, unless the instance `is_alone` on
    this machine; then at least one process has to run here.
    """
    running = {process.kind for process in processes}
    if running and "up" not in running and not is_alone:
        return []
    return [kind for kind in KINDS[1:] if kind not in running]


def named(processes: Sequence[RunningProcess]) -> str:
    """Return kinds and process ids as text."""
    return ", ".join(map(str, processes))


def _kind(line: Sequence[str]) -> str | None:
    if not line or not Path(line[0]).name.startswith("python"):
        return None  # such as `uv run manage.py up`, whose child it is
    for word in line[1:]:
        if word in _MODULES:
            return _MODULES[word]
    for program, word in pairwise(line[1:]):
        if Path(program).name in _PROGRAMS and word in KINDS:
            return word
    return None


def _ancestors(pid: int, parents: dict[int, int]) -> Iterable[int]:
    seen: set[int] = set()
    while (pid := parents.get(pid, 0)) and pid not in seen:
        seen.add(pid)
        yield pid


def _uses(pid: int, data_dir: Path, base_dir: Path) -> bool:
    """Return True if the environment of the process names the data directory. False if this user may not read it."""
    with contextlib.suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        own = process.environ().get("THREADA_DATA_DIR", "").strip()
        place = Path(process.cwd())
        checkout = place if (place / "manage.py").exists() else base_dir
        default = default_data_dir() if IS_INSTALLED else checkout / ".threada"
        return (place / own if own else default).resolve() == data_dir.resolve()
    return False
