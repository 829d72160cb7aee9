from __future__ import annotations

from typing import TYPE_CHECKING

from django.apps import AppConfig

if TYPE_CHECKING:
    from threada_site.kernel.tracing import Tracer


class TelemetryConfig(AppConfig):
    name = "telemetry"

    def ready(self) -> None:
        from django.conf import settings

        from threada_site.kernel import tracing

        if settings.THREADA_OTLP_ENDPOINT:
            tracing.install(_otlp_tracer)


def _otlp_tracer() -> Tracer:
    """Return the OTLP tracer. Imports OpenTelemetry here, because the package is large and rarely used."""
    from django.conf import settings

    from telemetry.otlp import OtlpTracer

    return OtlpTracer(settings.THREADA_OTLP_ENDPOINT, version=settings.THREADA_VERSION)
