"""The checklist of first steps: computed from the real state, for stewards, until one of them hides it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from telemetry.models import Receipt
from tests.console.sign_in import sign_in
from tests.factories import acting, acting_system, make_principal
from threada_site.console.first_steps.hiding import hide_first_steps
from threada_site.console.first_steps.steps import FirstSteps, first_steps
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.four_eyes import turn_on_four_eyes
from threada_site.kernel import clock, errors
from threada_site.runtime.backup.age import record_backup
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES
from threada_site.tenancy.models import LastBackup, Tenant, User
from workitems.gallery.catalogue import gallery_pack
from workitems.gallery.installation import install_from_gallery

HIDE = "/console/first-steps/hide/"


@pytest.fixture
def ada(tenant: Tenant) -> User:
    return make_principal(tenant, "ada", roles=["tenant_admin"])


def steps(tenant: Tenant, user: User) -> FirstSteps | None:
    with unit_of_work(tenant.id):
        return first_steps(acting(tenant, user))


def states(tenant: Tenant, user: User) -> dict[str, str]:
    found = steps(tenant, user)
    assert found is not None
    return {step.title: step.state.value for step in found.steps}


def test_new_tenant_has_everything_open_and_the_backup_unknown(tenant: Tenant, ada: User, settings: Settings) -> None:
    settings.MAILERS = {}
    assert states(tenant, ada) == {
        "Sign-in": "open",
        "People": "open",
        "First workflow": "open",
        "Mail": "open",
        "Backup": "unknown",
        "Four eyes": "open",
    }


def test_steps_follow_the_real_state(tenant: Tenant, ada: User) -> None:
    make_principal(tenant, "bot", kind="agent", roles=["requester"], owner="ada")
    assert states(tenant, ada)["People"] == "open"
    make_principal(tenant, "bob", roles=["approver"])
    with unit_of_work(tenant.id):
        install_from_gallery(gallery_pack("payments"), ctx=acting_system(tenant))
        turn_on_four_eyes(POLICY_FOUR_EYES, ctx=acting_system(tenant))
    found = states(tenant, ada)
    assert [found[title] for title in ("People", "First workflow", "Four eyes", "Backup")] == [
        "done",
        "done",
        "done",
        "unknown",
    ]


def test_the_age_of_the_newest_backup_counts(tenant: Tenant, ada: User) -> None:
    record_backup(name="threada.backup", size=1, has_keys=True)
    assert states(tenant, ada)["Backup"] == "done"
    LastBackup.objects.update(made_at=clock.now() - timedelta(days=2))
    assert states(tenant, ada)["Backup"] == "open"


def test_only_stewards_see_it(tenant: Tenant, ada: User) -> None:
    rita = make_principal(tenant, "rita", roles=["requester"])
    assert steps(tenant, rita) is None
    assert "First steps" not in sign_in(rita).get("/console/").content.decode()
    assert "First steps" in sign_in(ada).get("/console/").content.decode()


def test_a_steward_hides_it_for_the_tenant(tenant: Tenant, other_tenant: Tenant, ada: User) -> None:
    rita = make_principal(tenant, "rita", roles=["requester"])
    second = make_principal(tenant, "second", roles=["tenant_admin"])
    stranger = make_principal(other_tenant, "stranger", roles=["tenant_admin"])
    with pytest.raises(errors.PermissionDenied), unit_of_work(tenant.id):
        hide_first_steps(ctx=acting(tenant, rita))
    sign_in(rita).post(HIDE)
    assert steps(tenant, ada) is not None
    assert sign_in(ada).get(HIDE).status_code == 405
    answer = sign_in(ada).post(HIDE, follow=True).content.decode()
    assert "The checklist is hidden" in answer
    assert steps(tenant, ada) is None
    assert steps(tenant, second) is None
    assert steps(other_tenant, stranger) is not None
    sign_in(second).post(HIDE)
    with unit_of_work(tenant.id):
        assert Receipt.objects.filter(kind="tenant.first_steps_hidden").count() == 1


def test_number_of_statements(tenant: Tenant, ada: User) -> None:
    ctx = acting(tenant, ada)
    with unit_of_work(tenant.id), CaptureQueriesContext(connection) as queries:
        first_steps(ctx)
    assert len(queries) == 6
