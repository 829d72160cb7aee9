"""`manage.py check --deploy` reports nothing, and each exception is explained where it is silenced."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

HTTPS = {"THREADA_PUBLIC_URL": "https://threada.example.org"}


def check(**environment: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if name != "THREADA_PUBLIC_URL"}
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=settings.THREADA_BASE_DIR,
        env=plain | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("proxy", [{}, {"THREADA_TRUSTED_PROXY": "true"}])
def test_an_instance_with_an_https_address_has_no_finding(proxy: dict[str, str]) -> None:
    done = check(**HTTPS, **proxy)
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_plain_http_is_reported() -> None:
    done = check()
    assert done.returncode == 1
    assert done.stderr.count("?: (") == 1
    assert "security.W004" in done.stderr


def test_a_weak_key_is_reported() -> None:
    done = check(**HTTPS, THREADA_SECRET_KEY="short")
    assert done.returncode == 1
    assert "security.W009" in done.stderr


def test_each_silenced_check_has_a_reason_beside_it() -> None:
    text = (Path(settings.THREADA_BASE_DIR) / "threada_site" / "settings" / "security.py").read_text()
    lines = text.partition("SILENCED_SYSTEM_CHECKS = [\n")[2].partition("\n]")[0].splitlines()
    explained = False
    for line in lines:
        if line.strip().startswith("#"):
            explained = True
        elif "#" in line:
            explained = False
        else:
            assert explained, line
    assert len([line for line in lines if line.strip().startswith('"')]) == len(settings.SILENCED_SYSTEM_CHECKS)
