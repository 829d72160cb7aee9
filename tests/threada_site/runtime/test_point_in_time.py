"""Recovery of the embedded database to a moment, as docs/operations/point-in-time.md says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings

from tests.adversarial.waiting import until
from threada_site import postgres
from threada_site.postgres.account import account_for
from threada_site.postgres.home import find_home

PAGE = settings.THREADA_BASE_DIR / "docs" / "operations" / "point-in-time.md"
pytestmark = pytest.mark.adversarial


@pytest.fixture
def root() -> Iterator[Path]:
    """Return a data directory that the account of the server can reach."""
    folder = Path(tempfile.mkdtemp(prefix="threada-moment-"))
    folder.chmod(0o755)
    yield folder
    home = find_home(folder)
    postgres.stop(folder)
    shutil.rmtree(folder)
    if home is not None:
        shutil.rmtree(home, ignore_errors=True)


def connected(root: Path) -> psycopg.Connection[tuple[object, ...]]:
    cluster = postgres.ensure_running(root)
    return psycopg.connect(cluster.url(user=cluster.superuser, dbname="postgres"), autocommit=True)


def test_the_database_is_recovered_to_a_moment_as_the_page_says(root: Path, tmp_path: Path) -> None:
    text = PAGE.read_text().replace("/backups", str(root / "backups"))
    [lines] = re.findall(r"```ini\n(.*?)```", text, re.DOTALL)
    copy, recover = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    connected(root).close()
    home = find_home(root)
    assert home is not None
    (root / "backups" / "wal").mkdir(parents=True)
    account_for(home / "data").own(root / "backups" / "wal")
    with (home / "data" / "postgresql.conf").open("a") as file:
        file.write(lines)
    postgres.stop(root)
    with connected(root) as database:
        command = [sys.executable, *copy.split()[2:]]
        environment = {**os.environ, "THREADA_DATA_DIR": str(root), "DATABASE_URL": ""}
        subprocess.run(command, check=True, cwd=settings.THREADA_BASE_DIR, env=environment, capture_output=True)
        database.execute("CREATE TABLE kept AS SELECT 'before'::text AS word")
        [moment] = database.execute("SELECT clock_timestamp()::text").fetchone() or ()
        database.execute("INSERT INTO kept VALUES ('after')")
        [segment] = database.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone() or ()
        until((root / "backups" / "wal" / str(segment)).is_file)
    postgres.stop(root)
    script = recover.replace("2026-11-27 12:00:00+00", str(moment))
    subprocess.run(["sh", "-ec", script], check=True, env={**os.environ, "POSTGRES": str(home)})
    with connected(root) as database:
        assert database.execute("SELECT word FROM kept").fetchall() == [("before",)]
        database.execute("INSERT INTO kept VALUES ('later')")  # recovery has ended
