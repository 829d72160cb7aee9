"""Endpoints that validate, publish and retire versions of policies."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.response import Response

from policies.api.one_at_a_time import EVALUATOR_REFUSALS, one_at_a_time
from policies.api.policies import answer_version, version_asked, version_etag
from policies.api.resources.policies import POLICY_VERSION, PUBLISHED_VERSION, VALIDATION
from policies.api.sent_policies import sent_emergency
from policies.api.shapes import PUBLISH_VERSION
from policies.drafts.validation import validate_policy
from policies.locks import locked_policy_of, locked_version
from policies.publication.publish import publish_policy_version, retire_policy_version
from telemetry.api.promises import receipt_promise
from telemetry.receipts.collection import collecting_receipts
from threada_site.api.conditional_requests.tags import check_if_match
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.shapes import EMPTY
from threada_site.api.views import TenantView
from threada_site.kernel.context import Scope


class ValidatePolicyVersion(TenantView):
    scopes: ClassVar = {"POST": Scope.POLICIES_WRITE}

    @operation(
        "validatePolicyVersion",
        "Dry-run the publication checks on a version",
        tag="Policies",
        body=EMPTY,
        answers={200: VALIDATION},
        reasons=("policy_document_invalid", *EVALUATOR_REFUSALS),
    )
    @one_at_a_time
    @idempotent
    def post(self, request: Any, policy_id: str, version: str) -> Response:
        """Check the conditions against the payload schemas of the workflows in scope, and run the tests."""
        EMPTY.check(request.data)
        found = version_asked(self, request, policy_id, version)
        validation = validate_policy(found.document, policy=found.policy, ctx=request.auth)
        return Response(VALIDATION.represent(validation, version=found))


class PublishPolicyVersion(TenantView):
    scopes: ClassVar = {"POST": Scope.POLICIES_PUBLISH}

    @operation(
        "publishPolicyVersion",
        "Publish a draft",
        tag="Policies",
        body=PUBLISH_VERSION,
        answers={200: PUBLISHED_VERSION},
        may_need_confirmation=True,
        takes_if_match=True,
        reasons=(
            "policy_document_invalid",
            "policy_tests_failed",
            "version_not_draft",
            "person_required",
            "vote_authentication_required",
            "step_up_required",
            "replay_report_required",
            "emergency_pending",
            "emergency_not_available",
            *EVALUATOR_REFUSALS,
        ),
        headers=("ETag",),
    )
    @one_at_a_time
    @idempotent
    def post(self, request: Any, policy_id: str, version: str) -> Response:
        """Send `If-Match` to publish exactly what was read. The previous version is not retired: its open steps keep it
        unless `applies_to_open` re-evaluates them. If the tenant requires four eyes, a finished replay of the draft is
        required, and the answer is 202: a person who is independent of its writers and of the proposer must publish the
        change set. `emergency` needs a session with a recent password, so a token is refused."""
        body = PUBLISH_VERSION.check(request.data)
        found = version_asked(self, request, policy_id, version)
        locked_policy_of(found, ctx=request.auth)
        draft = locked_version(found, ctx=request.auth)
        check_if_match(request, version_etag(draft), required=False)
        ctx = collecting_receipts(request.auth)
        published = publish_policy_version(
            draft, ctx=ctx, applies_to_open=body.get("applies_to_open", False), emergency=sent_emergency(body)
        )
        promise = receipt_promise(ctx)
        body = PUBLISHED_VERSION.represent_whole(published, receipt_promise=promise)
        return Response(body, headers={"ETag": version_etag(published)})


class RetirePolicyVersion(TenantView):
    scopes: ClassVar = {"POST": Scope.POLICIES_PUBLISH}

    @operation(
        "retirePolicyVersion",
        "Retire a version",
        tag="Policies",
        body=EMPTY,
        answers={200: POLICY_VERSION},
        may_need_confirmation=True,
        reasons=("transition_not_allowed",),
        headers=("ETag",),
    )
    @idempotent
    def post(self, request: Any, policy_id: str, version: str) -> Response:
        """Its open steps are re-evaluated. If it was in force, the policy denies until another version is published."""
        EMPTY.check(request.data)
        found = version_asked(self, request, policy_id, version)
        return answer_version(retire_policy_version(found, ctx=request.auth))
