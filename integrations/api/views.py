"""Endpoints `/integrations`: configured external systems."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.http import HttpResponse
from rest_framework.response import Response

from integrations import selectors
from integrations.api.resources import HEALTH, INTEGRATION
from integrations.api.shapes import PUT_INTEGRATION, REPLACE_INTEGRATION
from integrations.configuration.configure import upsert_integration, withdraw_integration
from integrations.configuration.health import health_of
from integrations.configuration.texts import integration_version_text
from integrations.models import Integration, IntegrationVersion
from threada_site.api.conditional_requests.tags import check_created, check_if_match, etag, short_digest
from threada_site.api.document_sources import DOCUMENT_SOURCE, SourceVersion, source_answer, version_asked
from threada_site.api.filters import NoFilters, apply_filters
from threada_site.api.idempotency import idempotent
from threada_site.api.negotiation import AnyNegotiation
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.permissions import require
from threada_site.api.resources.resource import page_of
from threada_site.api.views import TenantView, path_slug
from threada_site.kernel import clock, errors
from threada_site.kernel.context import Scope

_REFUSALS: Final = ("document_invalid", "secret_reference_not_allowed", "secret_origin_refused", "conflict")


class Integrations(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ, "POST": Scope.INTEGRATIONS_MANAGE}

    @operation(
        "listIntegrations",
        "List integrations",
        tag="Integrations",
        answers={200: page_of(INTEGRATION)},
        filters=NoFilters,
        is_paged=True,
    )
    def get(self, request: Any) -> Response:
        """Return the integrations of the tenant.

        Without `workitems:read` on the tenant, these are those that the principal holds a scope on, and those with an
        action that a readable workflow names; of the latter, `spec` is null. So it is for principals that see only
        their own cases.
        """
        rows = apply_filters(NoFilters, selectors.readable_integrations(request.auth), request)
        return Response(paginate(rows, request, represent=lambda row: _represented(row, request)))

    @operation(
        "putIntegration",
        "Create or change an integration",
        tag="Integrations",
        body=PUT_INTEGRATION,
        answers={200: INTEGRATION, 201: INTEGRATION},
        may_need_confirmation=True,
        reasons=_REFUSALS,
        headers=("Location", "ETag"),
    )
    @idempotent
    def post(self, request: Any) -> Response:
        """Create an integration, or add a version to an existing one.

        An unchanged integration is returned as it is (200).
        """
        body = PUT_INTEGRATION.check(request.data)
        existing = selectors.integration_by_slug(body["integration_id"], ctx=request.auth)
        require(request.auth, Scope.INTEGRATIONS_MANAGE, integration=existing.id if existing else None)
        name = body.get("name") or None
        result = upsert_integration(body["integration_id"], body["spec"], ctx=request.auth, name=name)
        return _answer(result.row, request, status=201 if result.is_new else 200)


class IntegrationDetail(TenantView):
    scopes: ClassVar = {
        "GET": Scope.WORKITEMS_READ,
        "PUT": Scope.INTEGRATIONS_MANAGE,
        "PATCH": Scope.INTEGRATIONS_MANAGE,
        "DELETE": Scope.INTEGRATIONS_MANAGE,
    }

    @operation(
        "readIntegration", "Read an integration", tag="Integrations", answers={200: INTEGRATION}, headers=("ETag",)
    )
    def get(self, request: Any, integration_id: str) -> Response:
        return _answer(found_integration(request, integration_id), request)

    @operation(
        "replaceIntegration",
        "Create or replace an integration",
        tag="Integrations",
        body=REPLACE_INTEGRATION.body,
        answers={200: INTEGRATION, 201: INTEGRATION},
        may_need_confirmation=True,
        needs_if_match=True,
        may_create=True,
        reasons=_REFUSALS,
        headers=("ETag", "Location"),
    )
    def put(self, request: Any, integration_id: str) -> Response:
        """Take what `GET` returns. Changes of `spec` add a version, for which waiting executions are approved again."""
        return self._put(request, path_slug(integration_id))

    @operation(
        "editIntegration",
        "Change members of an integration",
        tag="Integrations",
        body=REPLACE_INTEGRATION.patch,
        answers={200: INTEGRATION},
        may_need_confirmation=True,
        needs_if_match=True,
        reasons=_REFUSALS,
        headers=("ETag",),
    )
    def patch(self, request: Any, integration_id: str) -> Response:
        """Merge the members that are sent (RFC 7396): null removes a member, arrays are replaced."""
        return self._put(request, path_slug(integration_id))

    @operation(
        "withdrawIntegration",
        "Withdraw an integration",
        tag="Integrations",
        answers={204: None},
        takes_if_match=True,
        may_need_confirmation=True,
        reasons=("in_use",),
    )
    def delete(self, request: Any, integration_id: str) -> Response:
        """Accept no new executions on it. Its versions stay; a new version restores it."""
        integration = _locked(request, path_slug(integration_id))
        _require_manage(request, integration)
        if integration is None:
            raise errors.NotFound
        check_if_match(request, _tag(integration), required=False)
        withdraw_integration(integration.slug, ctx=request.auth)
        return Response(status=204)

    def _put(self, request: Any, slug: str) -> Response:
        integration = _locked(request, slug)
        _require_manage(request, integration)
        if integration is None and request.method == "PATCH":
            raise errors.NotFound
        if integration is None:
            sent = REPLACE_INTEGRATION.created(request, slug)
        else:
            if not selectors.shows_configuration(integration, ctx=request.auth):
                raise errors.PermissionDenied("Changing the configuration needs the right to read it.")
            current = INTEGRATION.represent(integration)
            sent = REPLACE_INTEGRATION.replaced(request, current, tag=_tag(integration))
        name = sent.get("name") or ""
        result = upsert_integration(slug, sent["spec"], ctx=request.auth, name=name)
        if integration is None:
            check_created(is_new=result.is_new)
        return _answer(result.row, request, status=201 if integration is None else 200)


class IntegrationSource(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}
    content_negotiation_class = AnyNegotiation

    @operation(
        "readIntegrationSource",
        "Read an integration as it was written",
        tag="Integrations",
        answers={200: DOCUMENT_SOURCE},
        filters=SourceVersion,
    )
    def get(self, request: Any, integration_id: str) -> HttpResponse:
        """Return the text of a version with its comments. If none is stored, it is written from the version."""
        integration = found_integration(request, integration_id)
        if not selectors.shows_configuration(integration, ctx=request.auth):
            raise errors.PermissionDenied(
                "Reading the document needs workitems:read on all cases, or a scope on the integration."
            )
        rows = IntegrationVersion.objects.filter(tenant_id=request.auth.tenant_id, integration=integration)
        version = version_asked(rows, integration.current_version_id, request)
        return source_answer(integration_version_text(version, integration))


class HealthOfIntegration(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    @operation("readIntegrationHealth", "Read the health of an integration", tag="Integrations", answers={200: HEALTH})
    def get(self, request: Any, integration_id: str) -> Response:
        """Return the health, derived from the results of its executions. No call is made."""
        integration = found_integration(request, integration_id)
        if not selectors.shows_configuration(integration, ctx=request.auth):
            raise errors.PermissionDenied(
                "Reading the health needs workitems:read on all cases, or a scope on the integration."
            )
        (health,) = health_of([integration], now=clock.now(), ctx=request.auth)
        return Response(HEALTH.represent(health))


def found_integration(request: Any, integration_id: str) -> Integration:
    """Return the integration in the path. Raise `NotFound`."""
    integration = selectors.readable_integrations(request.auth).filter(slug=path_slug(integration_id)).first()
    if integration is None or integration.current_version is None:
        raise errors.NotFound
    return integration


def _require_manage(request: Any, integration: Integration | None) -> None:
    """Raise `PermissionDenied`, equally for an integration that the caller may not manage and for an unknown one."""
    require(request.auth, Scope.INTEGRATIONS_MANAGE, integration=integration.id if integration else None)


def _locked(request: Any, slug: str) -> Integration | None:
    """Lock the integration, then read it: a read that waits for the lock would lack the version of that time."""
    rows = selectors.integrations(request.auth).filter(slug=slug, current_version__isnull=False)
    rows.select_related(None).select_for_update(no_key=True).first()
    return rows.first()


def _tag(integration: Integration) -> str:
    assert integration.current_version is not None  # noqa: S101 - withdrawn integrations are not found
    return etag(integration.current_version.public_id, short_digest(integration.name))


def _answer(integration: Integration, request: Any, *, status: int = 200) -> Response:
    location = {"Location": f"/integrations/{integration.slug}"} if status == 201 else {}
    headers = {"ETag": _tag(integration), **location}
    return Response(_represented(integration, request), status=status, headers=headers)


def _represented(integration: Integration, request: Any) -> dict[str, Any]:
    shown = INTEGRATION.represent(integration)
    return shown if selectors.shows_configuration(integration, ctx=request.auth) else {**shown, "spec": None}
