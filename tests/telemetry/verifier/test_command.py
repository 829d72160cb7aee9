"""The verifier as an auditor runs it: a separate process without the project, the database or a network."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.telemetry.tlog.logs import Log
from tests.telemetry.verifier.conftest import Run
from tests.telemetry.verifier.evidence import FILE, KEY, whole, zipped


def alone(*command: str | Path, cwd: Path, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run a copy in another folder in isolated mode: no current folder, no PYTHONPATH, an empty environment."""
    copy = cwd / "threada_verify.py"
    shutil.copyfile(FILE, copy)
    return subprocess.run(
        [*before, sys.executable, "-I", str(copy), *map(str, command)],
        cwd=cwd, env={}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_verifier_is_a_single_file(tmp_path: Path, log: Log) -> None:
    archive = zipped(whole(tmp_path / "evidence", log))
    done = alone("--key", KEY, archive, "--complete", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("VERIFIED\n")


def test_without_a_network(tmp_path: Path, log: Log) -> None:
    """A separate network namespace has not even a loopback address; a changed byte is detected there as well."""
    if subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("a network namespace cannot be made here: `unshare -n` is not permitted")
    e = whole(tmp_path / "evidence", log)
    offline = ("unshare", "-n")
    probe = "import socket; socket.create_connection(('127.0.0.1', 9), 1)"
    reached = subprocess.run([*offline, sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert "Network is unreachable" in reached.stderr
    done = alone("--key", KEY, zipped(e), "--complete", cwd=tmp_path, before=offline)
    assert (done.returncode, done.stderr) == (0, "")
    lines = (e / "receipts.ndjson").read_bytes()
    (e / "receipts.ndjson").write_bytes(lines.replace(b"done", b"dome", 1))
    assert alone("--key", KEY, e, cwd=tmp_path, before=offline).returncode == 1


def test_it_imports_the_standard_library_and_cryptography_alone_and_reads_as_python_3_10() -> None:
    tree = ast.parse(FILE.read_text(), feature_version=(3, 10))
    modules = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert modules - set(sys.stdlib_module_names) == {"cryptography"}
    assert "socket" not in modules
    assert "typing" in modules  # these names exist since before 3.10
    assert {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "typing"
            for alias in node.names} == {"IO", "Any"}  # fmt: skip
    assert {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "datetime"
            for alias in node.names} == {"datetime", "timedelta", "timezone"}  # fmt: skip


def test_it_runs_on_python_3_10(tmp_path: Path) -> None:
    """Verifies if the package is installed for that Python, and otherwise reports how to install it."""
    found = [Path("/usr/bin/python3.10"), *Path("~/.pyenv/versions").expanduser().glob("3.10.*/bin/python")]
    oldest = next((path for path in found if path.is_file()), None)
    if oldest is None:
        pytest.skip("Python 3.10 is not installed here")
    done = subprocess.run([oldest, "-I", FILE, "--help"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--key KEY evidence.zip" in done.stdout


def test_help_lists_usage_and_exit_status(tmp_path: Path) -> None:
    done = alone("--help", cwd=tmp_path)
    assert done.returncode == 0
    for words in (
        "--key KEY evidence.zip",
        "--proof",
        "--against",
        "Exit status: 0 everything is verified; 1",
        "pip install",
    ):
        assert words in done.stdout


def test_missing_cryptography_is_reported(tmp_path: Path, log: Log) -> None:
    e = whole(tmp_path / "evidence", log)
    shutil.copyfile(FILE, tmp_path / "threada_verify.py")
    command = [sys.executable, "-I", "-S", str(tmp_path / "threada_verify.py")]  # -S: no site-packages
    done = subprocess.run([*command, "--key", KEY, str(e)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "The package `cryptography` is missing: pip install cryptography\n")
    assert subprocess.run([*command, "--help"], capture_output=True, check=False).returncode == 0


def test_wrong_use(run: Run, tmp_path: Path, log: Log) -> None:
    e = whole(tmp_path / "evidence", log)
    lone = tmp_path / "receipt.json"
    lone.write_bytes(log.entries[0])
    cases: list[tuple[tuple[object, ...], str]] = [
        ((), "say which file to check (see --help)"),
        ((tmp_path / "absent",), f"{tmp_path / 'absent'}: no such file"),
        ((e, "--against", tmp_path / "absent"), f"{tmp_path / 'absent'}: No such file or directory"),
        ((e, "--consistency", lone), "--consistency goes with --against"),
        ((lone,), f"{lone} is not evidence: a receipt needs --proof, and a whole log needs --checkpoint"),
        ((lone, "--proof", tmp_path / "absent"), f"{tmp_path / 'absent'}: No such file or directory"),
        ((lone, "--checkpoint", tmp_path / "absent"), f"{tmp_path / 'absent'}: No such file or directory"),
        ((tmp_path,), f"{tmp_path} holds no checkpoint.txt, so it is not evidence"),
    ]
    for arguments, message in cases:
        said = run(*arguments)  # type: ignore[arg-type]
        assert (said.code, said.out, said.err) == (2, "", f"threada_verify.py: {message}\n")
    said = run(e, key=None)
    assert (said.code, "name the trusted key with --key" in said.err) == (2, True)
    for wrong in (KEY[:-1], KEY.replace("+", "+0", 1), "name", "a+b+c", "x" * 5000):
        said = run(e, key=wrong)
        assert (said.code, said.out) == (2, "")
    with pytest.raises(SystemExit) as stopped:
        run(e, "--unknown")
    assert stopped.value.code == 2
