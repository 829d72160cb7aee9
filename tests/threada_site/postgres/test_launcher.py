"""Attach, status, stop, and their error messages."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path

import psutil
import pytest

from threada_site.postgres import (
    BinariesMissing,
    Cluster,
    DataDirectoryMoved,
    DirectoryNotOurs,
    LauncherBusy,
    StartFailed,
    VersionMismatch,
    binaries,
    ensure_running,
    launcher,
    status,
    stop,
)
from threada_site.postgres.configuration import prune_logs
from threada_site.postgres.home import find_home
from threada_site.postgres.postmaster import is_alive


def test_attaching_takes_about_a_millisecond(shared_root: Path, cluster: Cluster) -> None:
    taken = []
    for _ in range(20):
        before = time.perf_counter()
        assert ensure_running(shared_root) == cluster
        taken.append(time.perf_counter() - before)
    assert sorted(taken)[10] < 0.005  # median; measured 0.2 ms


def test_status_finds_the_server_and_starts_none(shared_root: Path, cluster: Cluster, tmp_path: Path) -> None:
    assert status(shared_root) == cluster
    assert status(tmp_path / "nothing") is None
    assert not (tmp_path / "nothing").exists()


def test_stop_without_a_server_does_nothing(tmp_path: Path) -> None:
    stop(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_first_start_reports_progress_and_stop_leaves_nothing(root: Path) -> None:
    said: list[str] = []
    cluster = ensure_running(root, on_progress=said.append)
    assert [line.split()[0] for line in said] == ["Creating", "Starting"]

    processes, ends = list[psutil.Process](), time.monotonic() + 10
    while (
        len(processes) < 6 and time.monotonic() < ends
    ):  # it accepts connections before all its own processes have started
        processes = [psutil.Process(cluster.pid), *psutil.Process(cluster.pid).children(recursive=True)]
    assert len(processes) == 6
    stop(root)
    assert [process for process in processes if is_alive(process)] == []
    assert not cluster.socket_dir.exists()
    assert status(root) is None

    said.clear()
    assert ensure_running(root, on_progress=said.append).data_dir == cluster.data_dir
    assert said == ["Starting PostgreSQL"]


def test_settings_of_the_operator_are_kept_and_take_precedence(root: Path) -> None:
    cluster = ensure_running(root)
    stop(root)
    with (cluster.data_dir / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(StartFailed, match="no_such_setting"):
        ensure_running(root)


def test_other_major_version_is_refused_with_advice(root: Path) -> None:
    cluster = ensure_running(root)
    stop(root)
    (cluster.data_dir / "PG_VERSION").write_text("17\n")
    with pytest.raises(VersionMismatch, match=r"made by PostgreSQL 17, and 18\.\d+ is installed.*pg_dumpall"):
        ensure_running(root)


def test_missing_binaries_are_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "PACKAGE", "no_such_package")
    with pytest.raises(BinariesMissing, match="DATABASE_URL"):
        ensure_running(root)


def test_lock_timeout_is_reported(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root.mkdir()
    monkeypatch.setattr(launcher, "SECONDS_FOR_LOCK", 0.05)
    with (root / "postgres.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LauncherBusy, match=r"postgres\.lock"):
            ensure_running(root)


def test_moved_data_directory_reports_where_its_database_is(tmp_path: Path) -> None:
    (tmp_path / "postgres.location").write_text("/var/lib/threada/0123456789abcdef\n")
    with pytest.raises(DataDirectoryMoved, match="mv '/var/lib/threada/0123456789abcdef'"):
        find_home(tmp_path)


def test_empty_marker_of_a_killed_start_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "postgres.location").touch()
    assert find_home(tmp_path) is None


def test_socket_directory_of_another_user_is_refused(root: Path, tmp_path: Path) -> None:
    cluster = ensure_running(root)
    stop(root)
    cluster.socket_dir.symlink_to(tmp_path)
    try:
        with pytest.raises(DirectoryNotOurs, match="Find out who created it"):
            ensure_running(root)
    finally:
        cluster.socket_dir.unlink()


def test_old_logs_are_removed_and_links_are_not_followed(tmp_path: Path) -> None:
    log = tmp_path / "data" / "log"
    log.mkdir(parents=True)
    for number in range(15):
        (log / f"server-{number:02}.log").touch()
    (log / "kept").touch()
    prune_logs(tmp_path / "data")
    assert sorted(entry.name for entry in log.iterdir()) == [
        "kept",
        *(f"server-{number:02}.log" for number in range(5, 15)),
    ]

    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "log").symlink_to(log)
    for number in range(15, 30):
        (log / f"server-{number:02}.log").touch()
    prune_logs(tmp_path / "other")
    assert len(list(log.iterdir())) == 26
