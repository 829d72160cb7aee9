"""`/workflows` and their versions."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import QuerySet
from django.http import HttpResponse
from rest_framework.decorators import action
from rest_framework.response import Response

from policies import selectors
from policies.api.replaceable import REPLACE_WORKFLOW
from policies.api.resources.workflows import WORKFLOW, WORKFLOW_VERSION
from policies.api.shapes import ADD_WORKFLOW_VERSION, CREATE_WORKFLOW
from policies.configuration.removal import withdraw_workflow
from policies.configuration.texts import workflow_version_text
from policies.configuration.workflows import upsert_workflow
from policies.documents.workflow import WorkflowDocument, parse_workflow
from policies.models import Workflow, WorkflowVersion
from telemetry.receipts.format import Subject
from threada_site.api.conditional_requests.tags import check_created, check_if_match, etag, short_digest
from threada_site.api.document_sources import DOCUMENT_SOURCE, SourceVersion, source_answer, version_asked
from threada_site.api.filters import CreatedWindow
from threada_site.api.negotiation import AnyNegotiation
from threada_site.api.operations import operation
from threada_site.api.views import path_slug, path_version
from threada_site.api.viewsets import TenantViewSet, creation, listing
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import DocumentInvalid, FieldError

_REFUSALS: Final = ("document_invalid", "permission_denied")


class WorkflowViewSet(TenantViewSet):
    lookup_url_kwarg = "workflow_id"
    resource = WORKFLOW
    tag = "Workflows"

    def get_queryset(self) -> QuerySet[Workflow]:
        return selectors.workflows(self.request.auth)

    def get_object(self) -> Workflow:
        return _found(self.request, self.kwargs["workflow_id"])

    @listing("listWorkflows", "List workflows", WORKFLOW, scope=Scope.WORKITEMS_READ, filters=CreatedWindow)
    def list(self, request: Any) -> Response:
        return self.page()

    @creation(
        "createWorkflow",
        "Create a workflow",
        scope=Scope.WORKFLOW_MANAGE,
        body=CREATE_WORKFLOW,
        answers={201: WORKFLOW},
        may_need_confirmation=True,
        reasons=("document_invalid", "conflict"),
        headers=("Location", "ETag"),
    )
    def create(self, request: Any, body: dict[str, Any]) -> Response:
        slug = body["workflow_id"]
        self.subject = Subject(workflow=slug)
        document = _document(body["spec"], name=body.get("name", ""))
        exists = errors.Conflict(f"The workflow {slug} exists. Add a version to it, or choose another id.")
        if selectors.all_workflows(request.auth).filter(slug=slug).exists():
            raise exists
        result = upsert_workflow(slug, document, ctx=request.auth)
        if not result.is_new:
            raise exists
        return _answer(result.row, status=201)

    @operation(
        "readWorkflow", "Read a workflow", scope=Scope.WORKITEMS_READ, answers={200: WORKFLOW}, headers=("ETag",)
    )
    def retrieve(self, request: Any, workflow_id: str) -> Response:
        return _answer(self.get_object())

    @operation(
        "replaceWorkflow",
        "Create or replace a workflow",
        scope=Scope.WORKFLOW_MANAGE,
        body=REPLACE_WORKFLOW.body,
        answers={200: WORKFLOW, 201: WORKFLOW},
        may_need_confirmation=True,
        needs_if_match=True,
        may_create=True,
        reasons=_REFUSALS,
        headers=("ETag", "Location"),
    )
    def update(self, request: Any, workflow_id: str) -> Response:
        """Take what `GET` returns. Changes of `spec` add a version for new work items; others keep theirs."""
        return self._put(request, path_slug(workflow_id))

    @operation(
        "editWorkflow",
        "Change members of a workflow",
        scope=Scope.WORKFLOW_MANAGE,
        body=REPLACE_WORKFLOW.patch,
        answers={200: WORKFLOW},
        may_need_confirmation=True,
        needs_if_match=True,
        reasons=_REFUSALS,
        headers=("ETag",),
    )
    def partial_update(self, request: Any, workflow_id: str) -> Response:
        """Merge the members that are sent (RFC 7396): null removes a member, arrays are replaced."""
        self.get_object()  # the answer shows what was merged into, so it must be readable
        return self._put(request, path_slug(workflow_id))

    @operation(
        "withdrawWorkflow",
        "Withdraw a workflow",
        scope=Scope.WORKFLOW_MANAGE,
        answers={204: None},
        takes_if_match=True,
        may_need_confirmation=True,
        reasons=("in_use",),
    )
    def destroy(self, request: Any, workflow_id: str) -> Response:
        """Accept no new work items of it. Its versions and ended work items stay; a new version restores it.

        Open work items refuse the withdrawal (`in_use`).
        """
        workflow = _locked(request, path_slug(workflow_id))
        if workflow is None:
            raise errors.NotFound
        self.subject = Subject(workflow=workflow.slug)
        check_if_match(request, _tag(workflow), required=False)
        withdraw_workflow(workflow.slug, ctx=request.auth)
        return Response(status=204)

    @action(detail=True, content_negotiation_class=AnyNegotiation)
    @operation(
        "readWorkflowSource",
        "Read a workflow as it was written",
        scope=Scope.WORKITEMS_READ,
        answers={200: DOCUMENT_SOURCE},
        filters=SourceVersion,
    )
    def source(self, request: Any, workflow_id: str) -> HttpResponse:
        """Return the text of a version with its comments. If none is stored, it is written from the version."""
        workflow = self.get_object()
        rows = selectors.workflow_versions(workflow)
        return source_answer(workflow_version_text(version_asked(rows, workflow.current_version_id, request)))

    def _put(self, request: Any, slug: str) -> Response:
        workflow = _locked(request, slug)
        if workflow is None and request.method == "PATCH":
            raise errors.NotFound
        self.subject = Subject(workflow=slug)
        if workflow is None:
            sent = REPLACE_WORKFLOW.created(request, slug)
        else:
            current = WORKFLOW.represent_whole(workflow)
            sent = REPLACE_WORKFLOW.replaced(request, current, tag=_tag(workflow))
            _keep_ended_subject(request, sent)
        document = _document(sent["spec"], name=sent.get("name") or "")
        result = upsert_workflow(slug, document, ctx=request.auth)
        if workflow is None:
            check_created(is_new=result.is_new)
        return _answer(result.row, status=201 if workflow is None else 200)


class WorkflowVersionViewSet(TenantViewSet):
    """Versions of a workflow. Work items pin one of them."""

    lookup_url_kwarg = "workflow_version"
    resource = WORKFLOW_VERSION
    tag = "Workflows"

    def get_queryset(self) -> QuerySet[WorkflowVersion]:
        return selectors.workflow_versions(_found(self.request, self.kwargs["workflow_id"]))

    @listing(
        "listWorkflowVersions",
        "List the versions of a workflow",
        WORKFLOW_VERSION,
        scope=Scope.WORKITEMS_READ,
        filters=CreatedWindow,
    )
    def list(self, request: Any, workflow_id: str) -> Response:
        return self.page(self.filter_queryset(self.get_queryset().defer("spec")))

    @creation(
        "addWorkflowVersion",
        "Add a workflow version for new work items",
        scope=Scope.WORKFLOW_MANAGE,
        body=ADD_WORKFLOW_VERSION,
        answers={200: WORKFLOW_VERSION, 201: WORKFLOW_VERSION},
        may_need_confirmation=True,
        reasons=("document_invalid",),
        headers=("Location",),
    )
    def create(self, request: Any, workflow_id: str, body: dict[str, Any]) -> Response:
        """Existing work items keep their version. If the current version is identical, it is returned (200)."""
        workflow = selectors.all_workflows(request.auth).filter(slug=path_slug(workflow_id)).first()
        if workflow is None:
            raise errors.NotFound
        self.subject = Subject(workflow=workflow.slug)
        before = workflow.current_version_id
        document = _document(body["spec"], name=body.get("name", workflow.name))
        version = upsert_workflow(workflow.slug, document, ctx=request.auth).row.current_version
        assert version is not None  # noqa: S101 - what was put has one
        status = 200 if version.id == before else 201
        location = {"Location": f"/workflows/{workflow.slug}/versions/{version.number}"}
        return Response(WORKFLOW_VERSION.represent_whole(version), status=status, headers=location)

    @operation(
        "readWorkflowVersion",
        "Read a version of a workflow",
        scope=Scope.WORKITEMS_READ,
        answers={200: WORKFLOW_VERSION},
    )
    def retrieve(self, request: Any, workflow_id: str, workflow_version: str) -> Response:
        version = self.get_queryset().filter(**path_version(ids.WORKFLOW_VERSION, workflow_version)).first()
        if version is None:
            raise errors.NotFound
        return Response(WORKFLOW_VERSION.represent_whole(version))


def _found(request: Any, workflow_id: str) -> Workflow:
    workflow = selectors.workflow_by_slug(path_slug(workflow_id), ctx=request.auth)
    if workflow is None:
        raise errors.NotFound
    return workflow


def _locked(request: Any, slug: str) -> Workflow | None:
    """Lock the workflow, then read it: a read that waits for the lock would lack the version of that time."""
    rows = selectors.all_workflows(request.auth).filter(slug=slug)
    rows.select_related(None).select_for_update(no_key=True).first()
    return rows.first()


def _keep_ended_subject(request: Any, sent: dict[str, Any]) -> None:
    """Keep the null of a PATCH that ends the protection of personal data, which the merge has removed."""
    patched = request.data.get("spec") if request.method == "PATCH" else None
    if isinstance(patched, dict) and patched.get("subject", "") is None:
        sent["spec"] = {**sent["spec"], "subject": None}


def _tag(workflow: Workflow) -> str:
    assert workflow.current_version is not None  # noqa: S101 - withdrawn workflows are not found
    return etag(workflow.current_version.public_id, short_digest(workflow.name))


def _answer(workflow: Workflow, *, status: int = 200) -> Response:
    location = {"Location": f"/workflows/{workflow.slug}"} if status == 201 else {}
    return Response(WORKFLOW.represent_whole(workflow), status=status, headers={"ETag": _tag(workflow), **location})


def _document(spec: dict[str, Any], *, name: str) -> WorkflowDocument:
    """Parse the workflow in `spec` and `name` of a request body; pointers of errors refer to the body."""
    try:
        return parse_workflow({**spec, "name": name})
    except DocumentInvalid as error:
        moved = [FieldError("/spec" + entry.pointer, entry.detail, entry.code) for entry in error.errors]
        raise DocumentInvalid(error.detail, errors=moved) from None
