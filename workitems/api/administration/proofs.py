"""`/proofs`: stored results of the checks of the product's promises, and the start of one."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from rest_framework.response import Response

from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.resources.field_types import INSTANT, MAYBE_INSTANT, OBJECT, SHA256, choice, maybe, public_id
from threada_site.api.resources.resource import Resource, field, page_of
from threada_site.api.shapes import EMPTY
from threada_site.api.views import TenantView, path_id
from threada_site.identity.stewardship import is_steward_or_auditor
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from workitems.proof.models import ProofStatus
from workitems.proof.stored_runs import proof_runs, request_proof

PROOF: Final = Resource(
    "Proof",
    field("proof_id", public_id(ids.PROOF), "id", description="Id of the proof."),
    field("status", choice(ProofStatus), description="`broken`: the worker was lost, so there is no result."),
    field("requested_by", maybe(public_id(ids.PRINCIPAL)), description="Null: the operator."),
    field("created_at", INSTANT),
    field("started_at", MAYBE_INSTANT),
    field("finished_at", MAYBE_INSTANT),
    field("sha256", maybe(SHA256), lambda run: run.sha256 or None, description="Digest of the findings."),
)
PROOF_WITH_FINDINGS: Final = Resource(
    "ProofWithFindings",
    *PROOF.fields,
    field("findings", maybe(OBJECT), "document", description="As `manage.py prove --json` prints them."),
)


class Proofs(TenantView):
    scopes: ClassVar = {"GET": Scope.TELEMETRY_READ, "POST": Scope.WORKFLOW_MANAGE}

    @operation(
        "listProofs",
        "List proofs",
        tag="Policies",
        answers={200: page_of(PROOF)},
        is_paged=True,
        reasons=("permission_denied",),
    )
    def get(self, request: Any) -> Response:
        """List the last ten, for stewards and auditors as on the pages of the console."""
        _require_reader(request.auth)
        return Response(paginate(proof_runs(request.auth).defer("document"), request, represent=PROOF.represent))

    @operation(
        "requestProof",
        "Request a proof",
        tag="Policies",
        body=EMPTY,
        answers={202: PROOF},
        headers=("Location",),
        reasons=("permission_denied", "too_many_proofs"),
    )
    @idempotent
    def post(self, request: Any) -> Response:
        """Check the promises against this tenant's configuration. For stewards; a worker runs it."""
        EMPTY.check(request.data)
        run = request_proof(ctx=request.auth)
        return Response(PROOF.represent(run), status=202, headers={"Location": f"/proofs/{run.public_id}"})


class ProofDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.TELEMETRY_READ}

    @operation(
        "readProof",
        "Read a proof with its findings",
        tag="Policies",
        answers={200: PROOF_WITH_FINDINGS},
        reasons=("permission_denied",),
    )
    def get(self, request: Any, proof_id: str) -> Response:
        _require_reader(request.auth)
        run = proof_runs(request.auth).filter(id=path_id(ids.PROOF, proof_id)).first()
        if run is None:
            raise errors.NotFound
        return Response(PROOF_WITH_FINDINGS.represent(run))


def _require_reader(ctx: ActingContext) -> None:
    if not is_steward_or_auditor(ctx):
        raise errors.PermissionDenied("Stewards and auditors read proofs.")
