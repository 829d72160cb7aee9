"""Operation of one instance by its commands: a second `up`, `status`, a full disk, `down`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.adversarial.server import REPOSITORY, Server, running_server
from threada_site import postgres

pytestmark = pytest.mark.adversarial


def test_an_instance_is_operated_by_its_commands(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
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

        status, said = manage(server, "down")
        assert status == 0, said
        assert "Nothing runs on this data directory any more." in said
        assert server.process.wait(60) == 0
        assert postgres.status(tmp_path / "data") is None
        status, said = manage(server, "status", "--json")
        assert status == 1
        assert "Not running: web, worker, sealer." in said
        assert manage(server, "down") == (0, "Nothing was running.\n")
        assert postgres.status(tmp_path / "data") is None  # no command has started it


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
