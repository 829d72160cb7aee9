"""Endpoint `/usage`: the tenant's quotas and what it uses of them."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from rest_framework.response import Response

from threada_site.api.operations import operation
from threada_site.api.resources.field_types import COUNT, INTEGER, MAYBE_INSTANT, array, choice, inline
from threada_site.api.resources.resource import Resource, field
from threada_site.api.views import TenantView
from threada_site.kernel.context import Scope
from threada_site.tenancy.quotas.kinds import Quota
from threada_site.tenancy.quotas.usage import usage_of

_SOURCES: Final = ("default", "operator")
USAGE: Final = Resource(
    "Usage",
    field(
        "quotas",
        array(
            inline(
                field("quota", choice(Quota), "kind.value"),
                field("used", COUNT),
                field("limit", COUNT, "most"),
                field("percent", INTEGER),
                field("limit_source", choice(_SOURCES), lambda usage: _SOURCES[usage.is_own]),
                field("counted_at", MAYBE_INSTANT, description="Null: counted for this answer."),
            )
        ),
        lambda quotas: quotas,
    ),
)


class Usage(TenantView):
    scopes: ClassVar = {"GET": Scope.TELEMETRY_READ}

    @operation(
        "readUsage",
        "Quotas of the tenant, and what it uses of them",
        tag="Telemetry",
        description=(
            "At a quota, requests for more are refused with `quota_exceeded`. The problem document contains `quota`, "
            "`limit` and `used`. The operator of the instance sets quotas. A job counts stored bytes once a minute."
        ),
        answers={200: USAGE},
    )
    def get(self, request: Any) -> Response:
        return Response(USAGE.represent(usage_of(request.auth.tenant_id)))
