"""Every operation in a tenant refuses a service that ended a moment ago, by its own and by its exchanged token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from integrations.freezes.scope import FreezeScope
from tests.client import Api
from tests.contract.document import operations
from tests.factories import acting_system, make_principal
from tests.threada_site.identity.trusted_issuers.conftest import trust
from tests.threada_site.identity.trusted_issuers.issuer import Issuer
from tests.threada_site.identity.trusted_issuers.test_exchange import exchange, exchanged
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.principals import remove_member
from threada_site.identity.trusted_issuers.configure import withdraw_trusted_issuer
from threada_site.tenancy.models import Tenant, User
from workitems.executions.freezes import lift_freeze, set_freeze


def _remove(tenant: Tenant, user: User) -> None:
    remove_member(user, ctx=acting_system(tenant))


def _deactivate(_tenant: Tenant, user: User) -> None:
    User.objects.filter(id=user.id).update(is_active=False)


def _withdraw(tenant: Tenant, _user: User) -> None:
    withdraw_trusted_issuer("ci", ctx=acting_system(tenant))


@pytest.mark.parametrize(
    ("end", "status", "reasons"),
    [
        (_remove, 401, ["workload_not_mapped", "credential_revoked"]),
        (_deactivate, 403, ["principal_inactive", "principal_inactive"]),
        (_withdraw, 401, ["workload_token_untrusted", "credential_revoked"]),
    ],
)
def test_every_entry_point_refuses_a_machine_that_ended(
    tenant: Tenant, offline: Issuer, end: Callable[[Tenant, User], None], status: int, reasons: list[str]
) -> None:
    robot = make_principal(tenant, "deployer", "service", roles=["tenant_admin"])
    trust(tenant, offline)
    own = offline.token()
    senders = [Api(own), Api(exchanged(own))]
    assert [api.get("/me").status_code for api in senders] == [200, 200]
    with unit_of_work(tenant.id):
        end(tenant, robot)
    asked = 0
    for operation in operations():
        if operation.is_public:
            continue
        path = operation.at(dict.fromkeys(operation.variables, "x"))
        for api, reason in zip(senders, reasons, strict=True):
            answer: Any = api.send(operation.method, path, operation.body)
            assert (answer.status_code, answer.json()["reason_code"]) == (status, reason), str(operation)
            asked += 1
    assert asked > 200
    assert exchange(own).status_code == 400


def test_a_frozen_agent_is_refused_by_its_own_and_by_its_exchanged_token(tenant: Tenant, offline: Issuer) -> None:
    agent = make_principal(tenant, "deployer", "agent", roles=["client"])
    trust(tenant, offline)
    own = offline.token()
    senders = [Api(own), Api(exchanged(own))]
    assert [api.get("/me").status_code for api in senders] == [200, 200]
    with unit_of_work(tenant.id):
        scope = FreezeScope(principal=agent.username)
        freeze = set_freeze(scope, reason="It deploys too much.", ctx=acting_system(tenant)).freeze
    for api in senders:
        for answer in (api.get("/me"), api.post("/work-items", {}), api.post("/mcp", {})):
            assert (answer.status_code, answer.json()["reason_code"]) == (403, "principal_frozen")
    assert exchange(own).status_code == 400
    with unit_of_work(tenant.id):
        lift_freeze(freeze.id, reason="It was fixed.", ctx=acting_system(tenant))
    assert [api.get("/me").status_code for api in senders] == [200, 200]
