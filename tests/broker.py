"""RabbitMQ node for tests: free ports, temporary directory, removed afterwards.

Uses Debian's package (`apt-get install rabbitmq-server`); the node that the package may have started is not used.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from functools import cache
from pathlib import Path
from typing import Final

import psutil
import pytest

from tests.ports import free_port

PROGRAM: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
SECONDS_TO_START: Final = 120.0
PASSWORD: Final = "guest-of-the-tests"  # must not occur in any log


class Broker:
    """One node, which a test may kill and start again; confirmed messages survive."""

    def __init__(self, folder: Path, *, address: str = "127.0.0.1") -> None:
        self._folder = folder
        self._address = address
        self._port, self._epmd = free_port(), free_port()
        self._distribution = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._write_configuration()

    @property
    def url(self) -> str:
        return f"amqp://threada:{PASSWORD}@{self._address}:{self._port}//"

    def environment(self) -> dict[str, str]:
        """Return the environment of the processes of one instance, with its own queues."""
        return {
            "THREADA_ENGINE": "celery",
            "THREADA_BROKER_URL": self.url,
            "THREADA_BROKER_PREFIX": f"test-{uuid.uuid4().hex[:8]}",
        }

    def start(self) -> None:
        log = (self._folder / "node.log").open("ab")
        self._process = subprocess.Popen(
            [str(PROGRAM)],
            env={"PATH": os.environ["PATH"], "HOME": str(self._folder), "LANG": "C.UTF-8", **self._variables()},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        ends = time.monotonic() + SECONDS_TO_START
        while not self._answers():
            assert self._process.poll() is None, self.said()
            assert time.monotonic() < ends, self.said()
            time.sleep(0.1)

    def kill(self) -> None:
        """Kill the node like a lost machine, without any cleanup."""
        assert self._process is not None
        for process in [*psutil.Process(self._process.pid).children(recursive=True), psutil.Process(self._process.pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name() != "epmd":
                    process.kill()
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self.kill()
        for process in psutil.process_iter(["name", "environ"]):
            own = (process.info["environ"] or {}).get("ERL_EPMD_PORT") == str(self._epmd)
            if own and process.pid != os.getpid() and process.info["name"] in ("epmd", "erl_child_setup", "beam.smp"):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

    def said(self) -> str:
        """Return the logs of the node."""
        return "".join(path.read_text(errors="replace")[-4000:] for path in sorted(self._folder.rglob("*.log")))

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self._address, self._port), 1) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                connection.settimeout(2)
                return connection.recv(1) == b"\x01"  # a method frame: connection.start
        except OSError:
            return False

    def _write_configuration(self) -> None:
        (self._folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = {self._address}:{self._port}\n"
            f"default_user = threada\ndefault_pass = {PASSWORD}\n"
            "disk_free_limit.absolute = 50MB\nlog.console = false\n"
        )
        (self._folder / "enabled_plugins").write_text("[].\n")

    def _variables(self) -> dict[str, str]:
        base = self._folder
        return {
            "RABBITMQ_NODENAME": f"threada{self._port}@localhost",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_NODE_IP_ADDRESS": self._address,
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_MNESIA_BASE": str(base / "mnesia"),
            "RABBITMQ_LOG_BASE": str(base / "log"),
            "RABBITMQ_CONFIG_FILE": str(base / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(base / "no-conf-env"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(base / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(base / "node.pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel "
            "inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(self._epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }


def engine_environment() -> dict[str, str]:
    """Return the environment for the engine of this run (THREADA_ENGINE)."""
    is_celery = os.environ.get("THREADA_ENGINE") == "celery"
    return shared_broker().environment() if is_celery else {}


@cache
def shared_broker() -> Broker:
    """Return the broker of this run, started on first use. Skip the test if it cannot be started."""
    require_broker()
    folder = Path(tempfile.mkdtemp(prefix="threada-broker-"))
    broker = Broker(folder)
    broker.start()

    def end() -> None:
        broker.stop()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return broker


def require_broker() -> None:
    """Skip unless RabbitMQ is installed."""
    if not PROGRAM.exists():
        pytest.skip("RabbitMQ is not installed; as root: apt-get install -y --no-install-recommends rabbitmq-server")
