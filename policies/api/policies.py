"""Endpoints `/policies` and their versions: draft, validate, publish, retire."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from rest_framework.response import Response

from policies import selectors
from policies.api.filters import PolicyVersionFilters
from policies.api.one_at_a_time import EVALUATOR_REFUSALS, one_at_a_time
from policies.api.replaceable import REPLACE_DRAFT
from policies.api.resources.policies import POLICY, POLICY_VERSION
from policies.api.sent_policies import sent_policy
from policies.api.shapes import CREATE_POLICY, SEND_DOCUMENT
from policies.configuration.removal import withdraw_policy
from policies.drafts.edit import discard_draft, draft_policy_version, edit_draft
from policies.locks import locked_version
from policies.models import Policy, PolicyVersion
from telemetry.receipts.format import Subject
from threada_site.api.conditional_requests.tags import check_if_match, etag
from threada_site.api.filters import CreatedWindow, apply_filters
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.permissions import require
from threada_site.api.resources.resource import page_of
from threada_site.api.views import TenantView, path_slug
from threada_site.kernel import errors
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import FieldError

_DOCUMENT_REFUSALS = ("document_invalid", "policy_document_invalid", "policy_tests_failed", *EVALUATOR_REFUSALS)


class Policies(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ, "POST": Scope.POLICIES_WRITE}

    @operation(
        "listPolicies",
        "List policies",
        tag="Policies",
        answers={200: page_of(POLICY)},
        filters=CreatedWindow,
        is_paged=True,
    )
    def get(self, request: Any) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)
        rows = apply_filters(CreatedWindow, selectors.policies_with_emergencies(request.auth), request)
        return Response(paginate(rows, request, represent=POLICY.represent))

    @operation(
        "createPolicy",
        "Create a policy with its first draft",
        tag="Policies",
        body=CREATE_POLICY,
        answers={201: POLICY_VERSION},
        reasons=(*_DOCUMENT_REFUSALS, "conflict", "quota_exceeded"),
        headers=("Location", "ETag"),
    )
    @one_at_a_time
    @idempotent
    def post(self, request: Any) -> Response:
        """Send the policy as JSON in `document`, or as YAML text in `source`. `policy_id` is optional if the document
        contains its id. Nothing is in force until a version is published and bound by an overlay."""
        body = CREATE_POLICY.check(request.data)
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


class PolicyDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ, "DELETE": Scope.POLICIES_PUBLISH}

    @operation("readPolicy", "Read a policy", tag="Policies", answers={200: POLICY})
    def get(self, request: Any, policy_id: str) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)
        return Response(POLICY.represent(_policy(request, policy_id)))

    @operation(
        "withdrawPolicy",
        "Withdraw a policy",
        tag="Policies",
        answers={204: None},
        may_need_confirmation=True,
        reasons=("in_use",),
    )
    def delete(self, request: Any, policy_id: str) -> Response:
        """Retire the version in force of a policy that no overlay binds. Its versions stay."""
        withdraw_policy(_policy(request, policy_id).slug, ctx=request.auth)
        return Response(status=204)


class PolicyVersions(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ, "POST": Scope.POLICIES_WRITE}

    @operation(
        "listPolicyVersions",
        "List the versions of a policy",
        tag="Policies",
        answers={200: page_of(POLICY_VERSION)},
        filters=PolicyVersionFilters,
        is_paged=True,
    )
    def get(self, request: Any, policy_id: str) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)
        rows = selectors.policy_versions(_policy(request, policy_id)).defer("document").prefetch_related("emergencies")
        rows = apply_filters(PolicyVersionFilters, rows, request)
        return Response(paginate(rows, request, represent=POLICY_VERSION.represent))

    @operation(
        "draftPolicyVersion",
        "Draft a version of a policy",
        tag="Policies",
        body=SEND_DOCUMENT,
        answers={200: POLICY_VERSION, 201: POLICY_VERSION},
        reasons=(*_DOCUMENT_REFUSALS, "quota_exceeded"),
        headers=("Location", "ETag"),
    )
    @one_at_a_time
    @idempotent
    def post(self, request: Any, policy_id: str) -> Response:
        """If a draft or the version in force has the same contents, that version is returned (200)."""
        sent = sent_policy(SEND_DOCUMENT.check(request.data))
        policy = _policy(request, policy_id)
        with sent.located():
            result = draft_policy_version(policy.slug, sent.value, ctx=replace(request.auth, source=sent.written))
        return answer_version(result.row, status=201 if result.is_new else 200, location=result.is_new)


class PolicyVersionDetail(TenantView):
    scopes: ClassVar = {
        "GET": Scope.WORKITEMS_READ,
        "PUT": Scope.POLICIES_WRITE,
        "PATCH": Scope.POLICIES_WRITE,
        "DELETE": Scope.POLICIES_WRITE,
    }

    @operation(
        "readPolicyVersion",
        "Read a version of a policy",
        tag="Policies",
        answers={200: POLICY_VERSION},
        headers=("ETag",),
        description="`version` is its number or its id.",
    )
    def get(self, request: Any, policy_id: str, version: str) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)
        return answer_version(version_asked(self, request, policy_id, version))

    @operation(
        "replacePolicyDraft",
        "Replace a draft",
        tag="Policies",
        body=REPLACE_DRAFT.body,
        answers={200: POLICY_VERSION},
        needs_if_match=True,
        reasons=(*_DOCUMENT_REFUSALS, "version_not_draft"),
        headers=("ETag",),
    )
    @one_at_a_time
    def put(self, request: Any, policy_id: str, version: str) -> Response:
        """Take what `GET` returns, or `source`: the policy as YAML or JSON text."""
        return self._edit(request, policy_id, version)

    @operation(
        "editPolicyDraft",
        "Change a draft",
        tag="Policies",
        body=REPLACE_DRAFT.patch,
        answers={200: POLICY_VERSION},
        needs_if_match=True,
        reasons=(*_DOCUMENT_REFUSALS, "version_not_draft"),
        headers=("ETag",),
    )
    @one_at_a_time
    def patch(self, request: Any, policy_id: str, version: str) -> Response:
        """Merge `document` into the document of the draft (RFC 7396): null removes a member, arrays are replaced.

        `source` replaces the document by a text.
        """
        return self._edit(request, policy_id, version)

    @operation(
        "discardPolicyDraft",
        "Discard a draft",
        tag="Policies",
        answers={204: None},
        takes_if_match=True,
        reasons=("version_not_draft",),
    )
    def delete(self, request: Any, policy_id: str, version: str) -> Response:
        """Retire a draft that is not to be published. It stays readable and no longer counts as a draft."""
        draft = locked_version(version_asked(self, request, policy_id, version), ctx=request.auth)
        check_if_match(request, version_etag(draft), required=False)
        discard_draft(draft, ctx=request.auth)
        return Response(status=204)

    def _edit(self, request: Any, policy_id: str, version: str) -> Response:
        if request.method == "PATCH":
            require(request.auth, Scope.WORKITEMS_READ)  # the answer shows what was merged into
        draft = locked_version(version_asked(self, request, policy_id, version), ctx=request.auth)
        body = REPLACE_DRAFT.replaced(request, POLICY_VERSION.represent_whole(draft), tag=version_etag(draft))
        if "source" in body and "document" not in request.data:
            body.pop("document", None)
        sent = sent_policy(body)
        if sent.text is None and sent.value == draft.document:
            return answer_version(draft)
        with sent.located():
            result = edit_draft(draft, sent.value, ctx=replace(request.auth, source=sent.written))
        return answer_version(result.row)


def _policy(request: Any, policy_id: str) -> Policy:
    policy = selectors.policy_by_slug(path_slug(policy_id), ctx=request.auth)
    if policy is None:
        raise errors.NotFound
    return policy


def version_asked(view: TenantView, request: Any, policy_id: str, name: str) -> PolicyVersion:
    version = selectors.policy_version_named(_policy(request, policy_id), name)
    if version is None:
        raise errors.NotFound
    view.subject = Subject(policy_version_id=version.id, status=version.status)
    return version


def version_etag(version: PolicyVersion) -> str:
    return etag(version.public_id, version.status, version.document_sha256[:16])


def answer_version(version: PolicyVersion, *, status: int = 200, location: bool = False) -> Response:
    headers = {"ETag": version_etag(version)}
    if location:
        headers["Location"] = f"/policies/{version.policy.slug}/versions/{version.number}"
    return Response(POLICY_VERSION.represent_whole(version), status=status, headers=headers)
