"""Passkeys where an identity provider is enforced: they are a local sign-in, as a password is."""

from __future__ import annotations

from tests.factories import make_principal, make_tenant
from tests.receivers.oidc_provider import OidcProvider
from tests.threada_site.console.passkeys.browsers import Browser, reason_of, with_passkey
from tests.threada_site.sign_in.people import put_provider
from threada_site.tenancy.models import ConsoleSession, Tenant, User


def test_a_passkey_does_not_get_around_an_enforced_provider(
    acme: Tenant, fay: User, bob: User, provider: OidcProvider
) -> None:
    inside = with_passkey(fay)
    glass = Browser(with_passkey(bob).own)
    put_provider(acme, provider, enforce=True, break_glass=["bob"])
    assert inside.get("/console/").wsgi_request.acting_context is None
    sessions = ConsoleSession.objects.filter(user=fay).count()
    assert reason_of(Browser(inside.own).sign_in()) == "identity_provider_required"
    assert ConsoleSession.objects.filter(user=fay).count() == sessions
    assert glass.sign_in().status_code == 302
    assert glass.get("/console/").wsgi_request.acting_context.tenant_slug == "acme"


def test_a_passkey_acts_in_the_tenants_that_enforce_none(acme: Tenant, fay: User, provider: OidcProvider) -> None:
    own = with_passkey(fay).own
    put_provider(acme, provider, enforce=True)
    make_principal(make_tenant("globex"), "fay")
    browser = Browser(own)
    assert browser.sign_in().status_code == 302
    assert browser.get("/console/").wsgi_request.acting_context.tenant_slug == "globex"
    browser.post("/console/tenant/", {"tenant": "acme"})
    assert browser.get("/console/").wsgi_request.acting_context.tenant_slug == "globex"
