"""Processes of one data directory: their list, the lock of `up`, and their end when the supervisor is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from django.conf import settings

from tests.ports import free_port
from threada_site.postgres.postmaster import is_alive, wait_until
from threada_site.runtime.data_directory_lock import DataDirectoryInUseError, lock_data_directory
from threada_site.runtime.processes import SUPERVISOR, RunningProcess, missing_kinds, processes_of

BASE = Path(settings.THREADA_BASE_DIR)
SUPERVISE = """
import os, sys
from threada_site.runtime.data_directory_lock import lock_data_directory
from threada_site.runtime.supervisor import Assignment, take_over
from threada_site.runtime.web.options import web_command
from pathlib import Path
data, port = sys.argv[1:]
web = web_command(
    host="127.0.0.1", port=int(port), processes=2, application="tests.threada_site.runtime.web.served_application:application"
)
take_over(Assignment(
    commands={"web": web, "worker": ["sleep", "600"]},
    environments={"web": {}, "worker": {}},
    accounts={},
    health_url=f"http://127.0.0.1:{port}/",
    banner="ready",
    ready_file=f"{data}/ready",
    embedded_root=None,
    stops_database=False,
    data_dir=data,
    lock=lock_data_directory(Path(data), address=f"http://127.0.0.1:{port}"),
))
"""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[psutil.Process]:
    """Run a supervisor with a web server of two workers and another process."""
    command = [sys.executable, "-c", SUPERVISE, str(tmp_path), str(free_port())]
    with subprocess.Popen(command, cwd=BASE, env=dict(os.environ), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        running = psutil.Process(process.pid)
        began = running.children(recursive=True)
        yield running
        process.kill()
        for child in began:
            if child.is_running():
                child.kill()


def test_processes_end_with_their_killed_supervisor(supervisor: psutil.Process, tmp_path: Path) -> None:
    running = processes_of(tmp_path, BASE)
    assert [process.kind for process in running] == ["up", "web"]  # `sleep` is no process of the product
    assert running[0].pid == supervisor.pid
    assert processes_of(tmp_path / "other", BASE) == []
    with pytest.raises(DataDirectoryInUseError) as refused:
        lock_data_directory(tmp_path, address="")
    assert refused.value.address.startswith("http://127.0.0.1:")
    children = supervisor.children(recursive=True)
    assert len(children) == 4
    supervisor.kill()
    assert wait_until(lambda: not any(map(is_alive, children)), 60)
    os.close(lock_data_directory(tmp_path, address=""))
    assert processes_of(tmp_path, BASE) == []


def test_web_workers_end_with_their_killed_main_process(supervisor: psutil.Process, tmp_path: Path) -> None:
    """They would keep the port, which the next main process needs."""
    [web] = [process.pid for process in processes_of(tmp_path, BASE) if process.kind == "web"]
    workers = psutil.Process(web).children()
    assert len(workers) == 2
    psutil.Process(web).kill()
    assert wait_until(lambda: not any(map(is_alive, workers)), 60)


def test_processes_of_another_data_directory_are_not_listed(tmp_path: Path) -> None:
    """Found by their environment, also if no supervisor started them."""
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)", "manage.py", "worker"]
    with subprocess.Popen(
        command, env={**os.environ, "THREADA_DATA_DIR": str(tmp_path)}, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert processes_of(tmp_path, BASE) == [RunningProcess("worker", process.pid)]
        assert processes_of(tmp_path / "elsewhere", BASE) == []
        process.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run a process as another user")
def test_a_command_line_of_another_user_is_no_supervisor(tmp_path: Path) -> None:
    """Otherwise it would hide an outage from `status`, and `down` would wait for it."""
    line = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)", SUPERVISOR, str(tmp_path)]
    for user, expected in ((65534, []), (0, ["up"])):
        with subprocess.Popen(line, user=user, cwd="/", stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert [found.kind for found in processes_of(tmp_path, BASE)] == expected
            process.kill()


def test_missing_processes() -> None:
    up, web = RunningProcess("up", 1), RunningProcess("web", 2)
    assert missing_kinds([up, web], is_alone=False) == ["worker", "sealer"]
    assert missing_kinds([web], is_alone=False) == []
    assert missing_kinds([web], is_alone=True) == ["worker", "sealer"]
    assert missing_kinds([], is_alone=False) == ["web", "worker", "sealer"]
