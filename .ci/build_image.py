"""Build the container image as an OCI layout, without a daemon: `build_image.py DIRECTORY`. Run as root on Debian.

The root file system comes from Debian's packages (mmdebstrap) and from the wheel with its tested versions (uv). Both
are written into one layer of sorted files without times of the build, so that the same sources and Debian packages give
the same digest. User, ports, health check and the rest are those of the last stage of
docs/operations/containers/Containerfile. Beside the layout: `sbom.cdx.json`, and `parts.json` with
the size of each part.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, Final

from image_sbom import debian_packages, written_sbom
from oci_layout import write_layout

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGES: Final = "usr/local/lib/python3.13/dist-packages"
USER: Final = 10001
_UNUSED: Final = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
_REMOVED: Final = (
    "dev", "proc", "sys", "run", "tmp", "boot", "home", "media", "mnt", "opt", "srv", "var/cache", "var/log",
    "var/lib/apt", "var/lib/dpkg/lock", "var/lib/dpkg/lock-frontend", "etc/hostname", "etc/resolv.conf",
    "etc/machine-id",
)  # fmt: skip
_EMPTY: Final = {
    "dev": 0o755,
    "proc": 0o555,
    "sys": 0o555,
    "run": 0o755,
    "tmp": 0o1777,
    "var/log": 0o755,
    "data": 0o700,
    "files": 0o700,
}
_SCRIPT: Final = """#!/usr/bin/python3 -P
import sys
from threada_site.command_line import main
sys.exit(main())
"""
_IMPORTS: Final = "import django; django.setup(); import threada_site.wsgi, threada_site.runtime.web.server"
_COMPILE: Final = """
import pathlib, py_compile, sys
for file in sorted(pathlib.Path(sys.argv[1]).rglob("*.pyc")):
    source = file.parent.parent / (file.name.partition(".")[0] + ".py")
    file.unlink()
    py_compile.compile(source, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
"""


def main(target: Path) -> None:
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or run("git", "log", "-1", "--format=%ct", cwd=ROOT))
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch)
    shutil.rmtree(target, ignore_errors=True)
    tree = target / "rootfs"
    target.mkdir(parents=True)
    install_debian(tree)
    install_wheel(tree, target)
    prepare(tree)
    sbom = target / "sbom.cdx.json"
    sbom.write_text(written_sbom(tree, PACKAGES, epoch=epoch, version=version()))
    (tree / "usr/share/sbom").mkdir()
    shutil.copy(sbom, tree / "usr/share/sbom/threada.cdx.json")
    parts = sizes(tree)
    (target / "parts.json").write_text(json.dumps(parts, indent=1))
    digest = write_layout(tree, target / "layout", epoch=epoch, version=version())
    shutil.rmtree(tree)
    for name, size in list(parts.items())[:10]:
        print(f"{size / 1e6:7.1f} MB  {name}")
    print(f"{sum(parts.values()) / 1e6:7.1f} MB  unpacked\n{digest}")


def run(*words: str | Path, **options: Any) -> str:
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, **options).stdout.strip()


def version() -> str:
    found: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return found


def install_debian(tree: Path) -> None:
    excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in _UNUSED]
    packages = "python3,ca-certificates,libstdc++6,media-types,netbase,tzdata"
    run(
        "mmdebstrap",
        "--quiet",
        "--mode=root",
        "--variant=essential",
        f"--include={packages}",
        *excluded,
        "trixie",
        tree,
    )


def install_wheel(tree: Path, scratch: Path) -> None:
    """Install what the wheel requires without an extra, compared with its hashes, and the wheel."""
    base = {line.partition("==")[0] for line in lines(".ci/wheel-requirements.txt") if "extra ==" not in line}
    hashed = re.split(r"\n(?=\S)", (ROOT / ".ci/requirements.txt").read_text())
    needed = scratch / "requirements.txt"
    needed.write_text("\n".join(entry for entry in hashed if entry.partition("==")[0] in base))
    install = ("uv", "pip", "install", "--quiet", "--no-deps", "--target", tree / PACKAGES, "--python-version", "3.13")
    install = (*install, "--python", sys.executable, "--only-binary", ":all:", "--link-mode", "copy")
    run(*install, "--require-hashes", "-r", needed)
    run("uv", "build", "--quiet", "--wheel", "--out-dir", scratch / "dist", ROOT)
    run(*install, *(scratch / "dist").glob("*.whl"))
    shutil.rmtree(scratch / "dist")
    needed.unlink()


def lines(file: str) -> list[str]:
    return (ROOT / file).read_text().splitlines()


def prepare(tree: Path) -> None:
    """Add the user and the command, compile what is imported at start, and remove what a build leaves behind."""
    site = tree / PACKAGES
    shutil.rmtree(site / "bin")
    for folder in site.glob("*.dist-info"):  # where and when this machine installed it
        record = folder / "RECORD"
        for name in ("direct_url.json", "uv_cache.json", "uv_build.json", "REQUESTED"):
            (folder / name).unlink(missing_ok=True)
        kept = [
            line
            for line in record.read_text().splitlines()
            if (site / line.rpartition(",")[0].rpartition(",")[0]).exists()
        ]
        record.write_text("\n".join(sorted(kept)) + "\n")
    for name in ("threada", "threada-server"):
        (tree / "usr/local/bin" / name).write_text(_SCRIPT)
        (tree / "usr/local/bin" / name).chmod(0o755)
    for file, line in (
        ("etc/passwd", f"threada:x:{USER}:{USER}::/data:/usr/sbin/nologin"),
        ("etc/group", f"threada:x:{USER}:"),
    ):
        (tree / file).write_text((tree / file).read_text() + line + "\n")
    environment = {
        "PATH": "/usr/sbin:/usr/bin",
        "THREADA_DATA_DIR": "/run/build",
        "DJANGO_SETTINGS_MODULE": "threada_site.settings",
    }
    environment |= {"DATABASE_URL": "postgresql://nowhere/threada", "PYTHONHASHSEED": "0"}
    run("chroot", tree, "/usr/bin/python3", "-c", _IMPORTS, env=environment)
    run("chroot", tree, "/usr/bin/python3", "-c", _COMPILE, f"/{PACKAGES}", env=environment)
    for name in _REMOVED:
        path = tree / name
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    for name, mode in _EMPTY.items():
        (tree / name).mkdir(mode=mode)
        (tree / name).chmod(mode)
    for name in ("data", "files"):
        os.chown(tree / name, USER, USER)


def sizes(tree: Path) -> dict[str, int]:
    """Return the bytes of each Python distribution and Debian package, largest first."""
    site, found = tree / PACKAGES, {}
    for distribution in distributions(path=[str(site)]):
        found[f"{distribution.name} (Python)"] = sum(size_of(site / name) for name in files_of(distribution))
    compiled = sum(size_of(path) for path in site.rglob("*.pyc"))
    found["bytecode of the Python packages"] = compiled
    for package in debian_packages(tree):
        listed = tree / "var/lib/dpkg/info"
        names = next(
            (
                f
                for f in (listed / f"{package['Package']}.list", listed / f"{package['Package']}:amd64.list")
                if f.exists()
            ),
            None,
        )
        if names is not None:
            found[f"{package['Package']} (Debian)"] = sum(
                size_of(tree / name[1:]) for name in names.read_text().splitlines()
            )
    everything = sum(size_of(path) for path in tree.rglob("*"))
    found["other files"] = max(everything - sum(found.values()), 0)
    return dict(sorted(found.items(), key=lambda entry: -entry[1]))


def files_of(distribution: Distribution) -> list[str]:
    return [str(file) for file in distribution.files or [] if not str(file).startswith("..") and file.suffix != ".pyc"]


def size_of(path: Path) -> int:
    try:
        state = path.lstat()
    except FileNotFoundError:
        return 0
    return state.st_size if stat.S_ISREG(state.st_mode) else 0


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
