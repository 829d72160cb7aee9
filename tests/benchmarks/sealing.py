"""Sealing: cost for writers of receipts, throughput with a long queue, and cost of a proof."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import psycopg

from tests.benchmarks.figures import Figure
from tests.benchmarks.memory import sizes_mb
from tests.benchmarks.world import TENANT, World

WRITERS = 4
AIM = 0.9
QUEUED = 100_000
PROOFS = 200

_COPY = """
WITH new AS (
    INSERT INTO telemetry_receipt ({columns})
    SELECT {values} FROM generate_series(1, %s),
           (SELECT * FROM telemetry_receipt WHERE kind = 'thing.done' LIMIT 1) w
    RETURNING id, tenant_id)
INSERT INTO telemetry_sealqueueentry (id, tenant_id) SELECT id, tenant_id FROM new
"""


def measure(world: World, *, rounds: int, seconds: float) -> Iterator[Figure]:
    """Measure alternating rounds without and with the sealer's process; then a queue of 100,000."""
    pairs, ages, size_mb = [], [], 0.0
    writers = Writers(seconds)
    writers.written_per_second()
    for _ in range(rounds):
        _drain()
        without = writers.written_per_second()
        _drain()
        with _sealer() as process:
            written = writers.written_per_second()
            ages.append(_oldest_unsealed_s())
            size_mb = sizes_mb(process.pid)[0]
        pairs.append((without, written))
    writers.end()
    ratios = [with_it / without for without, with_it in pairs]
    ratio = statistics.median(ratios)
    yield Figure(
        name=f"receipts/s with sealing (rounds {min(ratios):.2f} to {max(ratios):.2f})",
        value=f"{statistics.median(pair[1] for pair in pairs):,.0f}/s",
        beside=f"without {statistics.median(pair[0] for pair in pairs):,.0f}/s",
        ratio=ratio,
        aim=f">= {AIM}",
        is_met=ratio >= AIM,
    )
    yield Figure(name="oldest unsealed receipt at the end of a round, longest", value=f"{max(ages):.1f} s")
    yield Figure(name="sealer's process under load (PSS)", value=f"{size_mb:.0f} MB")
    _drain()
    yield _verified(world)
    yield from _much_at_once(world)


def _much_at_once(world: World) -> Iterator[Figure]:
    _drain()
    with psycopg.connect(**world.superuser()) as connection:
        described = connection.execute("SELECT * FROM telemetry_receipt LIMIT 0").description or []
        columns = [column.name for column in described]
        values = ["uuidv7()" if column == "id" else f"w.{column}" for column in columns]
        connection.execute(_COPY.format(columns=", ".join(columns), values=", ".join(values)), [QUEUED])
    with psycopg.connect(**world.superuser(), autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE) telemetry_receipt, telemetry_sealqueueentry")
    begun = time.perf_counter()
    sealed = _seal_all()
    took = time.perf_counter() - begun
    yield Figure(name=f"sealing {sealed:,} queued receipts", value=f"{sealed / took:,.0f}/s")
    yield from _proofs(world)


def _verified(world: World) -> Figure:
    """Measure `manage.py verify_receipts` on the log of the rounds: bodies, columns, leaves, checkpoints."""
    from telemetry.verification.findings import VerificationStats
    from telemetry.verification.log import verify_log
    from telemetry.verification.snapshot import snapshot
    from threada_site.runtime.sealer.process import sealing_key_file
    from threada_site.tenancy.models import Tenant

    tenant = Tenant.objects.get(id=world.tenant_id)
    signing = sealing_key_file().keys()
    keys = [key.verifier_key(key.name) for key in signing]
    stats = VerificationStats()
    begun = time.perf_counter()
    with snapshot(tenant.id):
        found = list(verify_log(tenant, keys=keys, older=[], stats=stats))
    took = time.perf_counter() - begun
    assert not found, found[:3]
    return Figure(name=f"verifying {stats.sealed:,} sealed receipts", value=f"{stats.sealed / took:,.0f}/s")


def _seal_all() -> int:
    """Seal in this process until the queue is empty."""
    from telemetry.log.store import LogStore
    from telemetry.sealing.log_lines import LineLog
    from telemetry.sealing.sealer import Sealer
    from threada_site.runtime.sealer.process import sealer_conninfo, sealing_anchor, sealing_key_file

    with psycopg.connect(sealer_conninfo(), autocommit=True) as connection:
        sealer = Sealer(LogStore(connection), key_file=sealing_key_file(), anchor=sealing_anchor(), log=LineLog())
        total = 0
        while sealed := sealer.round():
            total += sealed
    return total


def _proofs(world: World) -> Iterator[Figure]:
    """Measure proofs of receipts in all parts of the log, as the API makes them."""
    import uuid

    from telemetry.models import LogLeaf, Receipt
    from telemetry.selectors import proof_of
    from threada_site.database.unit_of_work import unit_of_work

    with unit_of_work(uuid.UUID(world.tenant_id)):
        size = LogLeaf.objects.latest("index").index + 1
        places = [number * size // PROOFS for number in range(PROOFS)]
        leaves = list(LogLeaf.objects.filter(index__in=places).values_list("id", flat=True))
        receipts = list(Receipt.objects.filter(id__in=leaves))
        begun = time.perf_counter()
        proofs = [proof_of(receipt) for receipt in receipts]
        took = time.perf_counter() - begun
    yield Figure(
        name=f"a proof out of {size:,} leaves",
        value=f"{took / len(proofs) * 1000:.1f} ms",
        beside=f"longest path {max(len(proof.path) for proof in proofs) * 32} bytes",
    )


class Writers:
    """`WRITERS` processes that write receipts at the same time, in rounds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        command = [sys.executable, "-m", "tests.benchmarks.receipt_writer", TENANT, str(seconds)]
        self._processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(WRITERS)
        ]
        for process in self._processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

    def written_per_second(self) -> float:
        """Return the receipts per second of all writers in one round."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return sum(int(process.stdout.readline()) for process in self._processes if process.stdout) / self._seconds

    def end(self) -> None:
        for process in self._processes:
            process.communicate()


@contextmanager
def _sealer() -> Iterator[psutil.Process]:
    process = subprocess.Popen([sys.executable, "manage.py", "sealer"])
    try:
        time.sleep(2)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)


def _drain() -> None:
    subprocess.run([sys.executable, "manage.py", "sealer", "--once"], check=True)


def _oldest_unsealed_s() -> float:
    from telemetry.metrics import seal_metrics
    from threada_site.database.roles import platform_role

    with platform_role():
        found = {figure.name: figure.value for figure in seal_metrics()}
    return float(found["threada_receipts_unsealed_oldest_seconds"])
