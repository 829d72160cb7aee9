"""Endpoints about the caller and about the instance."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Final

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily
from rest_framework.response import Response
from rest_framework.views import APIView

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
from threada_site.jobs.engines.choice import engine_problem
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, PrincipalKind, Scope
from threada_site.kernel.metrics import Metric
from threada_site.tenancy.instance_membership import clock_skew, compare_facts, difference
from threada_site.tenancy.isolation_checks import isolation_problems
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
ISOLATED_SECONDS: Final = 1.0
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

        Checks: the database answers, all migrations are applied, tenants are isolated, keys and settings are equal to
        those of the other machines.
        """
        if settings.THREADA_STOPPING_FILE and Path(settings.THREADA_STOPPING_FILE).exists():
            raise errors.InstanceStopping
        if settings.THREADA_READY_FILE and not Path(settings.THREADA_READY_FILE).exists():
            raise errors.InstanceStarting(headers={"Retry-After": "1"})
        if not migrations_are_applied():
            raise errors.InstanceNotReady("Migrations are missing. Run manage.py migrate.")
        problem = engine_problem(works=False)
        if problem:
            raise errors.InstanceNotReady(f"{problem}.")
        problems = problems_of_isolation()
        if problems:
            raise errors.InstanceNotReady("Tenants are not isolated: " + "; ".join(problems) + ".")
        differing = facts_that_differ()
        if differing:
            raise errors.InstanceNotReady(
                "This machine cannot join the instance: " + "; ".join(map(difference, differing)) + "."
            )
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
    """Prometheus collector over the metrics of all collectors in `THREADA_METRICS_COLLECTORS`."""

    def collect(self) -> list[GaugeMetricFamily]:
        families: dict[str, GaugeMetricFamily] = {}
        for metric in (*current_metrics(), _skew()):
            names, values = [name for name, _ in metric.labels], [value for _, value in metric.labels]
            family = families.setdefault(metric.name, GaugeMetricFamily(metric.name, metric.description, labels=names))
            family.add_metric(values, metric.value)
        return list(families.values())


def _skew() -> Metric:
    return Metric(
        "threada_clock_skew_seconds",
        "Seconds by which this machine's clock is ahead of the database's.",
        clock_skew(),
    )


_applied: set[str] = set()
_isolated_until: dict[str, float] = {}
_same: set[str] = set()


def problems_of_isolation() -> Sequence[str]:
    """Return what would show rows of other tenants. Once there is nothing, that is cached for a second.

    Anybody may call `/readyz`, and the checks read the catalogue of the database.
    """
    name = connection.settings_dict["NAME"]
    if time.monotonic() < _isolated_until.get(name, 0.0):
        return ()
    problems = isolation_problems()
    if not problems:
        _isolated_until[name] = time.monotonic() + ISOLATED_SECONDS
    return problems


def facts_that_differ() -> list[str]:
    """Return keys and settings that differ from the recorded ones. Once all are recorded and equal, that is cached."""
    name = connection.settings_dict["NAME"]
    if name in _same:
        return []
    differing, are_recorded = compare_facts(with_settings=True)
    if are_recorded and not differing:
        _same.add(name)
    return differing


def migrations_are_applied() -> bool:
    """Return True if all migrations of this code are applied. True is cached for the process."""
    name = connection.settings_dict["NAME"]
    if name not in _applied:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return False
        _applied.add(name)
    return True
