"""Build hooks of the wheel: its commands, and the versions that were tested (`wheel-requirements.txt`).

Neither is in the static part of `pyproject.toml`: `uv run manage.py` installs no project and would warn of commands,
and the code names what it imports without versions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

_MAIN = "threada_site.command_line:main"


class Commands(MetadataHookInterface):
    """Adds `threada`, which runs the client's commands too, and `threada-server`, which is the same."""

    def update(self, metadata: dict[str, Any]) -> None:
        metadata["scripts"] = {"threada": _MAIN, "threada-server": _MAIN}
        # The client's `threada`, which replaces ours if it was installed later, hands over to this.
        metadata["entry-points"] = {"threada.server_commands": {"server": _MAIN}}


class PinnedVersions(BuildHookInterface[Any]):
    """Requires exact versions."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        pins = Path(self.root, ".ci", "wheel-requirements.txt").read_text(encoding="utf-8")
        build_data["dependencies"] = pins.splitlines()
