"""Cases that have ended long ago, and the sealing of their receipts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings

from telemetry.models import Checkpoint, Receipt
from tests.journeys.worker import database_url
from tests.telemetry.sealed import seal_queued
from tests.workitems.office import Office
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from threada_site.personal_data.erasable_fields import is_erased
from workitems.executions.close_item import cancel_work_item
from workitems.models import RetentionRun, WorkItem
from workitems.retention.rules import parse_retention
from workitems.retention.run import apply_batch, plan_retention
from workitems.retention.upsert_rule import upsert_retention_rule


def put_rule(office: Office, slug: str = "all", **spec: Any) -> None:
    with unit_of_work(office.tenant.id):
        upsert_retention_rule(slug, parse_retention(spec), ctx=office.system)


def ended(office: Office, *, days: float, **more: Any) -> WorkItem:
    """Create a payment that was rejected `days` days ago."""
    item, step, _ = office.awaiting(500, **more)
    office.vote(step, "fay", "reject", comment="Not without the invoice, says Fay.")
    return aged(office, item, days=days)


def cancelled(office: Office, *, days: float, **more: Any) -> WorkItem:
    item = office.decided(5, **more)
    office.on_item(item, cancel_work_item, reason="Rita asked for it.")
    return aged(office, item, days=days)


def aged(office: Office, item: WorkItem, *, days: float) -> WorkItem:
    with unit_of_work(office.tenant.id):
        WorkItem.objects.filter(id=item.id).update(updated_at=clock.now() - timedelta(days=days))
    return office.item(item)


def seal_all(office: Office) -> None:
    """As if the sealer had sealed everything."""
    size = seal_queued(office.tenant)
    with platform_role():
        Checkpoint.objects.create(
            tenant_id=office.tenant.id, size=size, root=b"", note="", verifier_keys=[], signed_at=clock.now()
        )


def dry_run(office: Office, *, now: datetime | None = None) -> RetentionRun:
    with unit_of_work(office.tenant.id):
        return plan_retention(now=now or clock.now(), ctx=office.system)


def run(office: Office, *, size: int = 100) -> int:
    """Everything the dry run has shown; how many batches it took."""
    batches = 0
    while True:
        with unit_of_work(office.tenant.id):
            if apply_batch(now=clock.now(), ctx=office.system, size=size).is_last:
                return batches
        batches += 1


def bodies_of_cases(office: Office) -> set[bytes]:
    """Return the bodies of the receipts of work items in the database."""
    with unit_of_work(office.tenant.id):
        bodies = Receipt.objects.exclude(work_item_id=None).values_list("body", flat=True)
        return {bytes(body) for body in bodies}


def payloads_left(office: Office) -> int:
    """How many work items still have their payload."""
    with unit_of_work(office.tenant.id):
        return sum(not is_erased(item.payload) for item in WorkItem.objects.all())


STEPS: Final = {
    "write": ("workitems.retention.archive", "_write"),
    "put": ("workitems.retention.archive_target:Target", "_put"),
    "verify": ("workitems.retention.archive_target", "_verify"),
    "empty": ("workitems.retention.run", "empty_contents"),
    "remove": ("workitems.retention.run", "remove_receipts"),
    "applied": ("workitems.retention.run", "_applied"),
}
_KILLED: Final = """
import os, signal, sys
from pkgutil import resolve_name
import django
django.setup()
from django.core.management import call_command
owner, name, calls = resolve_name(sys.argv[1]), sys.argv[2], int(sys.argv[3])
step = getattr(owner, name)
def killing(*args, **kwargs):
    global calls
    calls -= 1
    if calls < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*args, **kwargs)
setattr(owner, name, killing)
call_command("retention", tenant="acme")
"""


def kill_retention(step: str, calls: int, **environment: str) -> None:
    """`manage.py retention` in a process of its own, which is killed when it comes to this step after `calls` times."""
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, *STEPS[step], str(calls)],
        cwd=settings.THREADA_BASE_DIR,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "threada_site.settings",
            "DATABASE_URL": database_url(),
            **environment,
        },
        check=False,
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL
