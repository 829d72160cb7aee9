"""Two logins on a real server: the web's may take no role, and the product works with both."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from telemetry.log.key_file import KeyFile
from tests.ports import free_port
from threada_site.database.logins import scram_verifier
from threada_site.environment import BASE_DIR
from threada_site.postgres import Cluster, ensure_running, stop
from threada_site.postgres.binaries import locate
from threada_site.postgres.home import service_home
from threada_site.runtime.web.options import web_command

METRICS_TOKEN = "a-token-for-monitoring"

pytestmark = pytest.mark.slow


def manage(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        check=False, cwd=BASE_DIR, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def psql(cluster: Cluster, script: str) -> None:
    done = subprocess.run(
        [locate().install / "bin" / "psql", "-X", "-q", cluster.url(user=cluster.superuser, dbname="postgres")],
        check=False, input=script, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


class Instance:
    """A server with both logins, and the settings of a web machine and of the other machines."""

    def __init__(self, cluster: Cluster, folder: Path, script: str, said: str) -> None:
        self.cluster, self.script = cluster, script
        urls = dict(re.findall(r"^(\w+)=postgresql://(.*)$", said, re.MULTILINE))
        plain = {
            name: value
            for name, value in os.environ.items()
            if name not in ("DATABASE_URL", "THREADA_PLATFORM_DATABASE_URL", "THREADA_PROCESS")
        }
        plain |= {
            "THREADA_DATA_DIR": str(folder / "machine"),
            "THREADA_LOG_FORMAT": "json",
            "THREADA_METRICS_TOKEN": METRICS_TOKEN,
        }
        self.passwords = {name: rest.partition(":")[2].partition("@")[0] for name, rest in urls.items()}
        self.users = {name: rest.partition(":")[0] for name, rest in urls.items()}
        self.web = plain | {"DATABASE_URL": self._url("DATABASE_URL")}
        self.platform = plain | {
            "THREADA_PLATFORM_DATABASE_URL": self._url("THREADA_PLATFORM_DATABASE_URL"),
        }
        self.both = self.platform | self.web

    def _url(self, name: str) -> str:
        place = f"host={self.cluster.socket_dir}&port={self.cluster.port}"
        return f"postgresql://{self.users[name]}:{self.passwords[name]}@/threada?{place}"


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    folder = tmp_path_factory.mktemp("logins")
    root = folder / "server"
    try:
        cluster = ensure_running(root)
        environment = {**os.environ, "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
        printed = manage(environment, "database_logins", "--host", "db.internal")
        assert printed.returncode == 0, printed.stderr
        psql(cluster, printed.stdout)
        made = Instance(cluster, folder, printed.stdout, printed.stderr)
        migrated = manage(made.platform, "migrate", "-v", "0")
        assert migrated.returncode == 0, migrated.stderr
        yield made
    finally:
        stop(root)
        shutil.rmtree(service_home(root.resolve()), ignore_errors=True)


@contextmanager
def running_web(environment: dict[str, str]) -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen(web_command(host="127.0.0.1", port=port, processes=1), cwd=BASE_DIR, env=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        ends = time.monotonic() + 120
        while get(f"{url}/healthz")[0] != 200:
            assert time.monotonic() < ends
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def get(url: str, token: str = "") -> tuple[int, str]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def test_script_is_idempotent_and_contains_no_password(instance: Instance) -> None:
    psql(instance.cluster, instance.script)
    assert sorted(instance.users.items()) == [
        ("DATABASE_URL", "threada_app"),
        ("THREADA_PLATFORM_DATABASE_URL", "threada_platform_login"),
    ]
    assert not any(password in instance.script for password in instance.passwords.values())
    kept = manage(instance.platform, "database_logins", "--keep-passwords")
    assert (kept.returncode, kept.stderr) == (0, "")
    assert "PASSWORD" not in kept.stdout
    psql(instance.cluster, kept.stdout)


@pytest.mark.parametrize("role", ["threada_platform", "threada_owner", "threada_platform_gate", "postgres"])
def test_web_login_takes_no_role(instance: Instance, role: str) -> None:
    url = instance.web["DATABASE_URL"]
    with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))


def test_platform_login_takes_both_roles_and_inherits_neither(instance: Instance) -> None:
    made = manage(instance.platform, "create_tenant", "acme")
    assert made.returncode == 0, made.stderr
    count = "SELECT count(*) FROM tenancy_role"
    with psycopg.connect(instance.platform["THREADA_PLATFORM_DATABASE_URL"]) as connection:
        assert connection.execute(count).fetchone() == (0,)
        connection.execute("SET ROLE threada_owner")
        connection.execute("SET ROLE threada_platform")
        found = connection.execute(count).fetchone()
        assert found is not None
        assert found[0] > 0
    checked = manage(instance.platform, "check_tenancy")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_web_works_with_its_own_login_and_shows_metrics_of_a_worker(instance: Instance) -> None:
    made = manage(instance.platform, "create_tenant", "web", "--steward", "nora")
    assert made.returncode == 0, made.stderr
    issued = manage(
        instance.platform, "create_credential", "--tenant", "web", "--principal", "bot", "--kind", "service",
        "--owner", "nora", "--role", "requester", "--scopes", "workitems:read",
    )  # fmt: skip
    assert issued.returncode == 0, issued.stderr
    with running_web(instance.both) as url:
        assert get(f"{url}/readyz") == (200, '{"status":"ready"}')
        assert get(f"{url}/work-items", issued.stdout.strip())[0] == 200
        status, metrics = get(f"{url}/metrics", METRICS_TOKEN)
        assert status == 200
        assert "threada_clock_skew_seconds" in metrics
        assert "threada_jobs_waiting" not in metrics
        worker = subprocess.Popen([sys.executable, "manage.py", "worker"], cwd=BASE_DIR, env=instance.platform)
        try:
            ends = time.monotonic() + 120
            while "threada_jobs_waiting" not in (metrics := get(f"{url}/metrics", METRICS_TOKEN)[1]):
                assert time.monotonic() < ends
                time.sleep(1.0)
        finally:
            worker.terminate()
            assert worker.wait(30) == 0
    assert re.search(r"^threada_figures_age_seconds [0-9.e-]+$", metrics, re.MULTILINE)
    assert re.search(r"^threada_jobs_waiting \d", metrics, re.MULTILINE)


@pytest.fixture(scope="module")
def keys_are_known(instance: Instance) -> None:
    """Start a process with the keys of the instance, which are those of all later ones."""
    assert manage(instance.platform, "instance", "check").returncode == 0


@pytest.mark.usefixtures("keys_are_known")
@pytest.mark.parametrize(
    ("process", "variable"),
    [
        (("worker",), "THREADA_CURSOR_KEY"),
        (("worker",), "THREADA_SECRETS_KEY"),
        (("web", "--port", "0"), "THREADA_CURSOR_KEY"),
        (("rotate_secrets",), "THREADA_SECRETS_KEY"),
        (("up", "--no-demo"), "THREADA_PEOPLE_KEY"),
        (("instance", "check"), "THREADA_SECRET_KEY"),
    ],
)
def test_machine_with_another_key_is_refused(instance: Instance, process: tuple[str, ...], variable: str) -> None:
    words = (*process, "--port", str(free_port())) if process[0] == "up" else process
    refused = manage({**instance.both, variable: "another-key-of-at-least-thirty-two-characters"}, *words)
    assert refused.returncode == 1
    assert f"{variable} is not the key that this instance was started with: " in refused.stderr
    assert "Traceback" not in refused.stderr


def test_sealer_with_another_key_is_refused(instance: Instance, tmp_path: Path) -> None:
    sealed = manage(instance.platform, "sealer", "--once")
    assert sealed.returncode == 0, sealed.stderr
    other = tmp_path / "sealing_key"
    KeyFile(other).create("elsewhere")
    elsewhere = {**instance.platform, "THREADA_SEALING_KEY_FILE": str(other)}
    refused = manage(elsewhere, "sealer", "--once")
    assert refused.returncode == 1
    assert "is not the one that this instance is sealed with" in refused.stderr
    missing = {**elsewhere, "THREADA_SEALING_KEY_FILE": str(tmp_path / "none"), "THREADA_ANCHOR_DIR": str(tmp_path)}
    manage(missing, "sealer", "--once")
    assert not (tmp_path / "none").exists()


def test_stopping_web_keeps_serving_and_is_not_ready(instance: Instance) -> None:
    port = free_port()
    command = [sys.executable, "manage.py", "web", "--port", str(port), "--processes", "1", "--drain", "3"]
    process = subprocess.Popen(command, cwd=BASE_DIR, env=instance.web)
    try:
        ends = time.monotonic() + 120
        while get(f"http://127.0.0.1:{port}/readyz")[0] != 200:
            assert time.monotonic() < ends
            time.sleep(0.1)
        kept = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        kept.request("GET", "/healthz")
        assert kept.getresponse().read() == b'{"status":"alive"}'
        process.terminate()
        asked = time.monotonic()
        time.sleep(0.2)
        statuses = []
        while time.monotonic() - asked < 2.5:
            kept.request("GET", "/readyz")
            answer = kept.getresponse()
            statuses.append((answer.status, json.loads(answer.read()).get("reason_code")))
            assert get(f"http://127.0.0.1:{port}/healthz")[0] == 200
            time.sleep(0.1)
        assert set(statuses) == {(503, "stopping")}
        assert process.wait(20) == 0
        assert time.monotonic() - asked > 3
    finally:
        process.kill()
        process.wait()


def test_schema_is_not_changed_without_the_platform_login(instance: Instance) -> None:
    said = manage(instance.web, "migrate", "-v", "0")
    assert said.returncode == 1
    assert "may not take the role threada_owner" in said.stderr


def test_web_login_that_could_take_the_platform_role_is_refused(instance: Instance) -> None:
    with psycopg.connect(
        instance.cluster.url(user=instance.cluster.superuser, dbname="threada"), autocommit=True
    ) as superuser:
        superuser.execute("GRANT threada_platform TO threada_app")
        try:
            refused = manage(instance.both, "up", "--no-demo", "--port", str(free_port()))
            with running_web(instance.both) as url:
                status, answer = get(f"{url}/readyz")
            with running_web(instance.web) as url:
                alone = get(f"{url}/readyz")
        finally:
            superuser.execute("REVOKE threada_platform FROM threada_app")
    assert refused.returncode == 1
    assert "The web's login (DATABASE_URL) may become threada_platform, although" in refused.stderr
    assert status == 503
    assert "the web's login may become threada_platform, although" in answer
    assert alone[0] == 200


def test_up_without_a_web_login_is_refused(instance: Instance) -> None:
    refused = manage(instance.platform, "up", "--no-demo", "--port", str(free_port()))
    assert refused.returncode == 1
    assert "DATABASE_URL is not: the web needs a login" in refused.stderr


def test_verifier_equals_the_one_of_postgresql(instance: Instance) -> None:
    with psycopg.connect(
        instance.cluster.url(user=instance.cluster.superuser, dbname="threada"), autocommit=True
    ) as superuser:
        superuser.execute("CREATE ROLE threada_probe PASSWORD 'correct horse'")
        row = superuser.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'threada_probe'").fetchone()
        superuser.execute("DROP ROLE threada_probe")
    assert row is not None
    salt = base64.b64decode(row[0].split("$")[1].partition(":")[2])
    assert scram_verifier("correct horse", salt=salt) == row[0]
