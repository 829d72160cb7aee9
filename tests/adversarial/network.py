"""Hosts on one machine: network namespaces on one bridge, each with its own address and a link that can be cut."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

SUBNET: Final = "10.77.0"


def why_not() -> str:
    """Return why such a network cannot be created here, or ""."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "there is no `ip` (iproute2) here"
    probe = f"thr{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"a network namespace cannot be made here: {made.stderr.strip()}"
    bridged = subprocess.run(
        ["ip", "-n", probe, "link", "add", "bridge0", "type", "bridge"], capture_output=True, text=True, check=False
    )
    subprocess.run(["ip", "netns", "del", probe], check=False)
    return "" if bridged.returncode == 0 else f"a bridge cannot be made here: {bridged.stderr.strip()}"


class Network:
    """A switch and its hosts, isolated from the machine's own network."""

    def __init__(self) -> None:
        self._prefix = f"thr{os.getpid()}"
        self._hosts: list[str] = []
        _ip("netns", "add", self._name("switch"))
        _ip("-n", self._name("switch"), "link", "add", "bridge0", "type", "bridge")
        _ip("-n", self._name("switch"), "link", "set", "bridge0", "up")

    def add(self, host: str, number: int) -> str:
        """Add a host to the switch and return its address."""
        switch, own = self._name("switch"), self._name(host)
        address = f"{SUBNET}.{number}"
        _ip("netns", "add", own)
        self._hosts.append(host)
        _ip("-n", switch, "link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", own)
        _ip("-n", switch, "link", "set", host, "master", "bridge0", "up")
        _ip("-n", own, "addr", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", own, "link", "set", "eth0", "up")
        _ip("-n", own, "link", "set", "lo", "up")
        return address

    @contextmanager
    def cut_off(self, host: str) -> Iterator[None]:
        """Disconnect the host during the block."""
        _ip("-n", self._name("switch"), "link", "set", host, "down")
        try:
            yield
        finally:
            _ip("-n", self._name("switch"), "link", "set", host, "up")

    @contextmanager
    def inside(self, host: str) -> Iterator[None]:
        """Run this thread, and processes it starts, on that host during the block."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            self._enter(host)
            yield
        finally:
            os.setns(before, os.CLONE_NEWNET)
            os.close(before)

    def start(self, host: str, command: Sequence[str | Path], **options: Any) -> subprocess.Popen[Any]:
        """Start a process on that host, whichever host this thread is on."""
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self._started, host, command, options).result()

    def close(self) -> None:
        for host in [*self._hosts, "switch"]:
            subprocess.run(["ip", "netns", "del", self._name(host)], check=False)

    def _started(self, host: str, command: Sequence[str | Path], options: dict[str, Any]) -> subprocess.Popen[Any]:
        self._enter(host)
        return subprocess.Popen(command, **options)

    def _enter(self, host: str) -> None:
        namespace = os.open(f"/run/netns/{self._name(host)}", os.O_RDONLY)
        try:
            os.setns(namespace, os.CLONE_NEWNET)
        finally:
            os.close(namespace)

    def _name(self, host: str) -> str:
        return f"{self._prefix}-{host}"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
