"""Fixtures over `http_receiver.py`. Use them with `from tests.receivers.fixtures import receiver` in a conftest."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
TLS_AUTHORITY = HERE / "tls" / "authority.pem"
TLS_SERVER = HERE / "tls" / "server.pem"  # for the name receiver.test


_RUNNING = pytest.StashKey[dict[str, "Receiver"]]()


class Receiver:
    """Running receiver with its requests and behaviours."""

    def __init__(
        self,
        folder: Path,
        *,
        tls: bool = False,
        kind: str = "http_receiver",
        host: str = "127.0.0.1",
        clients: Path | None = None,
    ) -> None:
        self.log_file = folder / "requests.ndjson"
        self.control_file = folder / "behaviour.json"
        self._scheme = "https" if tls else "http"
        self._host = host
        command = [sys.executable, "-m", f"tests.receivers.{kind}", str(self.log_file), str(self.control_file)]
        command += ["--host", host] if host != "127.0.0.1" else []
        command += ["--clients", str(clients)] if clients else []
        self.process = subprocess.Popen(
            [*command, "--tls", str(TLS_SERVER)] if tls else command,
            stdout=subprocess.PIPE,
            text=True,
            cwd=HERE.parents[1],
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    @property
    def url(self) -> str:
        """Return the base URL without a trailing slash."""
        return f"{self._scheme}://{self._host}:{self.port}"

    def behave(self, behaviours: dict[str, dict[str, Any]] | None = None, **rest: Any) -> None:
        """Set behaviours by path prefix; keyword arguments set the default. Takes effect immediately."""
        whole = {**(behaviours or {}), "*": rest}
        fresh = self.control_file.with_suffix(".new")
        fresh.write_text(json.dumps(whole), encoding="utf-8")
        fresh.replace(self.control_file)

    def reset(self) -> bool:
        """Delete all requests and behaviours. Return False if the process has ended."""
        if self.process.poll() is not None:
            return False
        self.control_file.unlink(missing_ok=True)
        with closing(http.client.HTTPConnection(self._host, self.port, timeout=10)) as connection:
            connection.request("RESET", "/")
            return connection.getresponse().status == 204

    def requests(self, path: str | None = None) -> list[dict[str, Any]]:
        """Return all requests in order, or those of one path."""
        if not self.log_file.exists():
            return []
        entries = [json.loads(line) for line in self.log_file.read_text(encoding="utf-8").splitlines()]
        return [entry for entry in entries if path in (None, entry["path"])]

    def wait_for(self, count: int, *, path: str | None = None, timeout_s: float = 10) -> list[dict[str, Any]]:
        """Return the requests as soon as there are `count`; fail the test on timeout."""
        ends = time.monotonic() + timeout_s
        while len(found := self.requests(path)) < count:
            assert time.monotonic() < ends, f"{len(found)} of {count} requests arrived in {timeout_s} s"
            time.sleep(0.02)
        return found

    @contextmanager
    def behind_faults(self, faults: dict[str, dict[str, Any]]) -> Iterator[str]:
        """Return the base URL of a proxy in front of this receiver that breaks answers."""
        control = self.control_file.with_name("faults.json")
        control.write_text(json.dumps(faults), encoding="utf-8")
        command = [sys.executable, "-m", "tests.receivers.fault_proxy", str(control), str(self.port)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parents[1]) as proxy:
            assert proxy.stdout is not None
            try:
                yield f"http://127.0.0.1:{int(proxy.stdout.readline())}"
            finally:
                proxy.kill()

    def stop(self) -> None:
        """End the process; its port then refuses connections."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def receiver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Receiver:
    """Run an HTTP receiver on loopback in its own process."""
    return _shared(request.config, "http_receiver", tmp_path_factory)


@pytest.fixture
def tls_receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """Run a TLS receiver with a certificate for `receiver.test` by `TLS_AUTHORITY`."""
    running = Receiver(tmp_path_factory.mktemp("tls_receiver"), tls=True)
    yield running
    running.stop()


@pytest.fixture
def mcp_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Receiver:
    """Run an MCP server on loopback in its own process. Its address is `{url}/mcp`."""
    return _shared(request.config, "mcp_server", tmp_path_factory)


@pytest.fixture
def collector(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Receiver:
    """Run an OTLP collector on loopback in its own process."""
    return _shared(request.config, "otlp_collector", tmp_path_factory)


def _shared(config: pytest.Config, kind: str, folders: pytest.TempPathFactory) -> Receiver:
    """Return the receiver that tests of this process share, or a new one if it has ended."""
    running = config.stash.setdefault(_RUNNING, {})
    if kind not in running or not running[kind].reset():
        running[kind] = Receiver(folders.mktemp(kind), kind=kind)
        config.add_cleanup(running[kind].stop)
    return running[kind]
