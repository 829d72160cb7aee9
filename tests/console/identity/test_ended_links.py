"""Links to identity providers that ended: shown to stewards, and restored after a step-up."""

from __future__ import annotations

from django.urls import reverse

from tests.console.sign_in import Console, confirm
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.dependence import open_dependences
from threada_site.kernel import clock
from threada_site.tenancy.models import IdentityLink, IdentityProvider, User


def test_a_steward_restores_the_links_of_a_member(demo: Demo, stepped_up: Console) -> None:
    person, tenant = User.objects.get(username="finance-1"), demo.tenant
    with unit_of_work(tenant.id):
        provider = IdentityProvider.objects.create(tenant=tenant, slug="corp", name="Corp")
        IdentityLink.objects.create(
            tenant=tenant,
            provider=provider,
            user=person,
            issuer="https://id.example",
            subject="f1",
            ended_at=clock.now(),
        )
    admin = stepped_up("admin")
    page = reverse("admin:tenancy_membership_change", args=[person.public_id])
    assert "Restore links" in admin.get(page).content.decode()
    answer = confirm(admin, reverse("admin:tenancy_membership_restore_links", args=[person.public_id]))
    assert answer.status_code == 302
    assert "Restore links" not in admin.get(page).content.decode()
    with unit_of_work(tenant.id):
        assert IdentityLink.objects.get(user=person).ended_at is None
        assert open_dependences(person.id, tenant_id=tenant.id)
