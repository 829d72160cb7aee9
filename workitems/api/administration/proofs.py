"""`/proofs`: stored results of the checks of the product's promises, and the start of one."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import QuerySet
from rest_framework.response import Response

from threada_site.api.operations import operation
from threada_site.api.resources.field_types import INSTANT, MAYBE_INSTANT, OBJECT, SHA256, choice, maybe, public_id
from threada_site.api.resources.resource import Resource, field
from threada_site.api.viewsets import TenantViewSet, creation, listing
from threada_site.identity.stewardship import is_steward_or_auditor
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope
from workitems.proof.models import ProofRun, ProofStatus
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


class ProofViewSet(TenantViewSet):
    id_prefix = ids.PROOF
    lookup_url_kwarg = "proof_id"
    resource = PROOF
    tag = "Policies"

    def get_queryset(self) -> QuerySet[ProofRun]:
        """Return the proofs of the tenant. Raise `PermissionDenied` for others than stewards and auditors."""
        if not is_steward_or_auditor(self.request.auth):
            raise errors.PermissionDenied("Stewards and auditors read proofs.")
        return proof_runs(self.request.auth)

    @listing(
        "listProofs",
        "List proofs",
        PROOF,
        scope=Scope.TELEMETRY_READ,
        reasons=("permission_denied",),
    )
    def list(self, request: Any) -> Response:
        """List the last ten, for stewards and auditors as on the pages of the console."""
        return self.page(self.filter_queryset(self.get_queryset().defer("document")))

    @creation(
        "requestProof",
        "Request a proof",
        scope=Scope.WORKFLOW_MANAGE,
        answers={202: PROOF},
        headers=("Location",),
        reasons=("permission_denied", "too_many_proofs"),
    )
    def create(self, request: Any) -> Response:
        """Check the promises against this tenant's configuration. For stewards; a worker runs it."""
        run = request_proof(ctx=request.auth)
        return self.shown(run, status=202, Location=f"/proofs/{run.public_id}")

    @operation(
        "readProof",
        "Read a proof with its findings",
        scope=Scope.TELEMETRY_READ,
        answers={200: PROOF_WITH_FINDINGS},
        reasons=("permission_denied",),
    )
    def retrieve(self, request: Any, proof_id: str) -> Response:
        return Response(PROOF_WITH_FINDINGS.represent(self.get_object()))
