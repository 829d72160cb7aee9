"""Documents of docs/how-to/workload-identity.md with tokens of the shape that the platforms document."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from joserfc import jwt
from pytest_django import Settings

from tests.client import Api
from tests.factories import acting_system, make_principal
from tests.threada_site.api.conftest import assert_problem
from tests.threada_site.identity.trusted_issuers.issuer import ALGORITHMS, PUBLIC_URL, Issuer
from tests.threada_site.identity.trusted_issuers.test_exchange import exchange
from threada_site.database.unit_of_work import unit_of_work
from threada_site.environment import BASE_DIR
from threada_site.identity.trusted_issuers.configure import upsert_trusted_issuer
from threada_site.identity.trusted_issuers.document import parse_trusted_issuer
from threada_site.tenancy.models import Tenant

_PAGE: Final = (Path(BASE_DIR) / "docs/how-to/workload-identity.md").read_text(encoding="utf-8")
_AUDIENCE: Final = f"{PUBLIC_URL}/acme"
_ENTRA_API, _ENTRA_APP = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-000000000000"
_PLATFORMS: Final[dict[str, tuple[str, int, dict[str, Any], dict[str, Any], dict[str, Any]]]] = {
    # heading, number of the document below it, header, claims, one claim of a stranger
    "github": (
        "GitHub Actions",
        0,
        {"typ": "JWT", "x5t": "eBZ_cn3sXYAd0ch4THBKHIgOwOE", "kid": "eBZ_cn3sXYAd0ch4THBKHIgOwOE"},
        {
            "jti": "example-id",
            "sub": "repo:octo-org/octo-repo:environment:prod",
            "environment": "prod",
            "aud": _AUDIENCE,
            "ref": "refs/heads/main",
            "sha": "example-sha",
            "repository": "octo-org/octo-repo",
            "repository_owner": "octo-org",
            "actor_id": "12",
            "repository_visibility": "private",
            "repository_id": "123456",
            "repository_owner_id": "65",
            "run_id": "example-run-id",
            "run_number": "10",
            "run_attempt": "2",
            "runner_environment": "github-hosted",
            "actor": "octocat",
            "workflow": "example-workflow",
            "head_ref": "",
            "base_ref": "",
            "event_name": "push",
            "ref_type": "branch",
            "job_workflow_ref": "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
        },
        {"repository_id": "654321"},
    ),
    "kubernetes": (
        "Kubernetes",
        0,
        {"kid": "kubernetes-key"},
        {
            "aud": [_AUDIENCE],
            "jti": "ea28ed49-2e11-4280-9ec5-bc3d1d84661a",
            "kubernetes.io": {
                "namespace": "payments",
                "node": {"name": "127.0.0.1", "uid": "58456cb0-dd00-45ed-b797-5578fdceaced"},
                "pod": {"name": "runner-69cbfb9798-jv9gn", "uid": "778a530c-b3f4-47c0-9cd5-ab018fb64f33"},
                "serviceaccount": {"name": "runner", "uid": "a087d5a0-e1dd-43ec-93ac-f13d89cd13af"},
                "warnafter": 1700081020,
            },
            "sub": "system:serviceaccount:payments:runner",
        },
        {"sub": "system:serviceaccount:payments:other"},
    ),
    "spiffe": (
        "SPIFFE JWT-SVID",
        0,
        {"typ": "JWT", "kid": "spiffe-key"},
        {"sub": "spiffe://example.org/ns/payments/sa/runner", "aud": [_AUDIENCE]},
        {"sub": "spiffe://example.org/ns/payments/sa/other"},
    ),
    "entra v2": (
        "Microsoft Entra ID",
        0,
        {"typ": "JWT", "kid": "entra-key"},
        {
            "aud": _ENTRA_API,
            "aio": "E2JgYGhYcVm4",
            "azp": _ENTRA_APP,
            "azpacr": "1",
            "idtyp": "app",
            "oid": "77777777-8888-9999-0000-111111111111",
            "rh": "0.AXkA",
            "sub": "77777777-8888-9999-0000-111111111111",
            "tid": "TENANT_ID",
            "uti": "7RPmzgBn0E2yNXmHPzUcAA",
            "ver": "2.0",
        },
        {"idtyp": "user"},
    ),
    "entra v1": (
        "Microsoft Entra ID",
        1,
        {"typ": "JWT", "x5t": "entra-key", "kid": "entra-key"},
        {
            "aud": "api://threada",
            "aio": "E2JgYGhYcVm4",
            "appid": _ENTRA_APP,
            "appidacr": "1",
            "idp": "https://sts.windows.net/TENANT_ID/",
            "idtyp": "app",
            "oid": "77777777-8888-9999-0000-111111111111",
            "sub": "77777777-8888-9999-0000-111111111111",
            "tid": "TENANT_ID",
            "uti": "7RPmzgBn0E2yNXmHPzUcAA",
            "ver": "1.0",
        },
        {"appid": "00000000-0000-0000-0000-000000000000"},
    ),
    "rfc 9068": (
        "Any OAuth 2 server (client credentials)",
        0,
        {"typ": "at+jwt", "kid": "RjEwOwOA"},
        {
            "sub": "billing",
            "aud": _AUDIENCE,
            "client_id": "billing",
            "jti": "dbe39bf3a3ba4238a513f51d6e1691c4",
            "scope": "openid profile reademail",
        },
        {"client_id": "other"},
    ),
}


@pytest.mark.parametrize("name", _PLATFORMS)
def test_documents_of_the_page_accept_tokens_of_the_platform(tenant: Tenant, settings: Settings, name: str) -> None:
    settings.THREADA_WORKLOAD_AUDIENCES = [f"acme={_ENTRA_API}", "acme=api://threada"]
    heading, number, header, claims, strange = _PLATFORMS[name]
    spec = documents_of(heading)[number]
    issuer = Issuer(name=spec["issuer"])
    issuer.keys = {header["kid"]: issuer.keys["first"]}
    spec.pop("jwks_url", None)
    with unit_of_work(tenant.id):
        document = parse_trusted_issuer({**spec, "jwks": issuer.key_set})
        upsert_trusted_issuer("platform", document, ctx=acting_system(tenant))
    (mapped,) = spec["mappings"]
    make_principal(tenant, mapped["principal"], "service", roles=["requester"])
    now = int(time.time())
    said = {"iss": spec["issuer"], "iat": now, "nbf": now, "exp": now + 300, **claims}
    if name == "spiffe":
        del said["nbf"]
    token = signed(issuer, header, said)
    found = Api(token).get("/me").json()
    assert (found["name"], found["scopes"]) == (mapped["principal"], mapped["scopes"]), found
    assert exchange(token).status_code == 200
    assert_problem(Api(signed(issuer, header, said | strange)).get("/me"), 401, "workload_token_untrusted")


def documents_of(heading: str) -> list[dict[str, Any]]:
    """Return the specs in YAML below a heading of the page."""
    section = _PAGE.split(f"### {heading}\n", 1)[1].split("\n### ", 1)[0]
    blocks = re.findall(r"```yaml\n(.*?)```", section, flags=re.DOTALL)
    return [yaml.safe_load(block) for block in blocks]


def signed(issuer: Issuer, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Return a token with this header and these claims."""
    return jwt.encode({"alg": "RS256", **header}, claims, issuer.keys[header["kid"]], algorithms=ALGORITHMS)
