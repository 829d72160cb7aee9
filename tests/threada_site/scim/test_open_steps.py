"""Open decision steps when an approver is deprovisioned."""

from __future__ import annotations

from tests.factories import acting_system
from tests.threada_site.scim.provisioning import provisioning_of
from tests.workitems.office import RULES, open_office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.grants.role_grants import grant_role
from threada_site.kernel import ids
from threada_site.tenancy.models import Tenant, User
from workitems.steps.reachability_sweep import check_tenant


def test_step_that_nobody_can_complete_says_so_and_escalates(tenant: Tenant) -> None:
    office, scim = open_office(tenant), provisioning_of(tenant)
    ann = scim.add("ann")["id"]
    scim.add_group("Board", ann)
    person = User.objects.get(id=ids.parse_public_id(ids.PRINCIPAL, ann))
    with unit_of_work(tenant.id):
        grant_role(person, "approver", ctx=acting_system(tenant))
    asks = {"all": [{"group": "board", "count": 1}], "escalate_to": {"role": "tenant_admin"}}
    office.put_rules({**RULES[1], "approvals": asks}, *RULES[2:])
    item, step, _ = office.awaiting()
    scim.set_active(ann, active=False)
    check_tenant(tenant.id)  # the job that the departure enqueued
    (said,) = office.bodies("decision_step.nobody_can_decide")
    assert said["inputs"]["decision_step_id"] == step.public_id
    assert office.step(step).escalated_to == [{"role": "tenant_admin"}]
    office.vote(step, "ada")
    assert office.step(step).status == "approved"
    assert not office.item(item).nobody_can_decide
