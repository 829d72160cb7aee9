"""Maker of the fixture: a backup by the code of the first state that can be upgraded, and what must be true of it.

Runs in a checkout of that state, whose modules it uses; `git worktree add ../first 89cae31e` makes one:

    cd ../first && uv sync && PYTHONPATH=. uv run python REPOSITORY/tests/upgrade/make_first.py REPOSITORY/tests/upgrade

`first.export` is the tenant of the restored backup, exported by the same code to the same recovery key (`manage.py tenant
export acme first.export --recovery-key PUBLIC`).

All keys and tokens in the fixture are made for it alone. An instance in a new data directory is filled with payments of
two months, by service calls and a worker that is killed during a call. The clock of this process is shifted for the
first month.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PORT = 18471
"""Port of the bank, which is part of the approved envelopes."""
BANK_URL = f"http://127.0.0.1:{PORT}"
SECRET = "fixture-secret-4711"
ERASED = "Initech"
FILE = b"%PDF-1.7\nInvoice of the fixture\n" * 20
TARGET = Path(sys.argv[1])
FOLDER = Path(os.environ.get("THREADA_DATA_DIR") or tempfile.mkdtemp(prefix="threada-first-", dir="/tmp"))

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "threada_site.settings")
os.environ |= {
    "THREADA_DATA_DIR": str(FOLDER),
    "THREADA_EGRESS_ALLOW": "127.0.0.1/32",
    "THREADA_RATE_LIMITS": "off",
    "THREADA_REQUIRE_MFA": "off",
    "THREADA_LOG_LEVEL": "WARNING",
}


def manage(*words: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *words],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


calls: list[dict[str, Any]] = []
hangs = threading.Event()


class Bank(BaseHTTPRequestHandler):
    """Accepts payments; `/slow` never answers, `/cut` closes the connection without an answer."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        calls.append({"path": self.path, "key": self.headers.get("Idempotency-Key"), "body": body})
        assert self.headers["Authorization"] == f"Bearer {SECRET}"
        if self.path == "/slow":
            hangs.set()
            time.sleep(3600)
        if self.path == "/cut":
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments: Any) -> None:
        """Log nothing."""


def main() -> None:
    private = FOLDER / "recovery.key"
    public = manage("backup", str(private), "--new-recovery-key").strip().partition("=")[2]
    manage("migrate", "--verbosity", "0")
    server = ThreadingHTTPServer(("127.0.0.1", PORT), Bank)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    facts = fill()
    from threada_site.runtime.sealer.process import sealing_key_file

    backup = TARGET / "first.backup"
    backup.unlink(missing_ok=True)
    manage("backup", str(backup), THREADA_BACKUP_RECOVERY_KEY=public)
    signing = sealing_key_file().keys()
    facts["sealing_keys"] = [str(key.verifier_key(key.name)) for key in signing]
    facts["verified"] = manage("verify_receipts")
    (TARGET / "first.recovery.key").write_text(private.read_text())
    (TARGET / "first.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(backup.stat().st_size, facts["verified"])
    manage("down")


def shift(by: timedelta) -> None:
    """Shift the clock of this process: times, and those in ids."""
    import uuid_utils.compat

    from threada_site.kernel import clock

    original = getattr(uuid_utils.compat, "original", uuid_utils.compat.uuid7)
    uuid_utils.compat.original = original

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + by

    def uuid7() -> uuid.UUID:
        milliseconds = int((time.time() + by.total_seconds()) * 1000)
        return uuid.UUID(int=milliseconds << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62))

    clock.datetime = Shifted if by else datetime
    uuid_utils.compat.uuid7 = uuid7 if by else original


def fill() -> dict[str, Any]:
    import django

    django.setup()
    from django.conf import settings

    settings.ALLOWED_HOSTS = ["*"]
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    from django.core.management import call_command

    from policies.publication.publish import upsert_policy
    from tests.factories import make_tenant, make_token
    from tests.jobs import run_jobs
    from tests.workitems.attachments.files import take_files, upload
    from tests.workitems.office import BANK, open_office
    from threada_site.database.unit_of_work import unit_of_work
    from threada_site.identity.four_eyes import turn_on_four_eyes
    from threada_site.kernel import ids
    from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES
    from workitems.executions.close_item import cancel_work_item
    from workitems.models import WorkItem

    chance = random.Random(4711)
    shift(timedelta(days=-35))
    tenant = make_tenant("acme", "Acme")
    office = open_office(tenant)
    office.join("ben", roles=("tenant_admin",))
    office.join("robot", kind="service", roles=("client",))
    ada = office.api("ada")
    stored = ada.post("/secrets", {"secret_id": "bank_token", "value": SECRET, "origins": [BANK_URL]})
    assert stored.status_code in (200, 201), stored.content
    one = {"method": "POST", "body": {"amount": "${item.payload.amount}"}, "resolves": True}
    office.put_bank(
        base_url=BANK_URL,
        idempotent=False,
        auth={"scheme": "bearer", "secret": {"stored": "bank_token"}},
        actions={name: {**BANK["actions"]["pay"], **one, "path": path} for name, path in
                 {"pay": "/payments", "pay_slow": "/slow", "pay_cut": "/cut"}.items()},
    )  # fmt: skip
    take_files(office, actions=["pay", "pay_slow", "pay_cut", "request_approval", "assign", "close"])
    office.upsert_workflow("wages", subject="/vendor")

    def month(count: int) -> None:
        for number in range(count):
            item = office.decided(chance.randint(1, 100), external_ref=f"payment {uuid.uuid4()}")
            if number % 8 == 0:
                office.execute(item)
            if number % 25 == 0:
                _, step, _ = office.awaiting(chance.randint(101, 600))
                office.vote(step, "fay")
                office.vote(step, "finn", decision="approve" if number % 50 else "reject")
        run_jobs()

    month(132)
    about = office.create(5, workflow="wages", payload={"amount": 5, "vendor": ERASED})
    office.on_item(about, cancel_work_item, reason="over")
    run_jobs()
    manage("sealer", "--once")

    shift(timedelta(0))
    month(132)
    call_command("subject", "erase", tenant="acme", reference=ERASED, yes=True)
    invoice = upload(office.api("rita"), FILE).json()
    handed_in = office.api("rita").post(
        "/work-items",
        {"workflow_id": "payments", "channel_id": "web",
         "payload": {"amount": 7, "invoice": {name: invoice[name] for name in ("attachment_id", "name", "media_type", "size", "sha256")}}},
    )  # fmt: skip
    assert handed_in.status_code == 201, handed_in.content
    cut = office.execute(office.decided(11), action="pay_cut").execution
    run_jobs()
    assert office.execution(cut).status == "outcome_unknown"

    _, open_step, open_execution = office.awaiting(500)
    office.vote(open_step, "fay")
    of_robot = office.decided(501, by="robot")
    robot_step = office.execute(of_robot, by="robot").step
    assert robot_step is not None
    with unit_of_work(tenant.id):
        rules = [{"id": "go", "when": "true", "effect": "allow", "reason": "LENIENT"}]
        upsert_policy("lenient", {"rules": rules}, ctx=office.system)
        turn_on_four_eyes(POLICY_FOUR_EYES, ctx=office.system)
    proposed = ada.post("/overlays", {"policy_id": "lenient", "scope": {"workflow": "wages"}})
    change_set = proposed.json()
    assert change_set["change_set_id"], change_set
    for _ in range(20):
        office.create(chance.randint(1, 100))
    run_jobs()
    manage("sealer", "--once")
    slow = office.execute(office.decided(12), action="pay_slow").execution
    worker = subprocess.Popen([sys.executable, "manage.py", "worker"], env=os.environ)
    assert hangs.wait(120)
    worker.kill()
    worker.wait()
    assert office.execution(slow).status == "running"
    office.decided(13)  # receipts that are still queued

    def step(found: Any) -> dict[str, str]:
        return {"step": ids.public_id(ids.DECISION_STEP, found.id), "envelope_sha256": found.envelope_sha256}

    with unit_of_work(tenant.id):
        count = WorkItem.objects.count()
    return {
        "work_items": count,
        "tokens": {name: make_token(tenant, person) for name, person in office.people.items()},
        "open": {**step(open_step), "execution": ids.public_id(ids.EXECUTION, open_execution.id), "voted": ["fay"]},
        "of_robot": step(robot_step),
        "running": ids.public_id(ids.EXECUTION, slow.id),
        "outcome_unknown": ids.public_id(ids.EXECUTION, cut.id),
        "change_set": change_set,
        "erased": {"item": ids.public_id(ids.WORK_ITEM, about.id), "reference": ERASED},
        "file": {"attachment_id": invoice["attachment_id"], "sha256": invoice["sha256"]},
        "secret": "bank_token",
        "calls": calls,
    }


if __name__ == "__main__":
    main()
