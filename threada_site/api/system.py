"""Endpoints about the caller and about the instance."""

from __future__ import annotations

import hmac
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Final

from django.conf import settings
from django.db import connection
from django.http import HttpResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric as PrometheusMetric
from rest_framework.response import Response
from rest_framework.views import APIView

from threada_site.api.monitoring.local_metrics import database_metrics, local_metrics
from threada_site.api.monitoring.readiness import readiness_problem
from threada_site.api.negotiation import AnyNegotiation
from threada_site.api.operations import operation
from threada_site.api.resources.field_types import (
    INTEGER,
    MAYBE_INSTANT,
    SLUG,
    TEXT,
    choice,
    maybe_public_id,
    public_id,
)
from threada_site.api.resources.resource import FieldType, Representation, Resource, field, given
from threada_site.api.views import TenantView
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, PrincipalKind, Scope
from threada_site.tenancy.metrics import current_metrics
from threada_site.tenancy.models import Credential

_SLUGS = FieldType({"type": "array", "items": SLUG.schema}, sorted)
ME = Resource(
    "Me",
    field("principal_id", FieldType(public_id(ids.PRINCIPAL).schema), "actor"),
    field("kind", choice(PrincipalKind), "principal_kind.value"),
    field("name", TEXT, "principal_name"),
    field("tenant", SLUG, "tenant_slug"),
    field("roles", _SLUGS),
    field("groups", _SLUGS, description="Groups of the principal. They give no permissions."),
    field(
        "scopes",
        FieldType({"type": "array", "items": choice(Scope).schema}, sorted),
        description="Scopes on the whole tenant. Grants on single workflows and integrations may add others.",
    ),
    field(
        "credential_id",
        maybe_public_id(ids.CREDENTIAL),
        description="null: the caller sent a token of a trusted issuer.",
    ),
    given("credential_expires_at", MAYBE_INSTANT),
    given("memberships", INTEGER, description="Number of active tenants of the principal."),
    example={
        "principal_id": "pr_01k9zq6w4ve9qtr1n5m2d3c4b5",
        "kind": "service",
        "name": "demo-client",
        "tenant": "demo",
        "roles": ["client"],
        "groups": [],
        "scopes": ["actions:execute", "workitems:read", "workitems:write"],
        "credential_id": "cr_01k9zq6w4ve9qtr1n5m2d3c4b6",
        "credential_expires_at": None,
        "memberships": 1,
    },
)
ALIVE = Resource(
    "Alive", field("status", FieldType({"const": "alive"}), lambda _: "alive"), example={"status": "alive"}
)
READY = Resource(
    "Ready", field("status", FieldType({"const": "ready"}), lambda _: "ready"), example={"status": "ready"}
)
METRICS = Representation("Metrics", {"type": "string"}, media_type="text/plain")
CACHED_SECONDS: Final = 5.0
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="threada-metrics"'}
_HINT: Final = (
    "Send Authorization: Bearer with the metrics token: THREADA_METRICS_TOKEN, or the file keys/metrics_token in the "
    "data directory."
)


class Me(TenantView):
    scopes: ClassVar = {"GET": None}

    @operation("getMe", "Read the caller's principal and permissions", tag="System", answers={200: ME})
    def get(self, request: Any) -> Response:
        """Return principal, tenant, roles and effective scopes of the credential."""
        context: ActingContext = request.auth
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM threada_tenants_of(%s)", [context.principal_id])
            (memberships,) = cursor.fetchone()
        workload = context.authentication.workload
        if workload is not None:
            expires_at: datetime | None = workload.expires_at
        else:
            credential = Credential.objects.get(tenant_id=context.tenant_id, id=str(context.credential_id))
            expires_at = credential.expires_at
        return Response(ME.represent(context, credential_expires_at=expires_at, memberships=memberships))


class PublicView(APIView):
    """View without authentication and without tenant."""

    http_method_names = ["get", "head"]
    authentication_classes = ()
    permission_classes = ()
    content_negotiation_class = AnyNegotiation


class Healthz(PublicView):
    @operation("getHealth", "Check that the process is alive", tag="System", answers={200: ALIVE})
    def get(self, _request: Any) -> Response:
        """Answer without access to the database. A process that answers need not be restarted."""
        return Response(ALIVE.represent(self))


class Readyz(PublicView):
    @operation(
        "getReadiness",
        "Check that the instance is ready",
        tag="System",
        answers={200: READY},
        reasons=("starting", "stopping", "not_ready"),
    )
    def get(self, _request: Any) -> Response:
        """Check that the instance is started and not stopping, and that its database and settings are usable.

        Checks: the database answers and can write, all migrations are applied and no newer one excludes this code,
        tenants are isolated, receipts can be signed, keys and settings are equal to those of the other machines.
        """
        if settings.THREADA_STOPPING_FILE and Path(settings.THREADA_STOPPING_FILE).exists():
            raise errors.InstanceStopping
        if settings.THREADA_READY_FILE and not Path(settings.THREADA_READY_FILE).exists():
            raise errors.InstanceStarting(headers={"Retry-After": "1"})
        problem = readiness_problem()
        if problem:
            raise errors.InstanceNotReady(problem)
        return Response(READY.represent(self))


class Metrics(PublicView):
    security: ClassVar[list[dict[str, list[str]]]] = [{"metrics": []}]

    @operation(
        "getMetrics",
        "Read metrics in the Prometheus text format",
        tag="System",
        answers={200: METRICS},
        reasons=("credential_missing", "credential_invalid"),
    )
    def get(self, request: Any) -> HttpResponse:
        """Return metrics of the instance, without tenants. Needs the metrics token, not a credential.

        Collected at most every five seconds by each web process, or by a worker if the web's login may not collect
        them.
        """
        _require_token(request.META.get("HTTP_AUTHORIZATION", ""))
        return HttpResponse(_page.text(), content_type=CONTENT_TYPE_LATEST)


def _require_token(header: str) -> None:
    """Raise `CredentialMissing` or `CredentialInvalid` unless `header` contains a metrics token."""
    if not header:
        raise errors.CredentialMissing(_HINT, headers=_CHALLENGE)
    scheme, _, sent = header.partition(" ")
    matches = [hmac.compare_digest(sent.strip().encode(), token.encode()) for token in settings.THREADA_METRICS_TOKENS]
    if scheme.lower() != "bearer" or not any(matches):
        raise errors.CredentialInvalid(_HINT, headers=_CHALLENGE)


class _Page:
    """Page of metrics, cached for the process. Requests at the same time wait for one collection."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._collected: tuple[float, bytes] | None = None

    def text(self) -> bytes:
        with self._lock:
            if self._collected is None or time.monotonic() - self._collected[0] >= CACHED_SECONDS:
                registry = CollectorRegistry()
                registry.register(_Collected())
                self._collected = (time.monotonic(), generate_latest(registry))
            return self._collected[1]

    def clear(self) -> None:
        """Forget the cached page, for tests."""
        self._collected = None


_page = _Page()
clear_cached_page = _page.clear


class _Collected:
    """Prometheus collector over the metrics of all collectors in `THREADA_METRICS_COLLECTORS`, and of this machine."""

    def collect(self) -> list[PrometheusMetric]:
        return [*database_metrics(current_metrics), *local_metrics()]
