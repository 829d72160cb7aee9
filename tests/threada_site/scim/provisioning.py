"""A provisioning client of a tenant."""

from __future__ import annotations

from typing import Any

from tests.client import Api
from tests.factories import acting_system, make_principal, make_token
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.owners import set_owner
from threada_site.identity.roles import define_role
from threada_site.kernel.context import Scope
from threada_site.tenancy.models import Tenant, User

SCIM = "application/scim+json"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


class Provisioning:
    """Requests with one token. Answers are Django's, with the JSON of the body."""

    def __init__(self, tenant: Tenant, token: str) -> None:
        self.tenant, self.token, self.api = tenant, token, Api(token)

    def send(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        where = f"/scim/v2/{self.tenant.slug}{path}"
        return self.api.send(method, where, body, headers=headers, content_type=SCIM)

    def get(self, path: str) -> Any:
        return self.send("GET", path)

    def add(self, name: str, **attributes: Any) -> Any:
        answer = self.send("POST", "/Users", {"schemas": [USER], "userName": name, **attributes})
        assert answer.status_code == 201, answer.content
        return answer.json()

    def add_group(self, name: str, *members: str, **attributes: Any) -> Any:
        people = [{"value": member} for member in members]
        body = {"schemas": [GROUP], "displayName": name, "members": people, **attributes}
        answer = self.send("POST", "/Groups", body)
        assert answer.status_code == 201, answer.content
        return answer.json()

    def patch(self, path: str, *operations: dict[str, Any]) -> Any:
        return self.send("PATCH", path, {"schemas": [PATCH], "Operations": list(operations)})

    def set_active(self, user_id: str, *, active: bool) -> Any:
        answer = self.patch(f"/Users/{user_id}", {"op": "replace", "path": "active", "value": active})
        assert answer.status_code == 204, answer.content
        return answer


def provisioning_of(tenant: Tenant, name: str = "provisioner") -> Provisioning:
    """Create a service that may provision, with a token of the operator."""
    with unit_of_work(tenant.id):
        define_role("provisioner", frozenset({Scope.IDENTITY_PROVISION}), ctx=acting_system(tenant))
    service = make_principal(tenant, name, kind="service", roles=["provisioner"])
    return Provisioning(tenant, make_token(tenant, service))


def name_owner(scim: Provisioning, name: str) -> None:
    """Name the person who answers for the client; "": nobody does."""
    client = User.objects.get(username="provisioner", home_tenant=scim.tenant)
    with unit_of_work(scim.tenant.id):
        set_owner(client, name, ctx=acting_system(scim.tenant))
