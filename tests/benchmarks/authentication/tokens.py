"""Authentication by a token of a trusted issuer, next to one by a stored token in the same run."""

from __future__ import annotations

import statistics
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final

from tests.benchmarks.decisions import rounds
from tests.benchmarks.figures import Figure
from tests.benchmarks.world import TENANT, World

AIM: Final = 3.0


def measure(world: World) -> Iterator[Figure]:
    """Measure both authentications with their SQL, and the verification of a token alone."""
    from django.test import override_settings

    from threada_site.identity.trusted_issuers.claims import map_claims, read_token
    from threada_site.identity.trusted_issuers.keys import is_signed, public_keys
    from threada_site.kernel import clock

    with override_settings(THREADA_PUBLIC_URL="https://threada.test"):
        token, spec = _trusted(world)
        keys = public_keys(spec["jwks"])

        def verify() -> Any:
            read = read_token(token, now=clock.now())
            assert is_signed(token, keys[read.key_id], read.algorithm)
            return map_claims(read.claims, spec["mappings"], default_minutes=60)

        found = rounds(_authentication(world.token), _authentication(token), verify)
    stored, external, alone = map(statistics.median, found)
    yield Figure(
        name="authentication by a workload token (RS256), beside a stored token",
        value=f"{external:.0f} µs",
        beside=f"{stored:.0f} µs",
        ratio=external / stored,
        aim=f"<= {AIM:g}",
        is_met=external / stored <= AIM,
    )
    yield Figure(
        name="of that: claims, signature and mapping, without SQL",
        value=f"{alone:.0f} µs",
        beside=f"{stored:.0f} µs",
        ratio=alone / stored,
    )


def _trusted(world: World) -> tuple[str, dict[str, Any]]:
    """Trust a new issuer. Return a token for the service of the world, and the spec."""
    from tests.factories import acting_system
    from tests.threada_site.identity.trusted_issuers.issuer import Issuer, mapping, spec
    from threada_site.database.unit_of_work import unit_of_work
    from threada_site.identity.trusted_issuers.configure import upsert_trusted_issuer
    from threada_site.identity.trusted_issuers.document import parse_trusted_issuer
    from threada_site.tenancy.models import Tenant

    issuer = Issuer()
    said = spec(issuer, mapping(principal="client"), jwks=issuer.key_set)
    tenant = Tenant.objects.get(id=uuid.UUID(world.tenant_id))
    with unit_of_work(tenant.id):
        upsert_trusted_issuer("benchmark", parse_trusted_issuer(said), ctx=acting_system(tenant))
    return issuer.token(aud=f"https://threada.test/{TENANT}", exp=4_000_000_000), said


def _authentication(token: str) -> Callable[[], Any]:
    """Return a function that authenticates a request in a transaction of its own."""
    from django.test import RequestFactory

    from threada_site.api.authentication import CredentialAuthentication
    from threada_site.database.unit_of_work import entered_unit_of_work

    class _Wrapped:
        def __init__(self) -> None:
            self._request: Any = RequestFactory().get("/me", headers={"Authorization": f"Bearer {token}"})
            self.META = self._request.META
            self.correlation_id = uuid.uuid4().hex
            self.parser_context: dict[str, Any] = {}

    def authenticate() -> Any:
        with entered_unit_of_work():
            return CredentialAuthentication().authenticate(_Wrapped())

    return authenticate
