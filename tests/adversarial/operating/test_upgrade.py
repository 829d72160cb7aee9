"""Old and new code side by side while the schema is upgraded: no request fails, and code that does not fit refuses."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.adversarial.server import REPOSITORY, Server, running_server
from tests.adversarial.waiting import until
from tests.ports import free_port

pytestmark = [pytest.mark.adversarial, pytest.mark.timeout(900)]

MIGRATION = """
from django.db import migrations, models

class Migration(migrations.Migration):
    compatible_with_running_code = {compatible}
    dependencies = [("tenancy", "{after}")]
    operations = [migrations.AddField("tenant", "{column}", models.TextField(null=True))]
"""
BODY = json.dumps(
    {"workflow_id": "policy_review", "channel_id": "web_main", "payload": {"question": "May we?", "department": "it"}}
).encode()


def test_old_and_new_code_run_side_by_side(tmp_path: Path) -> None:
    new = tmp_path / "new"
    copy_of_the_code(new)
    last = max(file.stem for file in (new / "threada_site/tenancy/migrations").glob("0*.py"))
    add_migration(new, "0998_compatible", after=last, compatible=True)
    (tmp_path / "old").mkdir()
    with running_server(tmp_path / "old", THREADA_WEB_PROCESSES="1", THREADA_RATE_LIMITS="off") as server:
        with load(server, server.port) as old:
            checked = json.loads(manage(new, server, "upgrade", "--check", "--json").stdout)
            assert [migration["name"] for migration in checked["pending"]] == ["tenancy.0998_compatible"]
            assert checked["running_code_may_stay"] is True
            assert checked["pending"][0]["unsafe"] == []
            upgraded = manage(new, server, "upgrade")
            assert upgraded.returncode == 0, upgraded.stderr
            with web_of(new, server) as port, load(server, port) as newer:
                until(lambda: min(old[201], newer[201]) > 5)
        assert set(old) | set(newer) == {201}, (old, newer)
        assert server.send("GET", "/readyz").status == 200
        assert manage(REPOSITORY, server, "upgrade", "--check").returncode == 0

        add_migration(new, "0999_not_compatible", after="0998_compatible", compatible=False)
        upgraded = manage(new, server, "upgrade")
        assert upgraded.returncode == 0, upgraded.stderr
        until(lambda: server.send("GET", "/readyz").status == 503)
        assert "tenancy.0999_not_compatible" in server.send("GET", "/readyz").json()["detail"]
        for words in (("web", "--port", str(free_port())), ("worker",)):
            refused = manage(REPOSITORY, server, *words)
            assert refused.returncode == 1
            assert "newer than this code" in refused.stderr
            assert "restore a backup" in refused.stderr


def copy_of_the_code(target: Path) -> None:
    """Copy the files that git knows, and those that are not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ":!tests", ":!docs"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    ).stdout
    target.mkdir()
    subprocess.run(
        ["tar", "-c", "--null", "--ignore-failed-read", "-T", "-", "-f", str(target / "code.tar")],
        input=listed, cwd=REPOSITORY, capture_output=True, check=True,
    )  # fmt: skip
    subprocess.run(["tar", "-x", "-f", "code.tar"], cwd=target, check=True)


def add_migration(tree: Path, name: str, *, after: str, compatible: bool) -> None:
    """Add a migration that adds a column, and record the schema with it, as `manage.py write_schema` would."""
    column = f"note_{name[:4]}"
    text = MIGRATION.format(compatible=compatible, after=after, column=column)
    (tree / "threada_site/tenancy/migrations" / f"{name}.py").write_text(text)
    with (tree / "threada_site/tenancy/schema/current.txt").open("a") as record:
        record.write(f"column tenancy_tenant.{column} text\n")


def manage(tree: Path, server: Server, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=tree,
        env=server.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


@contextmanager
def web_of(tree: Path, server: Server) -> Iterator[int]:
    """Run the web of another tree on the same instance, and return its port once it is ready."""
    port = free_port()
    command = [sys.executable, "manage.py", "web", "--port", str(port), "--processes", "1", "--drain", "0"]
    with subprocess.Popen(command, cwd=tree, env=server.environment | {"THREADA_READY_FILE": ""}) as process:
        try:
            until(lambda: is_ready(port))
            yield port
        finally:
            process.terminate()
            process.wait(60)


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except OSError:
        return False


@contextmanager
def load(server: Server, port: int) -> Iterator[Counter[int]]:
    """Create work items until the block ends. Yield the number of answers by status."""
    answers: Counter[int] = Counter()
    is_over = threading.Event()
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}

    def create() -> None:
        while not is_over.wait(0.05):
            request = urllib.request.Request(f"http://127.0.0.1:{port}/work-items", data=BODY, headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    answers[answer.status] += 1
            except urllib.error.HTTPError as error:
                answers[error.code] += 1
            except OSError:
                answers[599] += 1

    thread = threading.Thread(target=create)
    thread.start()
    try:
        until(lambda: answers[201] > 0)
        yield answers
    finally:
        is_over.set()
        thread.join()
