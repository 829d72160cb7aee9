"""Client credentials of a real OAuth 2 server, npm's oidc-provider, in its own process."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.client import Api
from tests.factories import acting_system
from tests.jobs import run_jobs
from tests.receivers.oidc_process import oidc_process
from tests.threada_site.api.conftest import assert_problem
from tests.threada_site.identity.trusted_issuers.issuer import PUBLIC_URL
from tests.threada_site.identity.trusted_issuers.test_exchange import exchanged
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.trusted_issuers.configure import upsert_trusted_issuer
from threada_site.identity.trusted_issuers.document import parse_trusted_issuer
from threada_site.tenancy.models import Tenant, User

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[str]:
    with oidc_process("https://threada.test/callback") as issuer:
        yield issuer


def access_token(server: str, resource: str) -> str:
    """Return an access token by client credentials (RFC 6749, section 4.4) for a resource (RFC 8707)."""
    answer = httpx.post(
        f"{server}/token",
        data={"grant_type": "client_credentials", "resource": resource},
        auth=("billing", "billing-secret"),
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def test_client_credentials(tenant: Tenant, deployer: User, server: str) -> None:
    said = {"when": 'claims.client_id == "billing"', "principal": "deployer", "scopes": ["workitems:read"]}
    with unit_of_work(tenant.id):
        document = parse_trusted_issuer({"issuer": server, "mappings": [said]})
        upsert_trusted_issuer("oauth", document, ctx=acting_system(tenant))
    run_jobs()
    token = access_token(server, f"{PUBLIC_URL}/acme")
    assert Api(token).get("/me").json()["scopes"] == ["workitems:read"]
    assert Api(exchanged(token)).get("/me").json()["name"] == "deployer"
    for_others = access_token(server, f"{PUBLIC_URL}/globex")
    assert_problem(Api(for_others).get("/me"), 401, "workload_token_untrusted")
