"""Runs of proofs as rows: requested by a steward and run by a job, or run by a command."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Final

from django.db import connection
from django.db.models import QuerySet

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work, unit_of_work
from threada_site.identity.stewardship import is_steward_or_auditor, require_steward
from threada_site.jobs.enqueue import MAINTENANCE_QUEUE, enqueue
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.models import Tenant
from workitems.proof.models import OPEN_PROOFS, ProofRun, ProofStatus
from workitems.proof.prove import MOST_SECONDS, prove
from workitems.proof.results import Proof, Result

RUN_PROOF: Final = "workitems.run_proof"
"""Name of the task that runs a proof. Argument: `proof_id`."""
MOST_KEPT: Final = 10
PAUSE: Final = timedelta(minutes=1)
"""Time after the end of a proof in which no other one is requested."""
LONGEST: Final = timedelta(minutes=15)
"""An open proof that is older lost its worker."""
_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtextextended('proofs ' || %s, 0))"


def proof_runs(ctx: ActingContext) -> QuerySet[ProofRun]:
    """Return the stored proofs of the tenant."""
    rows = ProofRun.objects.filter(tenant_id=ctx.tenant_id)
    return rows if is_steward_or_auditor(ctx) else rows.none()


def request_proof(*, ctx: ActingContext) -> ProofRun:
    """Return a new proof with its job. Receipt `proof.requested`.

    Raise `PermissionDenied` unless `ctx` is a steward, and `TooManyProofs` while one is open or within a minute after.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    _lock(ctx.tenant_id)
    now = clock.now()
    rows = ProofRun.objects.filter(tenant_id=ctx.tenant_id)
    rows.filter(status__in=OPEN_PROOFS, created_at__lt=now - LONGEST).update(status=ProofStatus.BROKEN)
    if rows.filter(status__in=OPEN_PROOFS).exists() or rows.filter(finished_at__gt=now - PAUSE).exists():
        raise errors.TooManyProofs(headers={"Retry-After": str(int(PAUSE.total_seconds()))})
    run = _stored(ctx=ctx)
    record(Entry(kind="proof.requested", inputs={"proof_id": run.public_id}), ctx=ctx)
    enqueue(RUN_PROOF, tenant_id=ctx.tenant_id, queue=MAINTENANCE_QUEUE, proof_id=str(run.id))
    return run


def run_proof(tenant: Tenant, proof_id: uuid.UUID, *, ctx: ActingContext) -> None:
    """Run a queued proof. Do nothing if it was begun. Opens its own units of work."""
    with unit_of_work(tenant.id):
        queued = ProofRun.objects.filter(tenant_id=tenant.id, id=proof_id, status=ProofStatus.QUEUED)
        if not queued.update(status=ProofStatus.RUNNING, started_at=clock.now()):
            return
    try:
        proof = prove(ctx)
    except Exception:
        with unit_of_work(tenant.id):
            rows = ProofRun.objects.filter(tenant_id=tenant.id, id=proof_id)
            rows.update(status=ProofStatus.BROKEN, finished_at=clock.now())
        raise
    with unit_of_work(tenant.id):
        run = ProofRun.objects.select_for_update().filter(tenant_id=tenant.id, id=proof_id).first()
        if run is not None and run.is_open:
            _finish(run, proof, ctx=ctx)


def prove_and_store(ctx: ActingContext, *, seconds: float = MOST_SECONDS) -> Proof:
    """Run a proof as the operator and store its result. Opens its own units of work. Receipt `proof.finished`."""
    started = clock.now()
    proof = prove(ctx, seconds=seconds)
    with unit_of_work(ctx.tenant_id):
        _lock(ctx.tenant_id)
        _finish(_stored(ctx=ctx, status=ProofStatus.BROKEN, started_at=started), proof, ctx=ctx)
    return proof


def _stored(*, ctx: ActingContext, **columns: object) -> ProofRun:
    """Return a new row. Delete all but the last few."""
    rows = ProofRun.objects.filter(tenant_id=ctx.tenant_id)
    kept = rows.order_by("-id").values_list("id", flat=True)[: MOST_KEPT - 1]
    rows.exclude(id__in=list(kept)).delete()
    requested_by = None if ctx.is_system else ctx.principal_id
    return ProofRun.objects.create(tenant_id=ctx.tenant_id, requested_by=requested_by, **columns)


def _finish(run: ProofRun, proof: Proof, *, ctx: ActingContext) -> None:
    document = proof.as_json()
    run.status = ProofStatus.PASSED if proof.holds else ProofStatus.FAILED
    run.document, run.sha256, run.finished_at = document, canonical_sha256(document), clock.now()
    run.save(update_fields=["status", "document", "sha256", "finished_at", "started_at"])
    results = [proof.result_of(check) for check in proof.promises]
    record(
        Entry(
            kind="proof.finished",
            inputs={"proof_id": run.public_id, "findings_sha256": run.sha256},
            outcome={"status": run.status, **{result.value: results.count(result) for result in Result}},
        ),
        ctx=ctx,
    )


def _lock(tenant_id: uuid.UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_ONE_AT_A_TIME, [str(tenant_id)])
