"""Sign-ins of a browser at a SAML provider, step by step."""

from __future__ import annotations

from typing import Any

from django.test import Client
from lxml import etree

from tests.factories import acting_system
from tests.receivers.saml_provider import Answer, Request, metadata_of
from tests.threada_site.sign_in.people import begin
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import EntryPoint
from threada_site.tenancy.models import Tenant
from workitems.configuration.kinds.identity_providers import put_identity_provider

CALLBACK = "/console/login/acme/corp/callback"


def put_saml(tenant: Tenant, slug: str = "corp", **spec: Any) -> None:
    """Put a SAML provider into force as the operator."""
    whole = {"protocol": "saml", "name": "Corp", "metadata": metadata_of("one"), "create_accounts": True, **spec}
    with unit_of_work(tenant.id):
        put_identity_provider(slug, whole, ctx=acting_system(tenant, EntryPoint.COMMAND))


def asked_by(browser: Client, where: str = "acme/corp", onward: str = "") -> Answer:
    """Return an honest answer to the request that a browser brings to the provider."""
    return Answer(Request.read(begin(browser, where, onward)))


def post(browser: Client, form: dict[str, str], where: str = "acme/corp") -> Any:
    return browser.post(f"/console/login/{where}/callback", form)


def sign_in_by_saml(
    where: str = "acme/corp",
    *,
    browser: Client | None = None,
    onward: str = "",
    response: etree._Element | None = None,
    **fields: Any,
) -> tuple[Client, Any]:
    """Sign a person in. Return browser and answer of the callback."""
    browser = browser or Client(enforce_csrf_checks=True)
    answer = asked_by(browser, where, onward).changed(**fields)
    return browser, post(browser, answer.form(response), where)
