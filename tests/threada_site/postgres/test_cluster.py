"""Connection parameters for clients."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from threada_site.postgres import Cluster
from threada_site.postgres.postmaster import wait_until


def test_url_and_conninfo_escape_special_characters() -> None:
    cluster = Cluster(Path("/d"), Path("/tmp/a b,&c"), 5432, 1, "postgres")

    assert cluster.url(user="a@b", dbname="x/y") == "postgresql://a%40b@/x%2Fy?host=%2Ftmp%2Fa+b%2C%26c&port=5432"
    assert cluster.conninfo(user="a@b", dbname="x/y") == {
        "host": "/tmp/a b,&c",
        "port": 5432,
        "user": "a@b",
        "dbname": "x/y",
    }


def test_url_and_conninfo_reach_the_server(cluster: Cluster) -> None:
    with psycopg.connect(cluster.url(user=cluster.superuser, dbname="postgres")) as by_url:
        assert by_url.execute("SELECT current_user::text").fetchone() == ("postgres",)
    with psycopg.connect(**cluster.conninfo(user="postgres", dbname="postgres")) as by_keyword:
        assert by_keyword.execute("SELECT current_database()::text").fetchone() == ("postgres",)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("listen_addresses", ""),
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("data_checksums", "on"),
        ("shared_buffers", "64MB"),
        ("max_connections", "100"),
        ("TimeZone", "UTC"),
        ("server_encoding", "UTF8"),
        ("log_min_error_statement", "panic"),
    ],
)
def test_server_is_durable_small_and_private(cluster: Cluster, setting: str, value: str) -> None:
    with psycopg.connect(cluster.url(user="postgres", dbname="postgres")) as connection:
        assert connection.execute("SELECT current_setting(%s)", [setting]).fetchone() == (value,)


def test_text_sorts_by_code_point_on_every_machine(cluster: Cluster) -> None:
    with psycopg.connect(cluster.url(user="postgres", dbname="postgres")) as connection:
        row = connection.execute("SELECT datlocprovider::text, datlocale FROM pg_database WHERE datname = 'template1'")
        assert row.fetchone() == ("b", "C.UTF-8")


def test_errors_leave_no_payload_in_the_log(cluster: Cluster) -> None:
    with psycopg.connect(cluster.url(user="postgres", dbname="postgres"), autocommit=True) as connection:
        connection.execute("CREATE TABLE once (secret text PRIMARY KEY)")
        connection.execute("INSERT INTO once VALUES ('hunter2')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO once VALUES ('hunter2')")

    def log() -> str:
        return "".join(file.read_text() for file in (cluster.data_dir / "log").iterdir())

    assert wait_until(lambda: "duplicate key value" in log(), 5)
    assert "hunter2" not in log()
