"""Operation of one instance by its commands: a second `up`, `status`, a full disk, `down`."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.adversarial.server import REPOSITORY, Server, running_server
from tests.adversarial.waiting import until
from threada_site import postgres

pytestmark = pytest.mark.adversarial

DISK_MB = 400


@pytest.fixture
def disk() -> Iterator[tuple[Path, bool]]:
    """Return a directory, and True if it is a file system of its own, which can be filled. Only root can mount one."""
    with tempfile.TemporaryDirectory(prefix="threada-disk-") as name:
        place = Path(name)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=755", "tmpfs", name]
        is_mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
        place.chmod(0o755)
        try:
            yield place, is_mounted
        finally:
            postgres.stop(place / "data")
            if is_mounted:
                subprocess.run(["umount", "--lazy", name], check=True)


def test_an_instance_is_operated_by_its_commands(disk: tuple[Path, bool]) -> None:
    place, can_be_filled = disk
    with running_server(place, is_copied=False) as server:
        status, said = manage(server, "status", "--json")
        assert status == 0, said
        facts = json.loads(said)
        assert [process["kind"] for process in facts["processes"]] == ["up", "web", "worker", "sealer"]
        assert facts["missing"] == []
        running = {process["kind"]: process["pid"] for process in facts["processes"]}
        assert running["up"] == server.process.pid

        status, said = manage(server, "up", "--port", str(server.port))
        assert status == 1
        assert all(f"{kind} ({pid})" in said for kind, pid in running.items())
        assert f"at http://127.0.0.1:{server.port}. Stop it with manage.py down" in said

        if can_be_filled:
            fill_the_disk(server, place)

        status, said = manage(server, "down")
        assert status == 0, said
        assert "Nothing runs on this data directory any more." in said
        assert server.process.wait(60) == 0
        assert postgres.status(place / "data") is None
        status, said = manage(server, "status", "--json")
        assert status == 1
        assert "Not running: web, worker, sealer." in said
        assert manage(server, "down") == (0, "Nothing was running.\n")
        assert postgres.status(place / "data") is None  # no command has started it


def fill_the_disk(server: Server, place: Path) -> None:
    """Check that `status` answers on a full disk and that `/readyz` says so, until there is space again."""
    with filled(place):
        until(lambda: server.send("GET", "/readyz").status == 503)
        problem = server.send("GET", "/readyz").json()
        assert problem["reason_code"] == "not_ready"
        assert "write" in problem["detail"]
        status, said = manage(server, "status", "--json")
        assert status == 1, said
        facts, _ = json.JSONDecoder().raw_decode(said[said.index("{") :])
        assert [process["kind"] for process in facts["processes"]] == ["up", "web", "worker", "sealer"]
        assert f"MB are free in {place / 'data'}" in facts["problem"]
    until(lambda: server.send("GET", "/readyz").status == 200)


@contextlib.contextmanager
def filled(place: Path) -> Iterator[None]:
    ballast = place / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 65_536)
        yield
    finally:
        ballast.unlink()


def manage(server: Server, *words: str, **own: Any) -> tuple[int, str]:
    """Run a command against the instance. Return its exit status, and its output with its errors."""
    done = subprocess.run(
        [sys.executable, "manage.py", *words],
        check=False,
        cwd=REPOSITORY,
        env=server.environment | own,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
    )
    return done.returncode, done.stdout
