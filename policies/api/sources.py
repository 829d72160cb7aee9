"""Endpoints `…/source` of workflows, policies and lists: their documents as they were written."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpResponse

from policies import selectors
from policies.api.policies import version_asked as policy_version_asked
from policies.configuration.texts import document_text, list_version_text, workflow_version_text
from policies.models import ListVersion
from threada_site.api.document_sources import DOCUMENT_SOURCE, SourceVersion, source_answer, version_asked
from threada_site.api.negotiation import AnyNegotiation
from threada_site.api.operations import operation
from threada_site.api.permissions import require, require_reader
from threada_site.api.views import TenantView, path_slug
from threada_site.kernel import errors
from threada_site.kernel.context import Scope


class WorkflowSource(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}
    content_negotiation_class = AnyNegotiation

    @operation(
        "readWorkflowSource",
        "Read a workflow as it was written",
        tag="Workflows",
        answers={200: DOCUMENT_SOURCE},
        filters=SourceVersion,
    )
    def get(self, request: Any, workflow_id: str) -> HttpResponse:
        """Return the text of a version with its comments. If none is stored, it is written from the version."""
        workflow = selectors.workflow_by_slug(path_slug(workflow_id), ctx=request.auth)
        if workflow is None:
            raise errors.NotFound
        rows = selectors.workflow_versions(workflow)
        return source_answer(workflow_version_text(version_asked(rows, workflow.current_version_id, request)))


class PolicyVersionSource(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}
    content_negotiation_class = AnyNegotiation

    @operation(
        "readPolicyVersionSource",
        "Read a version of a policy as it was written",
        tag="Policies",
        answers={200: DOCUMENT_SOURCE},
        description="`version` is its number or its id. If no text is stored, it is written from the version.",
    )
    def get(self, request: Any, policy_id: str, version: str) -> HttpResponse:
        require(request.auth, Scope.WORKITEMS_READ)
        return source_answer(document_text(policy_version_asked(self, request, policy_id, version)))


class ListSource(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}
    content_negotiation_class = AnyNegotiation

    @operation(
        "readListSource",
        "Read a list as it was written",
        tag="Policies",
        answers={200: DOCUMENT_SOURCE},
        filters=SourceVersion,
        reasons=("permission_denied",),
    )
    def get(self, request: Any, list_id: str) -> HttpResponse:
        """Return the text of a version with its comments. If none is stored, it is written from the version."""
        require_reader(request.auth)
        found = selectors.lists(request.auth).filter(slug=path_slug(list_id)).first()
        if found is None:
            raise errors.NotFound
        rows = ListVersion.objects.filter(tenant_id=request.auth.tenant_id, list=found).select_related("list")
        return source_answer(list_version_text(version_asked(rows, found.current_version_id, request)))
