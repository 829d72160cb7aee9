"""End of everything through which a principal can act, in one step, while the membership stays."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.management import call_command
from pytest_django import Settings

from telemetry.models import Receipt
from tests.client import Api
from tests.contract.world import rows_of_everything
from tests.factories import PASSWORD, acting, acting_system, make_principal, make_token, stepped_up
from tests.threada_site.api.conftest import assert_problem
from tests.threada_site.identity.departure.test_end import (
    bodies,
    link_at_provider,
    may_enter,
    signed_in,
    with_password,
)
from tests.threada_site.identity.trusted_issuers.issuer import Issuer, mapping, spec
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.departure.access import Ended, end_access, ways_to_act
from threada_site.identity.trusted_issuers.configure import upsert_trusted_issuer
from threada_site.identity.trusted_issuers.document import parse_trusted_issuer
from threada_site.identity.trusted_issuers.mappings import without
from threada_site.kernel import errors
from threada_site.kernel.factors import Factor
from threada_site.tenancy.models import Credential, Tenant, TrustedIssuer, User

FROM_CLAIM = {
    "when": 'claims.repository == "acme/many"',
    "principal_from": "claims.job",
    "scopes": ["workitems:read"],
}


def end(tenant: Tenant, principal: User, by: User | None = None) -> Ended:
    ctx = acting_system(tenant) if by is None else stepped_up(acting(tenant, by))
    with unit_of_work(tenant.id):
        return end_access(principal, ctx=ctx)


def trust(tenant: Tenant, issuer: Issuer, *mappings: dict[str, Any], slug: str) -> TrustedIssuer:
    document = parse_trusted_issuer(spec(issuer, *mappings, jwks=issuer.key_set))
    with unit_of_work(tenant.id):
        return upsert_trusted_issuer(slug, document, ctx=acting_system(tenant)).row


@pytest.fixture
def deployer(tenant: Tenant, settings: Settings) -> User:
    settings.THREADA_PUBLIC_URL = "https://threada.test"
    make_principal(tenant, "other", "service", ["requester"])
    return make_principal(tenant, "deployer", "service", ["requester"])


@pytest.fixture
def ann(tenant: Tenant) -> User:
    return make_principal(tenant, "ann", roles=["tenant_admin"])


def test_a_service_that_wrote_itself_a_second_door_has_none_left(tenant: Tenant, deployer: User, ann: User) -> None:
    one, two = Issuer(), Issuer(name="https://two.test")
    trust(
        tenant, one, mapping(), mapping(when='claims.repository == "acme/x"', principal="other"), FROM_CLAIM, slug="ci"
    )
    trust(tenant, two, slug="only")
    token, other = make_token(tenant, deployer), make_token(tenant, User.objects.get(username="other"))
    jwt, many = one.token(), one.token(repository="acme/many", job="deployer")
    for works in (token, jwt, many, two.token()):
        assert Api(works).get("/work-items").status_code == 200
    ended = end(tenant, deployer, ann)
    assert ended["mappings"] == ("ci/0", "ci/2", "only/0")
    assert len(ended["revoked"]) == 1
    assert_problem(Api(token).get("/work-items"), 401, "credential_revoked")
    for text in (jwt, many, two.token()):
        assert Api(text).get("/work-items").status_code == 401
    for text in (
        other,
        one.token(repository="acme/x"),
        one.token(repository="acme/many", job="other"),
    ):
        assert Api(text).get("/work-items").status_code == 200
    (receipt,) = bodies(tenant, "principal.access_ended")
    assert receipt["inputs"] == {"principal": deployer.public_id}
    assert receipt["outcome"] == {
        "mappings": ["ci/0", "ci/2", "only/0"],
        "revoked": list(ended["revoked"]),
    }
    with unit_of_work(tenant.id):
        rows = {row.slug: row for row in TrustedIssuer.objects.select_related("current_version")}
    assert rows["only"].current_version is None
    assert rows["ci"].current_version is not None
    assert rows["ci"].current_version.created_by is None  # the author of what remains is still the operator
    assert end(tenant, deployer, ann) == {}


def test_everything_of_a_person_is_listed_first_and_then_ends(tenant: Tenant, ann: User) -> None:
    alice = with_password(make_principal(tenant, "alice", roles=["tenant_admin"]), tenant)
    token, browser, link = make_token(tenant, alice), signed_in(alice), link_at_provider(alice, tenant)
    passkey = alice.enrolled_factors.create(kind=Factor.PASSKEY.value, label="Laptop")
    before = rows_of_everything(but=frozenset())
    with unit_of_work(tenant.id):
        listed = ways_to_act(alice, ctx=stepped_up(acting(tenant, ann)))
    assert rows_of_everything(but=frozenset()) == before
    ended = end(tenant, alice, ann)
    assert ended == listed
    assert (ended["identity_links"], ended["passkeys"]) == ((link.public_id,), (passkey.public_id,))
    assert ended["passwords"] == ("password",)
    assert len(ended["sessions"]) == 1
    assert not may_enter(browser)
    assert_problem(Api(token).get("/work-items"), 401, "credential_revoked")
    assert not User.objects.get(id=alice.id).check_password(PASSWORD)
    assert not alice.enrolled_factors.exists()


def test_what_other_tenants_use_is_listed_and_stays(tenant: Tenant, other_tenant: Tenant, ann: User) -> None:
    alice = with_password(make_principal(tenant, "alice", roles=["approver"]), tenant)
    make_principal(other_tenant, "alice", roles=["approver"])
    theirs = make_token(other_tenant, alice)
    ended = end(tenant, alice, ann)
    assert ended["of_the_account"] == ("password",)
    assert "passwords" not in ended
    assert User.objects.get(id=alice.id).check_password(PASSWORD)
    assert Api(theirs).get("/work-items").status_code == 200
    assert end(tenant, alice)["passwords"] == ("password",)


def test_only_people_after_a_step_up_and_the_operator_end_it(tenant: Tenant, deployer: User, ann: User) -> None:
    make_token(tenant, deployer)
    robot = make_principal(tenant, "robot", "service", ["tenant_admin"])
    before = rows_of_everything(but=frozenset())
    for ctx, principal, refusal in (
        (acting(tenant, robot), deployer, errors.PersonRequired),
        (acting(tenant, ann), deployer, errors.StepUpRequired),
        (
            stepped_up(acting(tenant, make_principal(tenant, "vera", roles=["viewer"]))),
            deployer,
            errors.PermissionDenied,
        ),
        (stepped_up(acting(tenant, ann)), ann, errors.Conflict),
    ):
        before = rows_of_everything(but=frozenset())
        with pytest.raises(refusal), unit_of_work(tenant.id):
            end_access(principal, ctx=ctx)
        assert rows_of_everything(but=frozenset()) == before


def test_the_command_lists_and_ends(tenant: Tenant, deployer: User) -> None:
    trust(tenant, Issuer(), slug="ci")
    make_token(tenant, deployer)
    planned, done = io.StringIO(), io.StringIO()
    asked = ("--principal", "deployer", "--tenant", tenant.slug)
    call_command("revoke_credential", *asked, "--plan", stdout=planned)
    with unit_of_work(tenant.id):
        assert Credential.objects.get(user=deployer).is_live
    call_command("revoke_credential", *asked, stdout=done)
    assert done.getvalue() == planned.getvalue()
    assert [line.split()[0] for line in done.getvalue().splitlines()] == ["revoked", "mappings"]
    with unit_of_work(tenant.id):
        assert not Credential.objects.get(user=deployer).is_live
        assert Receipt.objects.filter(kind="principal.access_ended").count() == 1


def test_a_mapping_gets_one_condition_however_often_access_ends() -> None:
    (once,) = without([FROM_CLAIM], "deployer")
    assert once is not None
    assert once["when"] == '(claims.repository == "acme/many") && (claims.job) != "deployer"'
    assert without([once], "deployer") == [once]
    assert without([mapping()], "deployer") == [None]
