"""The container image: built without a daemon, and run from its root file system, which is read-only, without root."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.adversarial.server import REPOSITORY, Server, running_server
from tests.adversarial.waiting import until
from tests.architecture.test_requirements import constraints
from tests.packages.payment import pay
from tests.packages.tools import tools

pytestmark = [
    pytest.mark.packages,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can build and enter a root file system"),
    pytest.mark.skipif(shutil.which("mmdebstrap") is None, reason="needs mmdebstrap"),
]
MOST_MB: Final = 450
USER: Final = 10001
ENTER: Final = """#!/bin/sh
# Run a command in the image: proc and devices as a container has them, data and /tmp writable, all else read-only.
exec unshare --mount --propagation private sh -euc '
root={root} folder={folder}
mount --bind "$root" "$root"
mount --bind "$folder/data" "$root/data"
mount --bind "$folder/tmp" "$root/tmp"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755,size=64k devices "$root/dev"
for name in null zero full random urandom; do touch "$root/dev/$name"; mount --bind "/dev/$name" "$root/dev/$name"; done
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777,size=64m shm "$root/dev/shm"
mount -o remount,bind,ro "$root"
exec chroot --userspec={user} "$root" /usr/bin/env -i {environment} "$@"
' - {words} "$@"
"""


@dataclass(frozen=True)
class Image:
    """A built image. `manifest`: its digest. `root`: its unpacked layer."""

    folder: Path
    manifest: str
    config: dict[str, Any]
    root: Path


def build(folder: Path) -> str:
    """Return the digest of the manifest."""
    command = [tools() / "python", REPOSITORY / ".ci" / "build_image.py", folder]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    (manifest,) = json.loads((folder / "layout" / "index.json").read_text())["manifests"]
    return str(manifest["digest"])


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    folder = tmp_path_factory.mktemp("image")
    digest = build(folder)
    blobs = folder / "layout" / "blobs" / "sha256"
    for blob in blobs.iterdir():
        with blob.open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == blob.name
    manifest = json.loads((blobs / digest.removeprefix("sha256:")).read_text())
    config = json.loads((blobs / manifest["config"]["digest"].removeprefix("sha256:")).read_text())
    root = folder / "root"
    (layer,) = manifest["layers"]
    with tarfile.open(blobs / layer["digest"].removeprefix("sha256:")) as tar:
        tar.extractall(root, filter="fully_trusted", numeric_owner=True)
    return Image(folder, digest, config["config"], root)


def entrance(image: Image, folder: Path, *words: str) -> Path:
    """Write a program that runs `words` and its arguments in the image."""
    (folder / "data").mkdir(exist_ok=True)
    os.chown(folder / "data", USER, USER)
    (folder / "tmp").mkdir(exist_ok=True)
    (folder / "tmp").chmod(0o1777)
    program = folder / f"enter-{Path(words[0]).name}"
    environment = shlex.join([*image.config["Env"], "HOME=/data", "THREADA_LOG_LEVEL=WARNING"])
    program.write_text(
        ENTER.format(
            root=image.root, folder=folder, user=image.config["User"], environment=environment, words=shlex.join(words)
        )
    )
    program.chmod(0o755)
    return program


@pytest.fixture(scope="module")
def instance(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("instance")
    with running_server(folder, program=(str(entrance(image, folder, *image.config["Entrypoint"])),)) as running:
        yield running


def test_size_and_contents(image: Image) -> None:
    parts = json.loads((image.folder / "parts.json").read_text())
    files = [path for path in image.root.rglob("*") if path.is_file() and not path.is_symlink()]
    unpacked = sum(path.lstat().st_size for path in files)
    assert unpacked <= MOST_MB * 10**6, list(parts.items())[:10]
    sbom = (image.root / "usr/share/sbom/threada.cdx.json").read_text()
    assert "BomRef." not in sbom, "a reference made up at random: the digest would change with each build"
    components = json.loads(sbom)["components"]
    listed = {entry["purl"].partition("@")[0]: entry["version"] for entry in components}
    assert listed["pkg:pypi/django"] == constraints()["django"]
    assert {"pkg:pypi/threada", "pkg:deb/debian/libc6", "pkg:deb/debian/python3"} <= listed.keys()
    assert "pkg:pypi/pyarrow" not in listed
    assert (image.config["User"], image.config["Volumes"]) == (f"{USER}:{USER}", {"/data": {}})


def test_payment_in_a_read_only_image_without_root(image: Image, instance: Server) -> None:
    assert pay(instance)["status"] == "succeeded"
    until(lambda: json.loads(instance.manage("status", "--json"))["receipts_unsealed"] == 0)
    assert "demo" in instance.manage("verify_receipts")
    up = instance.process_of_up()
    assert {process.uids().effective for process in (up, *up.children(recursive=True))} == {USER}
    folder = Path(instance.environment["THREADA_DATA_DIR"]).parent
    kind, *check = (word.replace(":8000", f":{instance.port}") for word in image.config["Healthcheck"]["Test"])
    assert kind == "CMD"
    python = entrance(image, folder, *check)
    assert subprocess.run([python], capture_output=True, check=False).returncode == 0
    is_read_only = "import os, sys; sys.exit(not os.statvfs('/').f_flag & os.ST_RDONLY)"
    assert subprocess.run([entrance(image, folder, "python3", "-c", is_read_only)], check=False).returncode == 0


@pytest.mark.skipif(
    os.environ.get("THREADA_NIGHTLY") != "1", reason="builds the image a second time: THREADA_NIGHTLY=1"
)
def test_second_build_has_the_same_digest(image: Image, tmp_path: Path) -> None:
    assert build(tmp_path / "again") == image.manifest
