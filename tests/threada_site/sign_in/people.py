"""Sign-ins of a browser at a provider, step by step."""

from __future__ import annotations

from typing import Any

from django.test import Client

from tests.factories import acting_system
from tests.receivers.oidc_provider import OidcProvider
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import EntryPoint
from threada_site.tenancy.models import Tenant
from workitems.configuration.kinds.identity_providers import put_identity_provider


def put_provider(tenant: Tenant, provider: OidcProvider, slug: str = "corp", **spec: Any) -> None:
    """Put an identity provider into force as the operator."""
    whole = {
        "protocol": "oidc",
        "name": "Corp",
        "issuer": provider.issuer,
        "client_id": "threada",
        "create_accounts": True,
        **spec,
    }
    ctx = acting_system(tenant, EntryPoint.COMMAND)
    with unit_of_work(tenant.id):
        put_identity_provider(slug, whole, ctx=ctx)


def begin(browser: Client, where: str = "acme/corp", onward: str = "") -> str:
    """Return the address of the provider to which the browser is sent."""
    answer = browser.get(f"/console/login/{where}", {"next": onward} if onward else {})
    assert answer.status_code == 302, answer.content.decode()
    address: str = answer["Location"]
    return address


def finish(browser: Client, answer: dict[str, str], where: str = "acme/corp") -> Any:
    return browser.get(f"/console/login/{where}/callback", answer)


def sign_in_at(
    provider: OidcProvider, where: str = "acme/corp", *, browser: Client | None = None, onward: str = "", **claims: Any
) -> tuple[Client, Any]:
    """Sign a person in. Return browser and answer of the callback."""
    browser = browser or Client()
    answer = provider.authorize(begin(browser, where, onward), **claims)
    return browser, finish(browser, answer, where)
