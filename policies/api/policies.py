"""`/policies`: policies and the rules in force."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.response import Response

from policies import selectors
from policies.api.filters import EffectiveFilters, groups_named
from policies.api.one_at_a_time import one_at_a_time
from policies.api.policy_versions import DOCUMENT_REFUSALS, answer_version, found_policy
from policies.api.resources.decisions import EFFECTIVE, POLICY_DECISION
from policies.api.resources.policies import POLICY, POLICY_VERSION
from policies.api.sent_policies import sent_policy
from policies.api.shapes import CREATE_POLICY
from policies.configuration.removal import withdraw_policy
from policies.deciding.stored_decision import record_reading_of_facts
from policies.drafts.edit import draft_policy_version
from policies.models import Policy
from threada_site.api.filters import CreatedWindow, read_instant
from threada_site.api.operations import operation
from threada_site.api.permissions import require
from threada_site.api.viewsets import TenantViewSet, creation, listing
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import FieldError


class PolicyViewSet(TenantViewSet):
    lookup_url_kwarg = "policy_id"
    resource = POLICY
    tag = "Policies"

    def get_queryset(self) -> QuerySet[Policy]:
        return selectors.policies_with_emergencies(self.request.auth)

    @listing("listPolicies", "List policies", POLICY, scope=Scope.WORKITEMS_READ, filters=CreatedWindow)
    def list(self, request: Any) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)
        return self.page()

    @one_at_a_time
    @creation(
        "createPolicy",
        "Create a policy with its first draft",
        scope=Scope.POLICIES_WRITE,
        body=CREATE_POLICY,
        answers={201: POLICY_VERSION},
        reasons=(*DOCUMENT_REFUSALS, "conflict", "quota_exceeded"),
        headers=("Location", "ETag"),
    )
    def create(self, request: Any, body: dict[str, Any]) -> Response:
        """Send the policy as JSON in `document`, or as YAML text in `source`. `policy_id` is optional if the document
        contains its id. Nothing is in force until a version is published and bound by an overlay."""
        sent = sent_policy(body)
        slug = body.get("policy_id", sent.named_id)
        if slug is None:
            missing = FieldError("/policy_id", "is required unless the document contains its id", "required")
            raise errors.InvalidRequest("Name the policy.", errors=[missing])
        with sent.located():
            result = draft_policy_version(slug, sent.value, ctx=replace(request.auth, source=sent.written))
        if not result.is_new or result.row.number != 1:
            raise errors.Conflict(f"The policy {slug} exists. Add a version to it, or choose another id.")
        return answer_version(result.row, status=201, location=True)

    @operation("readPolicy", "Read a policy", scope=Scope.WORKITEMS_READ, answers={200: POLICY})
    def retrieve(self, request: Any, policy_id: str) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)
        return self.shown(found_policy(request, policy_id))

    @operation(
        "withdrawPolicy",
        "Withdraw a policy",
        scope=Scope.POLICIES_PUBLISH,
        answers={204: None},
        may_need_confirmation=True,
        reasons=("in_use",),
    )
    def destroy(self, request: Any, policy_id: str) -> Response:
        """Retire the version in force of a policy that no overlay binds. Its versions stay."""
        withdraw_policy(found_policy(request, policy_id).slug, ctx=request.auth)
        return Response(status=204)

    @action(detail=False)
    @operation(
        "readEffectivePolicies",
        "List the effective rules for the work items of a workflow",
        scope=Scope.WORKITEMS_READ,
        answers={200: EFFECTIVE},
        filters=EffectiveFilters,
        reasons=("unknown_workflow", "unknown_channel", "unknown_group"),
    )
    def effective(self, request: Any) -> Response:
        """Each rule has its origin and the narrower rules that override it if both match. Pass the groups of the
        requester to include rules bound to groups, and an instant to select time windows."""
        rows = self.filter_queryset(selectors.overlays(request.auth))
        workflow, channel = request.query_params["workflow_id"], request.query_params.get("channel_id") or None
        if selectors.workflow_by_slug(workflow, ctx=request.auth) is None:
            raise errors.UnknownWorkflow(errors=[FieldError("?workflow_id", "names no workflow", "unknown")])
        if channel is not None and selectors.channel_by_slug(channel, ctx=request.auth) is None:
            raise errors.UnknownChannel(errors=[FieldError("?channel_id", "names no channel", "unknown")])
        groups = groups_named(request.query_params.get("group_id"))
        for group in groups:
            if not selectors.group_exists(group, tenant_id=request.auth.tenant_id):
                raise errors.UnknownGroup(errors=[FieldError("?group_id", f"{group[:63]} names no group", "unknown")])
        asked_at = read_instant(request.query_params.get("at")) or clock.now()
        asked = {"workflow_id": workflow, "channel_id": channel, "group_ids": groups, "at": asked_at}
        return Response(EFFECTIVE.represent(selectors.bindings(rows), **asked))


class PolicyDecisionViewSet(TenantViewSet):
    id_prefix = ids.POLICY_DECISION
    lookup_url_kwarg = "policy_decision_id"
    resource = POLICY_DECISION
    tag = "Policies"

    @operation(
        "readPolicyDecision", "Read a policy decision", scope=Scope.WORKITEMS_READ, answers={200: POLICY_DECISION}
    )
    def retrieve(self, request: Any, policy_decision_id: str) -> Response:
        """Contains everything needed to understand and repeat the decision."""
        decision = selectors.decision_for(self.row_id, ctx=request.auth)
        if decision is None:
            raise errors.NotFound
        record_reading_of_facts(decision, ctx=request.auth)
        return self.shown(decision)
