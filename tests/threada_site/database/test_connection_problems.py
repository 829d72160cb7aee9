"""Wrong addresses of databases end in one sentence with a remedy."""

from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest
from django.conf import settings

from tests.ports import free_port
from threada_site import postgres
from threada_site.database.bootstrap import is_superuser, prepare
from threada_site.database.connection_problems import connection_problem
from threada_site.environment import postgresql_url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://u:secret@h/db", "not an address that begins with mysql://"),
        ("h:5432/db", "It has no scheme"),
        ("postgresql://u:secret@h:port/db", "Its host or port cannot be read"),
        ("postgresql://u:secret@h:99999/db", "Its host or port cannot be read"),
    ],
)
def test_address_of_another_form_is_refused(url: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(SystemExit) as refused:
        postgresql_url("DATABASE_URL")
    assert str(refused.value).startswith("DATABASE_URL must be postgresql://user:password@host:5432/database")
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["", "host=h dbname=d", "postgres://u@[::1]:5432/d", "postgresql:///d?host=/tmp"])
def test_address_of_libpq_is_accepted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert postgresql_url("DATABASE_URL") == url


@pytest.mark.django_db
def test_superuser_may_name_a_database_that_does_not_exist() -> None:
    cluster = postgres.ensure_running(settings.THREADA_DATA_DIR)
    name = f"threada_new_{free_port()}"
    url = cluster.url(user=cluster.superuser, dbname=name)
    assert is_superuser(url)
    prepare(cluster.conninfo(user=cluster.superuser, dbname=name), database=name)
    try:
        assert is_superuser(url)
    finally:
        with psycopg.connect(cluster.url(user=cluster.superuser, dbname="postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name}")  # type: ignore[arg-type]
    with pytest.raises(psycopg.OperationalError) as refused:
        is_superuser(cluster.url(user="threada_app", dbname=name))
    said = connection_problem(refused.value)
    assert f'database "{name}" does not exist. Set DATABASE_URL to a superuser once' in said


def test_up_names_a_refused_port_and_a_remedy() -> None:
    """Without a traceback, and without the password."""
    url = f"postgresql://u:secret@127.0.0.1:{free_port()}/d"
    done = subprocess.run(
        [sys.executable, "manage.py", "up", "--port", str(free_port())],
        cwd=settings.THREADA_BASE_DIR,
        env={"DATABASE_URL": url, "PATH": "/usr/bin:/bin", "THREADA_DATA_DIR": str(settings.THREADA_DATA_DIR)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "No PostgreSQL listens there. Start it, or correct host and port in DATABASE_URL." in line
    assert "secret" not in done.stdout + done.stderr
