"""Installation from the gallery: idempotent, all or nothing, under four eyes, never over what a tenant changed."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from integrations.models import Execution
from policies.configuration.lists import upsert_list
from policies.documents.list import ListDocument
from policies.models import List, Pack, Workflow
from policies.publication.publish import upsert_policy
from tests.console.sign_in import confirm, sign_in, step_up
from tests.factories import acting, acting_system, make_principal
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.four_eyes import turn_on_four_eyes
from threada_site.identity.roles import define_role
from threada_site.identity.selectors import role_scopes
from threada_site.kernel import errors
from threada_site.kernel.context import Scope
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES
from threada_site.tenancy.models import Role, Tenant, User
from workitems.configuration.packs import remove_pack
from workitems.gallery.catalogue import gallery_pack
from workitems.gallery.installation import Effect, Plan, install_from_gallery, plan_installation
from workitems.models import WorkItem

PAYMENTS = gallery_pack("payments")
PAGE = "/console/policies/pack/gallery/payments/"
OWN_RULES = {"rules": [{"id": "never", "when": "true", "effect": "deny", "reason": "OURS"}]}


@pytest.fixture
def ada(tenant: Tenant) -> User:
    return make_principal(tenant, "ada", roles=["tenant_admin"])


def planned(tenant: Tenant) -> Plan:
    with unit_of_work(tenant.id):
        return plan_installation(PAYMENTS, ctx=acting_system(tenant))


def install(tenant: Tenant, **options: Any) -> None:
    with unit_of_work(tenant.id):
        install_from_gallery(PAYMENTS, ctx=acting_system(tenant), **options)


def test_plan_names_everything_that_is_created(tenant: Tenant) -> None:
    plan = planned(tenant)
    assert (plan.installed, plan.replaced) == ("", [])
    assert [(entry.kind, entry.name, entry.effect) for entry in plan.documents] == [
        ("Role", "finance", "create"),
        ("Channel", "payment_form", "create"),
        ("List", "sanctioned_vendors", "create"),
        ("Workflow", "payment_run", "create"),
        ("Integration", "int_bank", "create"),
        ("Policy", "payments", "create"),
        ("Overlay", "payments on workflow payment_run", "create"),
    ]


def test_second_installation_changes_nothing(tenant: Tenant) -> None:
    install(tenant)
    plan = planned(tenant)
    assert (plan.installed, plan.changes) == ("1.0.0", [])
    install(tenant, plan_digest=plan.digest)
    with unit_of_work(tenant.id):
        assert Pack.objects.get().current_version.number == 1  # type: ignore[union-attr]


def test_removal_leaves_the_roles(tenant: Tenant) -> None:
    install(tenant)
    with unit_of_work(tenant.id):
        remove_pack("payments", ctx=acting_system(tenant))
        assert not Workflow.objects.filter(current_version__isnull=False).exists()
        assert Role.objects.filter(slug="finance").exists()
    assert planned(tenant).installed == ""
    install(tenant)
    assert planned(tenant).installed == "1.0.0"


def test_existing_role_stays_as_it_is(tenant: Tenant) -> None:
    with unit_of_work(tenant.id):
        define_role("finance", frozenset({Scope.WORKITEMS_READ}), ctx=acting_system(tenant))
    install(tenant)
    with unit_of_work(tenant.id):
        assert role_scopes("finance", tenant_id=tenant.id) == {Scope.WORKITEMS_READ}


@pytest.mark.parametrize("is_installed", [False, True])
def test_documents_of_the_tenant_are_replaced_only_if_confirmed(tenant: Tenant, is_installed: bool) -> None:
    if is_installed:
        install(tenant)
    with unit_of_work(tenant.id):
        upsert_list("sanctioned_vendors", ListDocument(None, ("Ours",)), ctx=acting_system(tenant))
    plan = planned(tenant)
    (replaced,) = plan.replaced
    assert (replaced.kind, replaced.name, replaced.effect) == ("List", "sanctioned_vendors", Effect.REPLACE)
    assert "-  - Ours" in replaced.difference
    assert "+  - Initech" in replaced.difference
    with pytest.raises(errors.Conflict, match="would replace documents"):
        install(tenant, plan_digest=plan.digest)
    with unit_of_work(tenant.id):
        assert List.objects.get().current_version.spec == ["Ours"]  # type: ignore[union-attr]
    install(tenant, plan_digest=plan.digest, replaces=True)
    assert planned(tenant).changes == []


def test_change_after_the_page_was_shown_is_noticed(tenant: Tenant) -> None:
    plan = planned(tenant)
    with unit_of_work(tenant.id):
        upsert_policy("payments", OWN_RULES, ctx=acting_system(tenant))
    with pytest.raises(errors.Conflict, match="has changed since"):
        install(tenant, plan_digest=plan.digest, replaces=True)


def test_four_eyes_make_it_one_change_set(tenant: Tenant, ada: User) -> None:
    with unit_of_work(tenant.id):
        turn_on_four_eyes(POLICY_FOUR_EYES, ctx=acting_system(tenant))
    with pytest.raises(errors.ConfirmationRequired), unit_of_work(tenant.id):
        install_from_gallery(PAYMENTS, ctx=acting(tenant, ada))
    assert planned(tenant).installed == ""
    browser = sign_in(ada)
    answer = browser.post(f"{PAGE}install/", {"plan": planned(tenant).digest}, follow=True)
    assert "A second person must publish this change" in answer.content.decode()
    assert planned(tenant).installed == ""
    second = step_up(sign_in(make_principal(tenant, "second", roles=["tenant_admin"])))
    page = answer.content.decode()
    address = page[page.index("/console/tenancy/changeset/chg_") :].split('"')[0]
    shown = second.get(address).content.decode()
    digest = shown[shown.index('name="digest" value="') :].split('"')[3]
    confirm(second, f"{address}publish/", {"digest": digest})
    assert planned(tenant).installed == "1.0.0"


def test_roles_need_a_steward(tenant: Tenant) -> None:
    with unit_of_work(tenant.id):
        define_role("builder", frozenset({Scope.WORKITEMS_READ, Scope.WORKFLOW_MANAGE}), ctx=acting_system(tenant))
    builder = make_principal(tenant, "builder", roles=["builder"])
    with pytest.raises(errors.PermissionDenied, match="the roles finance"), unit_of_work(tenant.id):
        install_from_gallery(PAYMENTS, ctx=acting(tenant, builder))
    page = sign_in(builder).get(PAGE).content.decode()
    assert "which only a steward may create" in page
    assert "Install pack" not in page


def test_others_are_refused_in_words(tenant: Tenant) -> None:
    rita = sign_in(make_principal(tenant, "rita", roles=["requester"]))
    page = rita.get(PAGE).content.decode()
    assert "Your roles do not let you install packs." in page
    assert "Install pack" not in page
    answer = rita.post(f"{PAGE}install/", {"plan": planned(tenant).digest}, follow=True).content.decode()
    assert "workflow:manage" in answer
    assert planned(tenant).installed == ""


def test_pages_install_and_send_a_sample(tenant: Tenant, ada: User) -> None:
    browser = sign_in(ada)
    packs = browser.get("/console/policies/pack/").content.decode()
    assert "/console/policies/pack/gallery/" in packs
    cards = browser.get("/console/policies/pack/gallery/").content.decode()
    assert cards.count("Preview and install") == 7
    before = browser.get(PAGE)
    page = before.content.decode()
    assert "The integration int_bank is simulated: nothing is sent" in page
    assert "Try it" not in page
    answer = browser.post(f"{PAGE}install/", {"plan": before.context["plan"].digest}, follow=True)
    page = answer.content.decode()
    assert "The pack Payment run is installed." in page
    assert page.count("Try it") >= 4
    for address in ("policies/workflow/payment_run", "policies/policy/payments", "integrations/integration/int_bank"):
        assert f"/console/{address}/" in page
    sent = browser.post(f"{PAGE}samples/1/")
    with unit_of_work(tenant.id):
        item = WorkItem.objects.get()
        assert Execution.objects.get().status == "awaiting_approval"
    assert item.public_id in sent["Location"]
    assert browser.post(f"{PAGE}samples/9/").status_code == 404
    assert browser.get("/console/policies/pack/gallery/nonsense/").status_code == 404


def test_number_of_statements(tenant: Tenant, ada: User) -> None:
    """The pages read the configuration once, however many documents a pack has."""
    browser = sign_in(ada)
    install(tenant)
    counted = {}
    for name, address in (("gallery", "/console/policies/pack/gallery/"), ("pack", PAGE)):
        browser.get(address)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert browser.get(address).status_code == 200
        counted[name] = len(queries)
    assert counted == {"gallery": 9, "pack": 19}


def test_disabled_simulation_is_an_obstacle(tenant: Tenant, ada: User, settings: Any) -> None:
    settings.THREADA_MOCK_CONNECTOR = False
    assert "has disabled simulated systems" in sign_in(ada).get(PAGE).content.decode()
    with pytest.raises(errors.DocumentInvalid):
        install(tenant)
    assert planned(tenant).installed == ""
