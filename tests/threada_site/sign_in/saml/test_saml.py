"""Sign-in at a SAML provider: what an honest answer does, and which requests are sent."""

from __future__ import annotations

from django.test import Client

from telemetry.models import Receipt
from tests.receivers.saml_provider import ENTITY_ID, PERSISTENT, SIGN_IN, Request
from tests.threada_site.sign_in.people import begin
from tests.threada_site.sign_in.saml.people import put_saml, sign_in_by_saml
from tests.threada_site.sign_in.test_oidc import link_of, reason_of
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.selectors import roles_of_member
from threada_site.tenancy.models import Membership, Tenant

UNSPECIFIED = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"


def test_a_person_signs_in_and_groups_become_roles(acme: Tenant) -> None:
    put_saml(acme, roles={"finance": ["approver"]})
    attributes = {"email": ["ann@corp.example"], "name": ["Ann Lee"], "groups": ["finance", "other"]}
    browser, answer = sign_in_by_saml(attributes=attributes)
    assert (answer.status_code, answer.get("Location")) == (302, "/console/"), answer.content.decode()
    assert browser.get("/console/").status_code == 200
    person = link_of(acme).user
    assert (person.display_name, person.email, person.has_usable_password()) == ("Ann Lee", "ann@corp.example", False)
    with unit_of_work(acme.id):
        assert Membership.objects.get(tenant_id=acme.id, user=person).accepted_at is not None
        kinds = list(Receipt.objects.order_by("id").values_list("kind", flat=True))
        assert roles_of_member(person, tenant_id=acme.id) == ["approver"]
    assert kinds[-5:] == ["principal.created", "member.added", "identity.linked", "role.granted", "session.signed_in"]
    sign_in_by_saml(attributes={"groups": ["other"]})
    with unit_of_work(acme.id):
        assert roles_of_member(person, tenant_id=acme.id) == []


def test_a_name_in_another_format_is_another_person(acme: Tenant) -> None:
    """A person may ask the provider for a mail address or name, which people choose there, in place of a lasting id."""
    put_saml(acme)
    qualified = f"<saml:NameID Format='{PERSISTENT}' NameQualifier='{ENTITY_ID}'>person-1</saml:NameID>"
    for fields in ({}, {"subject_xml": qualified}):
        assert sign_in_by_saml(**fields)[1].status_code == 302
    person = link_of(acme).user
    named = "<saml:NameID>person-1</saml:NameID>"
    mailed = {"name_format": "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"}
    people = {person.id}
    for fields in (mailed, mailed, {"subject_xml": named}, {"name_format": UNSPECIFIED}):
        browser, answer = sign_in_by_saml(**fields)
        assert answer.status_code == 302
        people.add(browser.get("/console/").wsgi_request.acting_context.principal_id)
    assert len(people) == 3


def test_only_a_persistent_name_is_an_external_id(acme: Tenant) -> None:
    put_saml(acme, claims={"scim_external_id": "NameID"})
    assert reason_of(sign_in_by_saml(name_format=UNSPECIFIED)[1]) == "identity_subject_unmapped"
    assert reason_of(sign_in_by_saml()[1]) == "identity_not_provisioned"


def test_the_request_names_this_service_and_this_browser(acme: Tenant) -> None:
    put_saml(acme, max_age=600, acr_values=["urn:mfa"])
    address = begin(Client())
    assert address.startswith(f"{SIGN_IN}&SAMLRequest=")
    request = Request.read(address)
    assert request.consumer == "http://testserver/console/login/acme/corp/callback"
    assert request.issuer == "http://testserver/console/login/acme/corp/metadata"
    assert (request.xml.get("ForceAuthn"), request.xml.get("Destination")) == ("true", SIGN_IN)
    assert min(len(request.id), len(request.relay_state)) >= 43
    assert len(request.relay_state) <= 80
