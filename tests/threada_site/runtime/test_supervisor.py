"""The supervisor of the processes of one machine."""

from __future__ import annotations

import os
from dataclasses import asdict

import pytest

from threada_site.runtime.accounts import ProcessAccount
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
