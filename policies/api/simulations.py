"""Endpoint `…/simulate`: evaluation of a version, in force or not."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.response import Response

from policies import selectors
from policies.api.one_at_a_time import EVALUATOR_REFUSALS, one_at_a_time
from policies.api.resources.trials import SIMULATION
from policies.api.trial_shapes import SIMULATE
from policies.models import PolicyVersion
from policies.replay.candidate import candidate_version
from policies.replay.simulate import simulate
from telemetry.receipts.format import Subject
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.views import TenantView, path_slug
from threada_site.kernel import errors
from threada_site.kernel.context import Scope


class SimulatePolicyVersion(TenantView):
    scopes: ClassVar = {"POST": Scope.POLICIES_WRITE}

    @operation(
        "simulatePolicyVersion",
        "Simulate this version on one set of facts",
        tag="Policies",
        body=SIMULATE,
        answers={200: SIMULATION},
        reasons=(
            "unknown_workflow",
            "unknown_channel",
            "channel_required",
            "action_not_allowed",
            "payload_schema_violation",
            "policy_document_invalid",
            *EVALUATOR_REFUSALS,
        ),
    )
    @one_at_a_time
    @idempotent
    def post(self, request: Any, policy_id: str, version: str) -> Response:
        """Evaluate like the live check, together with every other policy that applies, and store nothing.

        Requests that intake or execute refuse earlier are refused here too.
        """
        body = SIMULATE.check(request.data)
        found = found_version(self, request, policy_id, version)
        simulation = simulate(candidate_version(found), body["facts"], ctx=request.auth)
        return Response(SIMULATION.represent(simulation))


def found_version(view: TenantView, request: Any, policy_id: str, name: str) -> PolicyVersion:
    """Return the version in the path. Raises `NotFound`."""
    policy = selectors.policy_by_slug(path_slug(policy_id), ctx=request.auth)
    version = selectors.policy_version_named(policy, name) if policy else None
    if version is None:
        raise errors.NotFound
    view.subject = Subject(policy_version_id=version.id, status=version.status)
    return version
