"""The public checkers of SCIM servers and storages, run against this server and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.wsgi import get_wsgi_application
from scim2_client.engines.wsgi import WSGISCIMClient
from scim2_models import ScimProvider
from scim2_server.testing import ScimStorageContract
from scim2_tester import Status, check_server

from tests.factories import acting, make_principal, make_tenant
from tests.threada_site.scim.provisioning import provisioning_of
from threada_site.database.unit_of_work import unit_of_work
from threada_site.scim.authority import Client
from threada_site.scim.schemas import PROVIDER
from threada_site.scim.storage import TenantStorage
from threada_site.tenancy.models import Tenant

pytestmark = pytest.mark.slow


def test_scim2_tester_reports_no_failure_and_no_skip(transactional_db: None) -> None:
    scim = provisioning_of(make_tenant("acme"))
    client = WSGISCIMClient(
        get_wsgi_application(),
        base_url="http://testserver/scim/v2/acme",
        headers={"Authorization": f"Bearer {scim.token}"},
    )
    results = check_server(client)
    wrong = [(result.status.name, result.title, result.reason) for result in results if result.status != Status.SUCCESS]
    assert not wrong, "\n".join(map(str, wrong))
    assert {result.resource_type for result in results} >= {"User", "Group"}
    assert any("extension:enterprise" in str(result.reason) for result in results)
    assert len(results) > 100


class TestStorage(ScimStorageContract):
    """The contract of storages of scim2-server. Filters and sort orders that are refused are skipped there."""

    @pytest.fixture
    def provider(self) -> ScimProvider:
        return PROVIDER

    @pytest.fixture
    def storage(self, acme: Tenant) -> Iterator[TenantStorage]:
        service = make_principal(acme, "provisioner", kind="service")
        with unit_of_work(acme.id):
            yield TenantStorage(Client(acting(acme, service), None))

    def test_get_keeps_what_the_response_returns(self) -> None:
        """Replaced by `test_groups.py`: the schema of a group here has no `members.display`."""
