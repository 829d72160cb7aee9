from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from tests.factories import make_tenant
from tests.receivers.oidc_provider import OidcProvider, running_provider
from tests.step_up import step_up  # noqa: F401 - a fixture
from threada_site.sign_in import metadata, slots
from threada_site.tenancy.models import Tenant


@pytest.fixture
def provider(settings: Settings) -> Iterator[OidcProvider]:
    settings.THREADA_EGRESS_ALLOW = ["127.0.0.1/32"]
    settings.THREADA_PUBLIC_URL = ""
    metadata.forget()
    slots.reset()
    with running_provider() as running:
        yield running


@pytest.fixture
def acme(db: None) -> Tenant:
    return make_tenant("acme")
