"""Endpoints of tests of integrations: a request queues a test, and its result is read later."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.response import Response

from integrations import selectors
from integrations.api.resources import INTEGRATION_TEST
from integrations.models import Integration, IntegrationTest
from integrations.probes.run import request_test
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.permissions import require
from threada_site.api.shapes import EMPTY
from threada_site.api.views import TenantView, path_id, path_slug
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope


class TestIntegration(TenantView):
    """Check of an integration's configuration by a job. Opens at most one connection and executes nothing."""

    scopes: ClassVar = {"POST": Scope.INTEGRATIONS_MANAGE}

    @operation(
        "testIntegration",
        "Check the secrets, the address and the connection of an integration",
        tag="Integrations",
        body=EMPTY,
        answers={202: INTEGRATION_TEST},
        headers=("Location", "Retry-After"),
        reasons=("too_many_tests",),
    )
    @idempotent
    def post(self, request: Any, integration_id: str) -> Response:
        """Queue a test, and return it. Read it until it is `passed` or `failed`.

        A worker makes the checks. An integration has one open test at a time; a second request returns it. The last
        ten tests of an integration are kept for seven days.
        """
        EMPTY.check(request.data)
        test = request_test(managed_integration(request, integration_id), ctx=request.auth)
        location = f"/integrations/{integration_id}/tests/{test.public_id}"
        return _answer(test, status=202, headers={"Location": location})


class IntegrationTestDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.INTEGRATIONS_MANAGE}

    @operation(
        "readIntegrationTest", "Read a test of an integration", tag="Integrations", answers={200: INTEGRATION_TEST}
    )
    def get(self, request: Any, integration_id: str, integration_test_id: str) -> Response:
        rows = selectors.integration_tests(managed_integration(request, integration_id))
        test = rows.filter(id=path_id(ids.INTEGRATION_TEST, integration_test_id)).first()
        if test is None:
            raise errors.NotFound
        return _answer(test)


def managed_integration(request: Any, integration_id: str) -> Integration:
    """Return the integration of the path, which the caller may manage."""
    rows = selectors.readable_integrations(request.auth).filter(current_version__isnull=False)
    integration = rows.filter(slug=path_slug(integration_id)).first()
    if integration is None:
        raise errors.NotFound
    require(request.auth, Scope.INTEGRATIONS_MANAGE, integration=integration.id)
    return integration


def _answer(test: IntegrationTest, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return the test as a response, with Retry-After while it is open."""
    retry = {"Retry-After": "1"} if test.is_open else {}
    return Response(INTEGRATION_TEST.represent(test), status=status, headers={**(headers or {}), **retry})
