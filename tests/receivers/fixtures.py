"""Fixtures over `http_receiver.py`. Use them with `from tests.receivers.fixtures import receiver` in a conftest."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
TLS_AUTHORITY = HERE / "tls" / "authority.pem"
TLS_SERVER = HERE / "tls" / "server.pem"  # for the name receiver.test


class Receiver:
    """A running receiver: what it was sent, and how it behaves."""

    def __init__(
        self, folder: Path, *, tls: bool = False, kind: str = "http_receiver", host: str = "127.0.0.1"
    ) -> None:
        self.log_file = folder / "requests.ndjson"
        self.control_file = folder / "behaviour.json"
        self._scheme = "https" if tls else "http"
        self._host = host
        command = [sys.executable, "-m", f"tests.receivers.{kind}", str(self.log_file), str(self.control_file)]
        command += ["--host", host] if host != "127.0.0.1" else []
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
        """The base URL, without a slash at its end."""
        return f"{self._scheme}://{self._host}:{self.port}"

    def behave(self, behaviours: dict[str, dict[str, Any]] | None = None, **rest: Any) -> None:
        """Behaviours by path prefix; keyword arguments are the behaviour of every other path. Takes effect at once."""
        whole = {**(behaviours or {}), "*": rest}
        fresh = self.control_file.with_suffix(".new")
        fresh.write_text(json.dumps(whole), encoding="utf-8")
        fresh.replace(self.control_file)

    def requests(self, path: str | None = None) -> list[dict[str, Any]]:
        """Every request so far, in order, or those of one path."""
        if not self.log_file.exists():
            return []
        entries = [json.loads(line) for line in self.log_file.read_text(encoding="utf-8").splitlines()]
        return [entry for entry in entries if path in (None, entry["path"])]

    def wait_for(self, count: int, *, path: str | None = None, timeout_s: float = 10) -> list[dict[str, Any]]:
        """The requests, as soon as there are `count` of them; fails the test when the time is up."""
        ends = time.monotonic() + timeout_s
        while len(found := self.requests(path)) < count:
            assert time.monotonic() < ends, f"{len(found)} of {count} requests arrived in {timeout_s} s"
            time.sleep(0.02)
        return found

    @contextmanager
    def behind_faults(self, faults: dict[str, dict[str, Any]]) -> Iterator[str]:
        """The base URL of a proxy that passes everything on to this receiver, and spoils its answers as told."""
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
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """An HTTP receiver on loopback in its own process."""
    running = Receiver(tmp_path_factory.mktemp("receiver"))
    yield running
    running.stop()


@pytest.fixture
def tls_receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """The same over TLS, with a certificate for `receiver.test` by the authority in `TLS_AUTHORITY`."""
    running = Receiver(tmp_path_factory.mktemp("tls_receiver"), tls=True)
    yield running
    running.stop()


@pytest.fixture
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """An OTLP collector on loopback in its own process."""
    running = Receiver(tmp_path_factory.mktemp("collector"), kind="otlp_collector")
    yield running
    running.stop()
