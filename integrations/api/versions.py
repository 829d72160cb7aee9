"""`/integrations/{id}/versions`: versions of an integration. Executions pin one of them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework.response import Response

from integrations import selectors
from integrations.api.resources import INTEGRATION_VERSION
from integrations.api.views import found_integration
from integrations.models import IntegrationVersion
from threada_site.api.filters import CreatedWindow, apply_filters
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.resources.resource import page_of
from threada_site.api.views import TenantView, path_version
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope


class IntegrationVersions(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    @operation(
        "listIntegrationVersions",
        "List the versions of an integration",
        tag="Integrations",
        answers={200: page_of(INTEGRATION_VERSION)},
        filters=CreatedWindow,
        is_paged=True,
        reasons=("permission_denied",),
    )
    def get(self, request: Any, integration_id: str) -> Response:
        rows = apply_filters(CreatedWindow, _versions(request, integration_id).defer("spec"), request)
        return Response(paginate(rows, request, represent=INTEGRATION_VERSION.represent))


class IntegrationVersionDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    @operation(
        "readIntegrationVersion",
        "Read a version of an integration",
        tag="Integrations",
        answers={200: INTEGRATION_VERSION},
        reasons=("permission_denied",),
    )
    def get(self, request: Any, integration_id: str, integration_version: str) -> Response:
        rows = _versions(request, integration_id)
        version = rows.filter(**path_version(ids.INTEGRATION_VERSION, integration_version)).first()
        if version is None:
            raise errors.NotFound
        return Response(INTEGRATION_VERSION.represent_whole(version))


def _versions(request: Any, integration_id: str) -> QuerySet[IntegrationVersion]:
    """Return the versions, for those who may read the configuration. Raise `NotFound`, `PermissionDenied`."""
    integration = found_integration(request, integration_id)
    if not selectors.shows_configuration(integration, ctx=request.auth):
        raise errors.PermissionDenied(
            "Reading versions needs workitems:read on all cases, or a scope on the integration."
        )
    rows = IntegrationVersion.objects.filter(tenant_id=request.auth.tenant_id, integration=integration)
    return rows.select_related("integration")
