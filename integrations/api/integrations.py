"""`/integrations`: configured external systems, their versions and tests."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import QuerySet
from django.http import HttpResponse
from rest_framework.decorators import action
from rest_framework.response import Response

from integrations import selectors
from integrations.api.resources import HEALTH, INTEGRATION, INTEGRATION_TEST, INTEGRATION_VERSION
from integrations.api.shapes import PUT_INTEGRATION, REPLACE_INTEGRATION
from integrations.configuration.configure import upsert_integration, withdraw_integration
from integrations.configuration.health import health_of
from integrations.configuration.texts import integration_version_text
from integrations.models import Integration, IntegrationTest, IntegrationVersion
from integrations.probes.run import request_test
from threada_site.api.conditional_requests.tags import check_created, check_if_match, etag, short_digest
from threada_site.api.document_sources import DOCUMENT_SOURCE, SourceVersion, source_answer, version_asked
from threada_site.api.filters import CreatedWindow
from threada_site.api.negotiation import AnyNegotiation
from threada_site.api.operations import operation
from threada_site.api.permissions import require
from threada_site.api.views import path_slug, path_version
from threada_site.api.viewsets import TenantViewSet, creation, listing, verb
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import Scope

_REFUSALS: Final = ("document_invalid", "secret_reference_not_allowed", "secret_origin_refused", "conflict")


class IntegrationViewSet(TenantViewSet):
    lookup_url_kwarg = "integration_id"
    tag = "Integrations"

    def get_queryset(self) -> QuerySet[Integration]:
        return selectors.readable_integrations(self.request.auth)

    def get_object(self) -> Integration:
        return found_integration(self.request, self.kwargs["integration_id"])

    def represent(self, row: Integration) -> dict[str, Any]:
        shown = INTEGRATION.represent(row)
        return shown if selectors.shows_configuration(row, ctx=self.request.auth) else {**shown, "spec": None}

    @listing("listIntegrations", "List integrations", INTEGRATION, scope=Scope.WORKITEMS_READ)
    def list(self, request: Any) -> Response:
        """Return the integrations of the tenant.

        Without `workitems:read` on the tenant, these are those that the principal holds a scope on, and those with an
        action that a readable workflow names; of the latter, `spec` is null. So it is for principals that see only
        their own cases.
        """
        return self.page()

    @creation(
        "putIntegration",
        "Create or change an integration",
        scope=Scope.INTEGRATIONS_MANAGE,
        body=PUT_INTEGRATION,
        answers={200: INTEGRATION, 201: INTEGRATION},
        may_need_confirmation=True,
        reasons=_REFUSALS,
        headers=("Location", "ETag"),
    )
    def create(self, request: Any, body: dict[str, Any]) -> Response:
        """Create an integration, or add a version to an existing one.

        An unchanged integration is returned as it is (200).
        """
        existing = selectors.integration_by_slug(body["integration_id"], ctx=request.auth)
        require(request.auth, Scope.INTEGRATIONS_MANAGE, integration=existing.id if existing else None)
        name = body.get("name") or None
        result = upsert_integration(body["integration_id"], body["spec"], ctx=request.auth, name=name)
        return self._with_tag(result.row, status=201 if result.is_new else 200)

    @operation(
        "readIntegration",
        "Read an integration",
        scope=Scope.WORKITEMS_READ,
        answers={200: INTEGRATION},
        headers=("ETag",),
    )
    def retrieve(self, request: Any, integration_id: str) -> Response:
        return self._with_tag(self.get_object())

    @operation(
        "replaceIntegration",
        "Create or replace an integration",
        scope=Scope.INTEGRATIONS_MANAGE,
        body=REPLACE_INTEGRATION.body,
        answers={200: INTEGRATION, 201: INTEGRATION},
        may_need_confirmation=True,
        needs_if_match=True,
        may_create=True,
        reasons=_REFUSALS,
        headers=("ETag", "Location"),
    )
    def update(self, request: Any, integration_id: str) -> Response:
        """Take what `GET` returns. Changes of `spec` add a version, for which waiting executions are approved again."""
        return self._put(request, path_slug(integration_id))

    @operation(
        "editIntegration",
        "Change members of an integration",
        scope=Scope.INTEGRATIONS_MANAGE,
        body=REPLACE_INTEGRATION.patch,
        answers={200: INTEGRATION},
        may_need_confirmation=True,
        needs_if_match=True,
        reasons=_REFUSALS,
        headers=("ETag",),
    )
    def partial_update(self, request: Any, integration_id: str) -> Response:
        """Merge the members that are sent (RFC 7396): null removes a member, arrays are replaced."""
        return self._put(request, path_slug(integration_id))

    @operation(
        "withdrawIntegration",
        "Withdraw an integration",
        scope=Scope.INTEGRATIONS_MANAGE,
        answers={204: None},
        takes_if_match=True,
        may_need_confirmation=True,
        reasons=("in_use",),
    )
    def destroy(self, request: Any, integration_id: str) -> Response:
        """Accept no new executions on it. Its versions stay; a new version restores it."""
        integration = _locked(request, path_slug(integration_id))
        _require_manage(request, integration)
        if integration is None:
            raise errors.NotFound
        check_if_match(request, _tag(integration), required=False)
        withdraw_integration(integration.slug, ctx=request.auth)
        return Response(status=204)

    @action(detail=True, content_negotiation_class=AnyNegotiation)
    @operation(
        "readIntegrationSource",
        "Read an integration as it was written",
        scope=Scope.WORKITEMS_READ,
        answers={200: DOCUMENT_SOURCE},
        filters=SourceVersion,
    )
    def source(self, request: Any, integration_id: str) -> HttpResponse:
        """Return the text of a version with its comments. If none is stored, it is written from the version."""
        integration = shown_integration(request, integration_id, "the document")
        rows = IntegrationVersion.objects.filter(tenant_id=request.auth.tenant_id, integration=integration)
        version = version_asked(rows, integration.current_version_id, request)
        return source_answer(integration_version_text(version, integration))

    @action(detail=True)
    @operation(
        "readIntegrationHealth", "Read the health of an integration", scope=Scope.WORKITEMS_READ, answers={200: HEALTH}
    )
    def health(self, request: Any, integration_id: str) -> Response:
        """Return the health, derived from the results of its executions. No call is made."""
        integration = shown_integration(request, integration_id, "the health")
        (health,) = health_of([integration], now=clock.now(), ctx=request.auth)
        return Response(HEALTH.represent(health))

    @verb(
        "testIntegration",
        "Check the secrets, the address and the connection of an integration",
        scope=Scope.INTEGRATIONS_MANAGE,
        answers={202: INTEGRATION_TEST},
        headers=("Location", "Retry-After"),
        reasons=("too_many_tests",),
    )
    def test(self, request: Any, integration_id: str) -> Response:
        """Queue a test, and return it. Read it until it is `passed` or `failed`.

        A worker makes the checks. An integration has one open test at a time; a second request returns it. The last
        ten tests of an integration are kept for seven days.
        """
        test = request_test(managed_integration(request, integration_id), ctx=request.auth)
        location = f"/integrations/{integration_id}/tests/{test.public_id}"
        return answer_test(test, status=202, Location=location)

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
        return self._with_tag(result.row, status=201 if integration is None else 200)

    def _with_tag(self, integration: Integration, *, status: int = 200) -> Response:
        location = {"Location": f"/integrations/{integration.slug}"} if status == 201 else {}
        return self.shown(integration, status=status, ETag=_tag(integration), **location)


class IntegrationVersionViewSet(TenantViewSet):
    """Versions of an integration. Executions pin one of them."""

    lookup_url_kwarg = "integration_version"
    resource = INTEGRATION_VERSION
    tag = "Integrations"

    def get_queryset(self) -> QuerySet[IntegrationVersion]:
        """Return the versions, for those who may read the configuration. Raise `NotFound`, `PermissionDenied`."""
        integration = shown_integration(self.request, self.kwargs["integration_id"], "versions")
        rows = IntegrationVersion.objects.filter(tenant_id=self.request.auth.tenant_id, integration=integration)
        return rows.select_related("integration")

    @listing(
        "listIntegrationVersions",
        "List the versions of an integration",
        INTEGRATION_VERSION,
        scope=Scope.WORKITEMS_READ,
        filters=CreatedWindow,
        reasons=("permission_denied",),
    )
    def list(self, request: Any, integration_id: str) -> Response:
        return self.page(self.filter_queryset(self.get_queryset().defer("spec")))

    @operation(
        "readIntegrationVersion",
        "Read a version of an integration",
        scope=Scope.WORKITEMS_READ,
        answers={200: INTEGRATION_VERSION},
        reasons=("permission_denied",),
    )
    def retrieve(self, request: Any, integration_id: str, integration_version: str) -> Response:
        named = path_version(ids.INTEGRATION_VERSION, integration_version)
        version = self.get_queryset().filter(**named).first()
        if version is None:
            raise errors.NotFound
        return Response(INTEGRATION_VERSION.represent_whole(version))


class IntegrationTestViewSet(TenantViewSet):
    """Checks of an integration's configuration by a job. Each opens at most one connection and executes nothing."""

    id_prefix = ids.INTEGRATION_TEST
    lookup_url_kwarg = "integration_test_id"
    tag = "Integrations"

    def get_queryset(self) -> QuerySet[IntegrationTest]:
        return selectors.integration_tests(managed_integration(self.request, self.kwargs["integration_id"]))

    @operation(
        "readIntegrationTest",
        "Read a test of an integration",
        scope=Scope.INTEGRATIONS_MANAGE,
        answers={200: INTEGRATION_TEST},
    )
    def retrieve(self, request: Any, integration_id: str, integration_test_id: str) -> Response:
        return answer_test(self.get_object())


def found_integration(request: Any, integration_id: str) -> Integration:
    """Return the integration in the path. Raise `NotFound`."""
    integration = selectors.readable_integrations(request.auth).filter(slug=path_slug(integration_id)).first()
    if integration is None or integration.current_version is None:
        raise errors.NotFound
    return integration


def shown_integration(request: Any, integration_id: str, what: str) -> Integration:
    """Return the integration in the path, for those who may read its configuration. Raise `NotFound` or refuse."""
    integration = found_integration(request, integration_id)
    if not selectors.shows_configuration(integration, ctx=request.auth):
        raise errors.PermissionDenied(
            f"Reading {what} needs workitems:read on all cases, or a scope on the integration."
        )
    return integration


def managed_integration(request: Any, integration_id: str) -> Integration:
    """Return the integration in the path, which the caller may manage. Raise `NotFound`, `PermissionDenied`."""
    rows = selectors.readable_integrations(request.auth).filter(current_version__isnull=False)
    integration = rows.filter(slug=path_slug(integration_id)).first()
    if integration is None:
        raise errors.NotFound
    require(request.auth, Scope.INTEGRATIONS_MANAGE, integration=integration.id)
    return integration


def answer_test(test: IntegrationTest, *, status: int = 200, **headers: str) -> Response:
    """Return the test as a response, with Retry-After while it is open."""
    retry = {"Retry-After": "1"} if test.is_open else {}
    return Response(INTEGRATION_TEST.represent(test), status=status, headers={**headers, **retry})


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
