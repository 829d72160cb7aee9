"""`/policies/{policy_id}/versions`: versions of policies: draft, validate, simulate, publish, retire."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from django.db.models import QuerySet
from django.http import HttpResponse
from rest_framework.decorators import action
from rest_framework.response import Response

from policies import selectors
from policies.api.filters import PolicyVersionFilters
from policies.api.one_at_a_time import EVALUATOR_REFUSALS, one_at_a_time
from policies.api.replaceable import REPLACE_DRAFT
from policies.api.replays import answer_replay, replay_asked
from policies.api.resources.policies import POLICY_VERSION, PUBLISHED_VERSION, VALIDATION
from policies.api.resources.trials import POLICY_REPLAY, POLICY_SHADOW, SIMULATION
from policies.api.sent_policies import sent_emergency, sent_policy
from policies.api.shadows import end_asked
from policies.api.shapes import PUBLISH_VERSION, SEND_DOCUMENT
from policies.api.trial_shapes import REPLAY, SHADOW, SIMULATE
from policies.configuration.texts import document_text
from policies.drafts.edit import discard_draft, draft_policy_version, edit_draft
from policies.drafts.validation import validate_policy
from policies.locks import locked_policy_of, locked_version
from policies.models import EmergencyPublication, Policy, PolicyVersion
from policies.publication.emergencies import confirm_emergency, end_emergency
from policies.publication.publish import publish_policy_version, retire_policy_version
from policies.replay.candidate import candidate_version
from policies.replay.request import request_replay
from policies.replay.shadows import start_shadow
from policies.replay.simulate import simulate
from telemetry.api.promises import receipt_promise
from telemetry.receipts.collection import collecting_receipts
from telemetry.receipts.format import Subject
from threada_site.api.conditional_requests.tags import check_if_match, etag
from threada_site.api.document_sources import DOCUMENT_SOURCE, source_answer
from threada_site.api.negotiation import AnyNegotiation
from threada_site.api.operations import operation
from threada_site.api.permissions import require
from threada_site.api.views import path_slug
from threada_site.api.viewsets import TenantViewSet, creation, listing, verb
from threada_site.kernel import errors
from threada_site.kernel.context import Scope

DOCUMENT_REFUSALS: Final = (
    "document_invalid",
    "policy_document_invalid",
    "policy_tests_failed",
    *EVALUATOR_REFUSALS,
)


class PolicyVersionViewSet(TenantViewSet):
    lookup_url_kwarg = "version"
    resource = POLICY_VERSION
    tag = "Policies"

    def get_queryset(self) -> QuerySet[PolicyVersion]:
        return selectors.policy_versions(found_policy(self.request, self.kwargs["policy_id"]))

    def get_object(self) -> PolicyVersion:
        policy = found_policy(self.request, self.kwargs["policy_id"])
        version = selectors.policy_version_named(policy, self.kwargs["version"])
        if version is None:
            raise errors.NotFound
        self.subject = Subject(policy_version_id=version.id, status=version.status)
        return version

    @listing(
        "listPolicyVersions",
        "List the versions of a policy",
        POLICY_VERSION,
        scope=Scope.WORKITEMS_READ,
        filters=PolicyVersionFilters,
    )
    def list(self, request: Any, policy_id: str) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)
        rows = self.get_queryset().defer("document").prefetch_related("emergencies")
        return self.page(self.filter_queryset(rows))

    @one_at_a_time
    @creation(
        "draftPolicyVersion",
        "Draft a version of a policy",
        scope=Scope.POLICIES_WRITE,
        body=SEND_DOCUMENT,
        answers={200: POLICY_VERSION, 201: POLICY_VERSION},
        reasons=(*DOCUMENT_REFUSALS, "quota_exceeded"),
        headers=("Location", "ETag"),
    )
    def create(self, request: Any, policy_id: str, body: dict[str, Any]) -> Response:
        """If a draft or the version in force has the same contents, that version is returned (200)."""
        sent = sent_policy(body)
        policy = found_policy(request, policy_id)
        with sent.located():
            result = draft_policy_version(policy.slug, sent.value, ctx=replace(request.auth, source=sent.written))
        return answer_version(result.row, status=201 if result.is_new else 200, location=result.is_new)

    @operation(
        "readPolicyVersion",
        "Read a version of a policy",
        scope=Scope.WORKITEMS_READ,
        answers={200: POLICY_VERSION},
        headers=("ETag",),
        description="`version` is its number or its id.",
    )
    def retrieve(self, request: Any, policy_id: str, version: str) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)
        return answer_version(self.get_object())

    @operation(
        "replacePolicyDraft",
        "Replace a draft",
        scope=Scope.POLICIES_WRITE,
        body=REPLACE_DRAFT.body,
        answers={200: POLICY_VERSION},
        needs_if_match=True,
        reasons=(*DOCUMENT_REFUSALS, "version_not_draft"),
        headers=("ETag",),
    )
    @one_at_a_time
    def update(self, request: Any, policy_id: str, version: str) -> Response:
        """Take what `GET` returns, or `source`: the policy as YAML or JSON text."""
        return self._edited(request)

    @operation(
        "editPolicyDraft",
        "Change a draft",
        scope=Scope.POLICIES_WRITE,
        body=REPLACE_DRAFT.patch,
        answers={200: POLICY_VERSION},
        needs_if_match=True,
        reasons=(*DOCUMENT_REFUSALS, "version_not_draft"),
        headers=("ETag",),
    )
    @one_at_a_time
    def partial_update(self, request: Any, policy_id: str, version: str) -> Response:
        """Merge `document` into the document of the draft (RFC 7396): null removes a member, arrays are replaced.

        `source` replaces the document by a text.
        """
        require(request.auth, Scope.WORKITEMS_READ)  # the answer shows what was merged into
        return self._edited(request)

    @operation(
        "discardPolicyDraft",
        "Discard a draft",
        scope=Scope.POLICIES_WRITE,
        answers={204: None},
        takes_if_match=True,
        reasons=("version_not_draft",),
    )
    def destroy(self, request: Any, policy_id: str, version: str) -> Response:
        """Retire a draft that is not to be published. It stays readable and no longer counts as a draft."""
        draft = locked_version(self.get_object(), ctx=request.auth)
        check_if_match(request, version_etag(draft), required=False)
        discard_draft(draft, ctx=request.auth)
        return Response(status=204)

    @action(detail=True, content_negotiation_class=AnyNegotiation)
    @operation(
        "readPolicyVersionSource",
        "Read a version of a policy as it was written",
        scope=Scope.WORKITEMS_READ,
        answers={200: DOCUMENT_SOURCE},
        description="`version` is its number or its id. If no text is stored, it is written from the version.",
    )
    def source(self, request: Any, policy_id: str, version: str) -> HttpResponse:
        require(request.auth, Scope.WORKITEMS_READ)
        return source_answer(document_text(self.get_object()))

    @one_at_a_time
    @verb(
        "validatePolicyVersion",
        "Dry-run the publication checks on a version",
        scope=Scope.POLICIES_WRITE,
        answers={200: VALIDATION},
        reasons=("policy_document_invalid", *EVALUATOR_REFUSALS),
    )
    def validate(self, request: Any, policy_id: str, version: str) -> Response:
        """Check the conditions against the payload schemas of the workflows in scope, and run the tests."""
        found = self.get_object()
        validation = validate_policy(found.document, policy=found.policy, ctx=request.auth)
        return Response(VALIDATION.represent(validation, version=found))

    @one_at_a_time
    @verb(
        "publishPolicyVersion",
        "Publish a draft",
        scope=Scope.POLICIES_PUBLISH,
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
    def publish(self, request: Any, policy_id: str, version: str, body: dict[str, Any]) -> Response:
        """Send `If-Match` to publish exactly what was read. The previous version is not retired: its open steps keep it
        unless `applies_to_open` re-evaluates them. If the tenant requires four eyes, a finished replay of the draft is
        required, and the answer is 202: a person who is independent of its writers and of the proposer must publish the
        change set. `emergency` needs a session with a recent password, so a token is refused."""
        found = self.get_object()
        locked_policy_of(found, ctx=request.auth)
        draft = locked_version(found, ctx=request.auth)
        check_if_match(request, version_etag(draft), required=False)
        ctx = collecting_receipts(request.auth)
        published = publish_policy_version(
            draft, ctx=ctx, applies_to_open=body.get("applies_to_open", False), emergency=sent_emergency(body)
        )
        shown = PUBLISHED_VERSION.represent_whole(published, receipt_promise=receipt_promise(ctx))
        return Response(shown, headers={"ETag": version_etag(published)})

    @verb(
        "retirePolicyVersion",
        "Retire a version",
        scope=Scope.POLICIES_PUBLISH,
        answers={200: POLICY_VERSION},
        may_need_confirmation=True,
        reasons=("transition_not_allowed",),
        headers=("ETag",),
    )
    def retire(self, request: Any, policy_id: str, version: str) -> Response:
        """Its open steps are re-evaluated. If it was in force, the policy denies until another version is published."""
        return answer_version(retire_policy_version(self.get_object(), ctx=request.auth))

    @verb(
        "confirmEmergency",
        "Confirm an emergency publication as a second person",
        scope=Scope.POLICIES_PUBLISH,
        answers={200: POLICY_VERSION},
        reasons=(
            "transition_not_allowed",
            "emergency_over",
            "person_required",
            "vote_authentication_required",
            "second_person_required",
        ),
        headers=("ETag",),
    )
    def confirm_emergency(self, request: Any, policy_id: str, version: str) -> Response:
        """Confirm an emergency publication. The version stays in force. Only a person who is independent of the
        publisher can confirm it."""
        return answer_version(confirm_emergency(self._emergency(), ctx=request.auth).version)

    @verb(
        "endEmergency",
        "End an emergency publication",
        scope=Scope.POLICIES_PUBLISH,
        answers={200: POLICY_VERSION},
        reasons=("transition_not_allowed",),
        headers=("ETag",),
    )
    def end_emergency(self, request: Any, policy_id: str, version: str) -> Response:
        """End an emergency publication.

        One that is only announced is withdrawn. Otherwise the version is retired and the previous version is put back
        in force, as at the end of the time box. Open steps of the version are re-evaluated.
        """
        return answer_version(end_emergency(self._emergency(), ctx=request.auth).version)

    @one_at_a_time
    @verb(
        "simulatePolicyVersion",
        "Simulate this version on one set of facts",
        scope=Scope.POLICIES_WRITE,
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
    def simulate(self, request: Any, policy_id: str, version: str, body: dict[str, Any]) -> Response:
        """Evaluate like the live check, together with every other policy that applies, and store nothing.

        Requests that intake or execute refuse earlier are refused here too.
        """
        simulation = simulate(candidate_version(self.get_object()), body["facts"], ctx=request.auth)
        return Response(SIMULATION.represent(simulation))

    @verb(
        "replayPolicyVersion",
        "Replay recorded decisions with this version",
        scope=Scope.POLICIES_WRITE,
        body=REPLAY,
        answers={202: POLICY_REPLAY},
        headers=("Location", "Retry-After"),
        reasons=("document_invalid", "policy_document_invalid", "quota_exceeded"),
    )
    def replay(self, request: Any, policy_id: str, version: str, body: dict[str, Any]) -> Response:
        """Evaluate this version on recorded facts in a job.

        The results are compared with those of the version in force, or (`against: recorded`) with the recorded
        decisions. Poll the replay until it is `finished`. `scopes` replaces the scopes of the policy.
        """
        replay = request_replay(self.get_object(), replay_asked(body), ctx=request.auth)
        return answer_replay(replay, status=202, Location=f"/policy-replays/{replay.public_id}")

    @verb(
        "shadowPolicyVersion",
        "Compare this version with live decisions without enforcing it",
        scope=Scope.POLICIES_WRITE,
        body=SHADOW,
        answers={201: POLICY_SHADOW},
        headers=("Location",),
        reasons=("policy_document_invalid", "conflict"),
    )
    def shadow(self, request: Any, policy_id: str, version: str, body: dict[str, Any]) -> Response:
        """Every live decision of the policy is compared afterwards with the answer of this version on the same facts.
        Live checks are not delayed. The shadow ends automatically at `ends_at`."""
        shadow = start_shadow(self.get_object(), ends_at=end_asked(body["ends_at"]), ctx=request.auth)
        headers = {"Location": f"/policy-shadows/{shadow.public_id}"}
        return Response(POLICY_SHADOW.represent(shadow), status=201, headers=headers)

    def _edited(self, request: Any) -> Response:
        draft = locked_version(self.get_object(), ctx=request.auth)
        body = REPLACE_DRAFT.replaced(request, POLICY_VERSION.represent_whole(draft), tag=version_etag(draft))
        if "source" in body and "document" not in request.data:
            body.pop("document", None)
        sent = sent_policy(body)
        if sent.text is None and sent.value == draft.document:
            return answer_version(draft)
        with sent.located():
            result = edit_draft(draft, sent.value, ctx=replace(request.auth, source=sent.written))
        return answer_version(result.row)

    def _emergency(self) -> EmergencyPublication:
        version = self.get_object()
        rows = EmergencyPublication.objects.filter(tenant_id=self.request.auth.tenant_id, version=version)
        found = rows.order_by("-id").first()
        if found is None:
            raise errors.TransitionNotAllowed(f"Version {version.number} was not published in an emergency.")
        return found


def found_policy(request: Any, policy_id: str) -> Policy:
    """Return the policy in the path. Raise `NotFound`."""
    policy = selectors.policy_by_slug(path_slug(policy_id), ctx=request.auth)
    if policy is None:
        raise errors.NotFound
    return policy


def version_etag(version: PolicyVersion) -> str:
    return etag(version.public_id, version.status, version.document_sha256[:16])


def answer_version(version: PolicyVersion, *, status: int = 200, location: bool = False) -> Response:
    headers = {"ETag": version_etag(version)}
    if location:
        headers["Location"] = f"/policies/{version.policy.slug}/versions/{version.number}"
    return Response(POLICY_VERSION.represent_whole(version), status=status, headers=headers)
