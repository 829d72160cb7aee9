"""The supervisor of the processes of one machine."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.adversarial.waiting import until
from threada_site.runtime.accounts import ProcessAccount
from threada_site.runtime.backup import timer
from threada_site.runtime.backup.timer import BackupTimer
from threada_site.runtime.supervisor import Assignment, Supervisor


@pytest.mark.parametrize(
    "has_account",
    [
        False,
        pytest.param(True, marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can take other accounts")),
    ],
)
def test_process_under_an_account_of_its_own_has_no_access_to_the_terminal(*, has_account: bool) -> None:
    """In root's session it could put commands into root's terminal. Signals of a terminal reach neither."""
    accounts = {"web": asdict(ProcessAccount(61184, 61184, ()))} if has_account else {}
    supervisor = Supervisor(
        Assignment(
            commands={"web": ["sleep", "60"]},
            environments={"web": {}},
            accounts=accounts,
            health_url="",
            banner="",
            ready_file="",
            embedded_root=None,
            stops_database=False,
        )
    )
    supervisor._start("web")
    process = supervisor._processes["web"]
    try:
        assert os.getpgid(process.pid) == process.pid
        assert os.getsid(process.pid) == (process.pid if has_account else os.getsid(0))
    finally:
        process.kill()
        process.wait()


def test_scheduled_backups_run_one_at_a_time_and_failures_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(timer, "FIRST_AFTER_S", 0.0)
    monkeypatch.setattr(timer, "EVERY_S", 0.0)
    said = tmp_path / "said"
    backups = BackupTimer(("sh", "-c", f'echo "$THREADA_DATA_DIR" >> {said}; exec sleep 60'), data_dir="/data")
    backups.check()
    until(said.exists)
    backups.check()
    backups.stop()
    backups.check()
    assert "backup ended with status" in capfd.readouterr().err
    until(lambda: said.read_text() == "/data\n/data\n")
    backups.stop()
    BackupTimer((), data_dir="").check()
