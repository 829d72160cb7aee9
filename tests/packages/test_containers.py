"""Definitions of containers: Containerfile, compose.yaml and Caddyfile."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.packages.tools import tools

pytestmark = pytest.mark.packages
FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "operations" / "containers"


def test_containerfile_has_no_findings() -> None:
    ran = subprocess.run([tools() / "hadolint", FOLDER / "Containerfile"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "")


def test_compose_file_is_valid_and_gives_each_process_its_login() -> None:
    command = [tools() / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", FOLDER / "compose.yaml"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    assert services.keys() == {"caddy", "web", "worker", "sealer", "migrate", "database"}
    ours = {name: service for name, service in services.items() if "THREADA_PUBLIC_URL" in service["environment"]}
    assert ours.keys() == {"web", "worker", "sealer", "migrate"}
    for name, service in ours.items():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert ("DATABASE_URL" in service["environment"]) == (name == "web")
        assert ("THREADA_PLATFORM_DATABASE_URL" in service["environment"]) == (name != "web")
    assert services["sealer"]["networks"] == ["back"]
    assert [name for name, service in services.items() if "ports" in service] == ["caddy"]


@pytest.mark.skipif(shutil.which("caddy") is None, reason="needs caddy")
def test_caddyfile_is_valid(tmp_path: Path) -> None:
    """Caddy 2.6, which Debian has, has older words for the buffer of requests than the Caddy of compose.yaml."""
    text = (FOLDER / "Caddyfile").read_text()
    version = subprocess.run(["caddy", "version"], capture_output=True, text=True, check=True).stdout
    assert "request_buffers 22MB" in text
    if version.lstrip("v").startswith("2.6."):
        text = text.replace("request_buffers 22MB", "buffer_requests\n\t\tmax_buffer_size 22MB")
    (tmp_path / "Caddyfile").write_text(text)
    ran = subprocess.run(
        ["caddy", "validate", "--adapter", "caddyfile", "--config", tmp_path / "Caddyfile"],
        capture_output=True, text=True, check=False, env={**os.environ, "THREADA_HOST": "threada.example.org"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
