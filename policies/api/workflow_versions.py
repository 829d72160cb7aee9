"""`GET /workflows/{id}/versions/{version}`: one version of a workflow. Work items pin one of them."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.response import Response

from policies import selectors
from policies.api.resources.workflows import WORKFLOW_VERSION
from threada_site.api.operations import operation
from threada_site.api.views import TenantView, path_slug, path_version
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope


class WorkflowVersionDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    @operation("readWorkflowVersion", "Read a version of a workflow", tag="Workflows", answers={200: WORKFLOW_VERSION})
    def get(self, request: Any, workflow_id: str, workflow_version: str) -> Response:
        workflow = selectors.workflow_by_slug(path_slug(workflow_id), ctx=request.auth)
        if workflow is None:
            raise errors.NotFound
        rows = selectors.workflow_versions(workflow)
        version = rows.filter(**path_version(ids.WORKFLOW_VERSION, workflow_version)).first()
        if version is None:
            raise errors.NotFound
        return Response(WORKFLOW_VERSION.represent_whole(version))
