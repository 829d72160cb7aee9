"""Endpoints `/workflows` and `/channels`."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.response import Response

from policies import selectors
from policies.api.resources.workflows import CHANNEL, WORKFLOW, WORKFLOW_VERSION
from policies.api.shapes import ADD_WORKFLOW_VERSION, CREATE_CHANNEL, CREATE_WORKFLOW
from policies.configuration.channels import upsert_channel
from policies.configuration.workflows import upsert_workflow
from policies.documents.workflow import WorkflowDocument, parse_workflow
from policies.models import Workflow
from telemetry.receipts.format import Subject
from threada_site.api.filters import CreatedWindow, apply_filters
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.resources.resource import page_of
from threada_site.api.views import TenantView, path_slug
from threada_site.kernel import errors
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import DocumentInvalid, FieldError


class Workflows(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ, "POST": Scope.WORKFLOW_MANAGE}

    @operation(
        "listWorkflows",
        "List workflows",
        tag="Workflows",
        answers={200: page_of(WORKFLOW)},
        filters=CreatedWindow,
        is_paged=True,
    )
    def get(self, request: Any) -> Response:
        rows = apply_filters(CreatedWindow, selectors.workflows(request.auth), request)
        return Response(paginate(rows, request, represent=WORKFLOW.represent))

    @operation(
        "createWorkflow",
        "Create a workflow",
        tag="Workflows",
        body=CREATE_WORKFLOW,
        answers={201: WORKFLOW},
        may_need_confirmation=True,
        reasons=("document_invalid", "conflict"),
        headers=("Location",),
    )
    @idempotent
    def post(self, request: Any) -> Response:
        body = CREATE_WORKFLOW.check(request.data)
        slug = body["workflow_id"]
        self.subject = Subject(workflow=slug)
        document = _document(body["spec"], name=body.get("name", ""))
        exists = errors.Conflict(f"The workflow {slug} exists. Add a version to it, or choose another id.")
        if selectors.all_workflows(request.auth).filter(slug=slug).exists():
            raise exists
        result = upsert_workflow(slug, document, ctx=request.auth)
        if not result.is_new:
            raise exists
        location = {"Location": f"/workflows/{slug}"}
        return Response(WORKFLOW.represent_whole(result.row), status=201, headers=location)


class WorkflowDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    @operation("readWorkflow", "Read a workflow", tag="Workflows", answers={200: WORKFLOW})
    def get(self, request: Any, workflow_id: str) -> Response:
        return Response(WORKFLOW.represent_whole(_found(request, workflow_id)))


class WorkflowVersions(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ, "POST": Scope.WORKFLOW_MANAGE}

    @operation(
        "listWorkflowVersions",
        "List the versions of a workflow",
        tag="Workflows",
        answers={200: page_of(WORKFLOW_VERSION)},
        filters=CreatedWindow,
        is_paged=True,
    )
    def get(self, request: Any, workflow_id: str) -> Response:
        rows = selectors.workflow_versions(_found(request, workflow_id)).defer("spec")
        rows = apply_filters(CreatedWindow, rows, request)
        return Response(paginate(rows, request, represent=WORKFLOW_VERSION.represent))

    @operation(
        "addWorkflowVersion",
        "Add a workflow version for new work items",
        tag="Workflows",
        body=ADD_WORKFLOW_VERSION,
        answers={200: WORKFLOW_VERSION, 201: WORKFLOW_VERSION},
        may_need_confirmation=True,
        reasons=("document_invalid",),
    )
    @idempotent
    def post(self, request: Any, workflow_id: str) -> Response:
        """Existing work items keep their version. If the current version is identical, it is returned (200)."""
        body = ADD_WORKFLOW_VERSION.check(request.data)
        workflow = selectors.all_workflows(request.auth).filter(slug=path_slug(workflow_id)).first()
        if workflow is None:
            raise errors.NotFound
        self.subject = Subject(workflow=workflow.slug)
        before = workflow.current_version_id
        document = _document(body["spec"], name=body.get("name", workflow.name))
        version = upsert_workflow(workflow.slug, document, ctx=request.auth).row.current_version
        assert version is not None  # noqa: S101 - what was put has one
        status = 200 if version.id == before else 201
        return Response(WORKFLOW_VERSION.represent_whole(version), status=status)


class Channels(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ, "POST": Scope.WORKFLOW_MANAGE}

    @operation(
        "listChannels",
        "List channels",
        tag="Channels",
        answers={200: page_of(CHANNEL)},
        filters=CreatedWindow,
        is_paged=True,
    )
    def get(self, request: Any) -> Response:
        rows = apply_filters(CreatedWindow, selectors.channels(request.auth), request)
        return Response(paginate(rows, request, represent=CHANNEL.represent))

    @operation(
        "createChannel",
        "Create a channel",
        tag="Channels",
        body=CREATE_CHANNEL,
        answers={201: CHANNEL},
        may_need_confirmation=True,
        reasons=("conflict",),
        headers=("Location",),
    )
    @idempotent
    def post(self, request: Any) -> Response:
        body = CREATE_CHANNEL.check(request.data)
        slug = body["channel_id"]
        self.subject = Subject(channel=slug)
        exists = errors.Conflict(f"The channel {slug} exists. Choose another id.")
        if selectors.channel_by_slug(slug, ctx=request.auth) is not None:
            raise exists
        result = upsert_channel(slug, ctx=request.auth, name=body.get("name", ""))
        if not result.is_new:
            raise exists
        return Response(CHANNEL.represent(result.row), status=201, headers={"Location": f"/channels/{slug}"})


class ChannelDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    @operation("readChannel", "Read a channel", tag="Channels", answers={200: CHANNEL})
    def get(self, request: Any, channel_id: str) -> Response:
        channel = selectors.channel_by_slug(path_slug(channel_id), ctx=request.auth)
        if channel is None:
            raise errors.NotFound
        return Response(CHANNEL.represent(channel))


def _found(request: Any, workflow_id: str) -> Workflow:
    workflow = selectors.workflow_by_slug(path_slug(workflow_id), ctx=request.auth)
    if workflow is None:
        raise errors.NotFound
    return workflow


def _document(spec: dict[str, Any], *, name: str) -> WorkflowDocument:
    """Parse the workflow in `spec` and `name` of a request body; pointers of errors refer to the body."""
    try:
        return parse_workflow({**spec, "name": name})
    except DocumentInvalid as error:
        moved = [FieldError("/spec" + entry.pointer, entry.detail, entry.code) for entry in error.errors]
        raise DocumentInvalid(error.detail, errors=moved) from None
