"""Fixtures: a tenant with the service `deployer`, and a trusted issuer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from tests.factories import acting_system, make_principal
from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver, receiver  # noqa: F401 - a fixture
from tests.step_up import step_up  # noqa: F401 - a fixture
from tests.threada_site.identity.trusted_issuers.issuer import PUBLIC_URL, Issuer, mapping, spec
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.trusted_issuers import verification
from threada_site.identity.trusted_issuers.configure import upsert_trusted_issuer
from threada_site.identity.trusted_issuers.document import parse_trusted_issuer
from threada_site.tenancy.models import Tenant, TrustedIssuer, User


@pytest.fixture(autouse=True)
def public_url(settings: Settings) -> Iterator[None]:
    settings.THREADA_PUBLIC_URL = PUBLIC_URL
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]
    yield
    verification._asked.clear()


@pytest.fixture
def deployer(tenant: Tenant) -> User:
    return make_principal(tenant, "deployer", "service", roles=["requester"])


@pytest.fixture
def offline() -> Issuer:
    """Return an issuer whose key set is in the document."""
    return Issuer()


@pytest.fixture
def online(receiver: Receiver) -> Issuer:  # noqa: F811
    """Return an issuer that serves its keys from a process of its own."""
    return Issuer(receiver)


def trust(tenant: Tenant, issuer: Issuer, *mappings: dict[str, Any], slug: str = "ci", **more: Any) -> TrustedIssuer:
    """Trust an issuer, as the operator, and run the job that fetches its keys."""
    if issuer.receiver is None:
        more.setdefault("jwks", issuer.key_set)
    document = parse_trusted_issuer(spec(issuer, *(mappings or (mapping(),)), **more))
    with unit_of_work(tenant.id):
        row = upsert_trusted_issuer(slug, document, ctx=acting_system(tenant)).row
    run_jobs()
    return row
