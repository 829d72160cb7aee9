"""Settings of the image: the instructions of the last stage of the Containerfile."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from dockerfile_parse import DockerfileParser

CONTAINERFILE: Final = Path(__file__).resolve().parents[1] / "docs" / "operations" / "containers" / "Containerfile"


def image_settings() -> dict[str, Any]:
    """Return the instructions of the last stage as the configuration of an image."""
    found: dict[str, Any] = {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}
    for name, value in last_stage():
        if name == "ENV":
            found["Env"] += re.findall(r"\S+=\S+", value)
        elif name in _READERS:
            key, read = _READERS[name]
            found[key] = read(value)
    return found


def last_stage() -> Iterator[tuple[str, str]]:
    with CONTAINERFILE.open("rb") as file:
        instructions = [(entry["instruction"], entry["value"]) for entry in DockerfileParser(fileobj=file).structure]
    begin = max(number for number, (name, _) in enumerate(instructions) if name == "FROM")
    yield from instructions[begin + 1 :]


def health_check(value: str) -> dict[str, Any]:
    """Return the check as Docker reads it, with times in nanoseconds. Other programs have checks of their own."""
    options = dict(re.findall(r"--([a-z-]+)=(\d+)", value))
    times = {"Interval": "interval", "Timeout": "timeout", "StartPeriod": "start-period"}
    test = json.loads(value[value.index("[") :])
    return {"Test": ["CMD", *test], "Retries": int(options["retries"])} | {
        key: int(options[name]) * 10**9 for key, name in times.items()
    }


_READERS: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    "USER": ("User", str),
    "WORKDIR": ("WorkingDir", str),
    "STOPSIGNAL": ("StopSignal", str),
    "EXPOSE": ("ExposedPorts", lambda value: {f"{value}/tcp": {}}),
    "VOLUME": ("Volumes", lambda value: {path: {} for path in json.loads(value)}),
    "LABEL": ("Labels", lambda value: dict(re.findall(r'(\S+)="([^"]*)"', value))),
    "ENTRYPOINT": ("Entrypoint", json.loads),
    "CMD": ("Cmd", json.loads),
    "HEALTHCHECK": ("Healthcheck", health_check),
}
