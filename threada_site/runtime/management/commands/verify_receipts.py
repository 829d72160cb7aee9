"""`manage.py verify_receipts`: check the ledger against itself, against signed checkpoints and against recorded
work."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

from django.conf import settings
from django.core.management.base import CommandParser

from telemetry.log.key_file import KeyFileProblem
from telemetry.selectors import log_size, newest_checkpoint
from telemetry.tlog.checkpoint import INSTANCE, Checkpoint
from telemetry.tlog.note import VerifierKey, notes_in
from telemetry.tlog.texts import MalformedText
from telemetry.verification.checkpoints import ArchivedCheckpoint
from telemetry.verification.deletions import deletion_in, is_signed_deletion
from telemetry.verification.findings import Finding, VerificationStats
from telemetry.verification.log import verify_log
from telemetry.verification.snapshot import instance_snapshot, snapshot
from threada_site.database.roles import platform_role
from threada_site.kernel import ids
from threada_site.runtime.sealer.process import sealing_anchor, sealing_key_file
from threada_site.tenancy.deletions.models import DeletedTenant
from threada_site.tenancy.management.base import ProductCommand
from threada_site.tenancy.models import Tenant
from workitems.completeness.verify import case_count, verify_completeness

MOST_NAMED: Final = 200
NO_INSTANCE_LOG: Final = (
    "no instance log is kept, so a missing tenant is not detected. THREADA_INSTANCE_LOG=true turns it on."
)


class Command(ProductCommand):
    help = (
        "Hash every receipt's stored bytes again and compare them with the log, the columns that pages show with the "
        "bytes, the log with its signed checkpoints, and the receipts with the work that must have produced them. With "
        "THREADA_INSTANCE_LOG, also compare the checkpoints with the instance log, which reveals missing tenants. "
        "Print every difference; exit status 1 if there is one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", help="the tenant's slug (all tenants)")
        parser.add_argument(
            "--against", type=Path, metavar="FILE", help="file with checkpoints stored elsewhere: one, or many appended"
        )
        parser.add_argument(
            "--key", action="append", default=[], help="a trusted public key (vkey), or a file of them; may be repeated"
        )

    def run_command(self, **options: Any) -> None:
        tenants = Tenant.objects.order_by("slug")
        if options["tenant"]:
            tenants = tenants.filter(slug=options["tenant"])
            if not tenants:
                self.refuse(f"There is no tenant {options['tenant']!r}.")
        older = self._older(options["against"])
        keys = self._keys(options["key"])
        wrong = sum(self._verify(tenant, keys, older) for tenant in tenants)
        if not options["tenant"]:
            wrong += self._verify_instance(keys, older)
            wrong += self._dropped(older, tenants, keys)
        if wrong:
            self.refuse(f"{wrong} found.")

    def _verify(self, tenant: Tenant, keys: list[VerifierKey], older: list[ArchivedCheckpoint]) -> int:
        """Verify one tenant and print findings as they occur. Return their number."""
        mine = ids.public_id(ids.TENANT, tenant.id)
        checkpoints = self._archived_checkpoints(mine, older)
        stats, found = VerificationStats(), Counter[str]()
        with Progress(tenant.slug) as progress, snapshot(tenant.id):
            progress.of("receipts", log_size(tenant.id))
            newest = newest_checkpoint(tenant.id)
            entry = _newest_entry(tenant, origin=newest.origin if newest else "")
            if entry and entry.checkpoint not in [checkpoint.checkpoint for checkpoint in checkpoints]:
                checkpoints.append(entry)
            log = verify_log(tenant, keys=keys, older=checkpoints, stats=stats, watch=progress.step)
            self._say(log, found, progress)
            progress.of("cases", case_count(tenant))
            self._say(verify_completeness(tenant, watch=progress.step), found, progress)
        signed = f", signed with {', '.join(stats.signed_by)}" if stats.signed_by else ""
        counted = f"{stats.sealed} receipts sealed, {stats.waiting} waiting, {stats.checkpoints} checkpoints{signed}"
        return self._sum_up(tenant.slug, counted, stats, found)

    def _verify_instance(self, keys: list[VerifierKey], older: list[ArchivedCheckpoint]) -> int:
        """Verify the instance log, whose leaves are the tenants' checkpoints. Return the number of findings."""
        if not settings.THREADA_INSTANCE_LOG:
            self.stdout.write(f"{INSTANCE}: {NO_INSTANCE_LOG}")
            return 0
        from telemetry.instance_log.verify import verify_instance

        stats, found = VerificationStats(), Counter[str]()
        with Progress(INSTANCE) as progress, instance_snapshot():
            checkpoints = self._archived_checkpoints(INSTANCE, older)
            self._say(verify_instance(keys=keys, older=checkpoints, stats=stats, watch=progress.step), found, progress)
        counted = (
            f"{stats.sealed} checkpoints of tenants sealed, {stats.waiting} waiting, "
            f"{stats.checkpoints} checkpoints of its own"
        )
        return self._sum_up(INSTANCE, counted, stats, found)

    def _sum_up(self, name: str, counted: str, stats: VerificationStats, found: Counter[str]) -> int:
        """Print the last lines about one log. Return the number of findings."""
        for note in stats.notes:
            self.stderr.write(f"{name}: {note}")
        unnamed = found.total() - MOST_NAMED
        if unnamed > 0:
            self.stdout.write(f"{name}: and {unnamed} more")
        verdict = "all valid" if not found else f"{found.total()} found"
        self.stdout.write(f"{name}: {counted}: {verdict}")
        return found.total()

    def _archived_checkpoints(self, name: str, older: list[ArchivedCheckpoint]) -> list[ArchivedCheckpoint]:
        """Return the checkpoints of one log that were stored elsewhere: those passed in, and the last one this
        machine's sealer kept."""
        checkpoints = [kept for kept in older if _tenant_of(kept) == name]
        kept = sealing_anchor().last(name)
        if kept is not None and kept.size:
            checkpoints.append(ArchivedCheckpoint(kept.checkpoint))
        return checkpoints

    def _say(self, findings: Iterator[Finding], found: Counter[str], progress: Progress) -> None:
        for finding in findings:
            found[finding.code] += 1
            if found.total() <= MOST_NAMED:
                progress.clear()
                self.stdout.write(str(finding))

    def _deleted(self, keys: list[VerifierKey]) -> set[str]:
        """Return the tenants whose deletion a record states that one of the keys signed."""
        with platform_role():
            notes = list(DeletedTenant.objects.exclude(note="").values_list("log_id", "note"))
        found = set()
        for log_id, note in notes:
            tenant, record = ids.public_id(ids.TENANT, log_id), deletion_in(note)
            if record is not None and is_signed_deletion(record, tenant, [key.public_key for key in keys]):
                found.add(tenant)
        return found

    def _dropped(self, older: list[ArchivedCheckpoint], tenants: Any, keys: list[VerifierKey]) -> int:
        """Report logs that were signed once and whose tenant is gone. Return their number."""
        known = {INSTANCE, *(ids.public_id(ids.TENANT, tenant.id) for tenant in tenants), *self._deleted(keys)}
        gone = {kept.checkpoint.origin: kept.checkpoint.size for kept in older if _tenant_of(kept) not in known}
        for origin, size in gone.items():
            self.stdout.write(f"{origin}: {size} receipts were sealed, and the tenant is not in the database any more")
        return len(gone)

    def _keys(self, given: list[str]) -> list[VerifierKey]:
        """Return the given keys, or else the keys of the sealer on this machine. Only the public key counts, not its
        name."""
        try:
            lines = [line for value in given for line in _lines_of(value)]
            if lines:
                return [VerifierKey.parse(line) for line in lines]
            signing = sealing_key_file().keys()
            return [key.verifier_key(key.name) for key in signing]
        except (OSError, MalformedText) as error:
            self.misuse(f"--key: {error}")
        except KeyFileProblem:
            return []

    def _older(self, file: Path | None) -> list[ArchivedCheckpoint]:
        if file is None:
            return []
        try:
            checkpoints = [ArchivedCheckpoint(Checkpoint.parse(note.text), note) for note in notes_in(file.read_text())]
        except (OSError, UnicodeDecodeError, MalformedText) as error:
            self.misuse(f"--against {file}: {error}")
        if not checkpoints:
            self.misuse(f"--against {file} holds no checkpoint.")
        return checkpoints


def _newest_entry(tenant: Tenant, *, origin: str) -> ArchivedCheckpoint | None:
    """Return the tenant's newest entry in the instance log; None if no instance log is kept."""
    if not settings.THREADA_INSTANCE_LOG:
        return None
    from telemetry.instance_log.verify import newest_entry

    return newest_entry(tenant, origin=origin)


def _tenant_of(kept: ArchivedCheckpoint) -> str:
    """Return the public id of the tenant whose log it is: the last part of the origin."""
    return kept.checkpoint.origin.rpartition("/")[2]


def _lines_of(value: str) -> list[str]:
    """Return a key as a single line, or the keys of a file, one per line; `#` starts a comment."""
    if not Path(value).is_file():
        return [value]
    lines = [line.strip() for line in Path(value).read_text().splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


class Progress:
    """Progress bar on a terminal; prints nothing elsewhere."""

    def __init__(self, slug: str) -> None:
        self._slug, self._noun, self._count, self._total = slug, "", 0, 0
        self._is_shown = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def of(self, noun: str, total: int) -> None:
        self._noun, self._count, self._total = noun, 0, total

    def step(self) -> None:
        self._count += 1
        if self._is_shown and self._count % 1_000 == 0:
            done = min(self._count / max(self._total, 1), 1)
            bar = "#" * int(done * 30)
            sys.stderr.write(f"\r\033[K{self._slug} [{bar:<30}] {done:4.0%} {self._count} {self._noun}")
            sys.stderr.flush()

    def clear(self) -> None:
        if self._is_shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
