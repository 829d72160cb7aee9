"""Tenant under `policy_four_eyes` with people, a service, and a policy that is bound to a workflow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.client import Api
from tests.contract.world import made
from tests.factories import acting, acting_system, make_principal, make_token
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.four_eyes import turn_on_four_eyes
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.authority_models import AccountDependence, DependenceReason
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES
from threada_site.tenancy.models import Tenant, User

STRICT = {"rules": [{"id": "ask", "when": "true", "effect": "deny", "reason": "STRICT"}]}
LENIENT = {"rules": [{"id": "go", "when": "true", "effect": "allow", "reason": "LENIENT"}]}


@dataclass(frozen=True)
class Office:
    """Tenant with two stewards, a service that holds every scope, and the overlay that binds `strict`."""

    tenant: Tenant
    ada: Api
    ben: Api
    robot: Api
    overlay_id: str

    def require(self) -> None:
        """Turn `policy_four_eyes` on."""
        ctx = acting_system(self.tenant)
        with unit_of_work(self.tenant.id):
            turn_on_four_eyes(POLICY_FOUR_EYES, ctx=ctx)

    def principal(self, name: str) -> User:
        return User.objects.get(username=name)

    def context(self, name: str) -> ActingContext:
        return acting(self.tenant, self.principal(name))

    def depends(self, name: str, on: str) -> None:
        """Record that the account `name` was created by `on`."""
        with unit_of_work(self.tenant.id):
            AccountDependence.objects.create(
                tenant_id=self.tenant.id,
                user=self.principal(name),
                depends_on=self.principal(on),
                reason=DependenceReason.CREATED,
            )

    def is_bound(self) -> bool:
        return self.overlay_id in [row["overlay_id"] for row in made(self.ada.get("/overlays"))["data"]]

    def remove_overlay(self, by: Api, key: str | None = None) -> Any:
        headers = {"Idempotency-Key": key} if key else None
        return by.send("DELETE", f"/overlays/{self.overlay_id}", headers=headers)

    def bind(self, by: Api, key: str | None = None) -> Any:
        """Bind `lenient` to the workflow."""
        headers = {"Idempotency-Key": key} if key else None
        body = {"policy_id": "lenient", "scope": {"workflow": "wages"}}
        return by.post("/overlays", body, headers=headers)


def make_office(tenant: Tenant) -> Office:
    """Create the office. The rule is off."""
    ada, ben, robot = (
        Api(make_token(tenant, make_principal(tenant, name, kind=kind, roles=["tenant_admin"])))
        for name, kind in (("ada", "human"), ("ben", "human"), ("robot", "service"))
    )
    made(ada.post("/workflows", {"workflow_id": "wages", "spec": {"actions": ["pay"]}}))
    for slug, document in (("strict", STRICT), ("lenient", LENIENT)):
        version = made(ada.post("/policies", {"policy_id": slug, "document": document}))["policy_version_id"]
        made(ada.post(f"/policies/{slug}/versions/{version}/publish", {}))
    overlay = made(ada.post("/overlays", {"policy_id": "strict", "scope": {"workflow": "wages"}}))
    return Office(tenant, ada, ben, robot, overlay["overlay_id"])


def publish(by: Api, proposed: Any) -> Any:
    """Publish the change set of an answer 202, by its digest."""
    assert proposed.status_code == 202, proposed.content
    body = proposed.json()
    return by.post(f"/change-sets/{body['change_set_id']}/publish", {"digest": body["digest"]})


def refusal(answer: Any) -> tuple[int, str]:
    """Return status and reason code of a refusal."""
    return answer.status_code, answer.json()["reason_code"]
