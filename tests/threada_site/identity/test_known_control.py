"""Control of agents and services: known to the end, or unknown and independent of nobody."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import pytest
from pytest_django import Settings

from tests.factories import acting, acting_system, make_principal, stepped_up
from tests.threada_site.identity.test_accounts import joined, one_steward_is_enough
from tests.threada_site.identity.test_commands import Manage, manage
from tests.threada_site.identity.test_services import kinds, last_body
from tests.threada_site.identity.trusted_issuers.issuer import PUBLIC_URL, Issuer, spec
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.change_sets.propose import propose
from threada_site.identity.change_sets.publish import publish
from threada_site.identity.credentials import issue_credential
from threada_site.identity.dependence import confirm_account
from threada_site.identity.grants.role_grants import grant_role
from threada_site.identity.owners import set_owner, without_known_owner
from threada_site.identity.principals import add_member, ensure_principal, remove_member
from threada_site.identity.trusted_issuers.configure import upsert_trusted_issuer, withdraw_trusted_issuer
from threada_site.identity.trusted_issuers.document import parse_trusted_issuer
from threada_site.kernel import clock, errors
from threada_site.kernel.context import SYSTEM_PRINCIPAL_ID, ActingContext, PrincipalKind
from threada_site.tenancy.authority_models import AccountDependence, ChangeSet
from threada_site.tenancy.change_sets import ProposedChange, store_proposal
from threada_site.tenancy.controllers import UNKNOWN, Unknown
from threada_site.tenancy.independence import is_independent_of, read_controllers
from threada_site.tenancy.models import Credential, Membership, Tenant, User

__all__ = ["manage"]
ISSUER: Final = Issuer()


@pytest.fixture(autouse=True)
def public_url(settings: Settings) -> None:
    settings.THREADA_PUBLIC_URL = PUBLIC_URL


@pytest.fixture
def ada(tenant: Tenant) -> User:
    """Steward whom the operator added; one steward is enough to change members."""
    one_steward_is_enough(tenant)
    return make_principal(tenant, "ada", roles=["tenant_admin"])


@pytest.fixture
def bob(tenant: Tenant) -> User:
    return make_principal(tenant, "bob", roles=["tenant_admin"])


@pytest.fixture
def ola(tenant: Tenant) -> User:
    return make_principal(tenant, "ola", roles=[])


def controllers(tenant: Tenant, principal: User) -> set[str] | Unknown:
    """Return the names of the others who control a principal."""
    with unit_of_work(tenant.id):
        found = read_controllers(tenant.id, [principal.id])[principal.id]
    if found is UNKNOWN:
        return UNKNOWN
    names = User.objects.filter(id__in=found.people).exclude(id=principal.id)
    return set(names.values_list("username", flat=True))


def make(tenant: Tenant, name: str, *, by: ActingContext) -> User:
    with unit_of_work(tenant.id):
        machine = ensure_principal(name, kind=PrincipalKind.SERVICE, ctx=by)
        add_member(machine, ctx=by)
    return machine


def own(tenant: Tenant, machine: User, owner: str, *, by: ActingContext | None = None) -> None:
    with unit_of_work(tenant.id):
        set_owner(machine, owner, ctx=by or acting_system(tenant))


def leave(tenant: Tenant, principal: User) -> None:
    with unit_of_work(tenant.id):
        remove_member(principal, ctx=acting_system(tenant))


def issue(tenant: Tenant, machine: User, *, by: User, expires_in: timedelta | None = None) -> Credential:
    with unit_of_work(tenant.id):
        return issue_credential(
            principal=machine, scopes=["workitems:read"], expires_in=expires_in, ctx=acting(tenant, by)
        ).credential


def map_to(tenant: Tenant, said: dict[str, Any], *, by: User) -> None:
    """Put the trusted issuer `ci` into force with one mapping, as a person after a step-up."""
    whole = {"when": "true", "scopes": ["workitems:read"], **said}
    document = parse_trusted_issuer(spec(ISSUER, whole, audience=f"{PUBLIC_URL}/acme", jwks=ISSUER.key_set))
    with unit_of_work(tenant.id):
        upsert_trusted_issuer("ci", document, ctx=stepped_up(acting(tenant, by)))


def unowned(tenant: Tenant) -> list[str]:
    with unit_of_work(tenant.id):
        return [member.user.username for member in without_known_owner(tenant.id)]


def by_the_operator(tenant: Tenant, _ada: User) -> User:
    """Make a service as `create_credential` of 89cae31e did: `owner`, `added_by` and `issued_by` are empty."""
    return make_principal(tenant, "bot", "service", roles=["viewer"], owner="")


def of_an_owner_who_left(tenant: Tenant, _ada: User) -> User:
    bot = make_principal(tenant, "bot", "service", roles=["viewer"], owner="gone")
    leave(tenant, User.objects.get(username="gone"))
    return bot


def of_an_inactive_owner(tenant: Tenant, _ada: User) -> User:
    bot = make_principal(tenant, "bot", "service", roles=["viewer"], owner="gone")
    User.objects.filter(username="gone").update(is_active=False)
    return bot


def of_an_invited_owner(tenant: Tenant, _ada: User) -> User:
    bot = make_principal(tenant, "bot", "service", roles=["viewer"], owner="new")
    with unit_of_work(tenant.id):
        Membership.objects.filter(user__username="new").update(accepted_at=None)
    return bot


def added_by_one_without_owner(tenant: Tenant, _ada: User) -> User:
    maker = make_principal(tenant, "maker", "service", roles=["tenant_admin"], owner="")
    bot = make_principal(tenant, "bot", "service", roles=["viewer"], owner="ola")
    with unit_of_work(tenant.id):
        Membership.objects.filter(user=bot).update(added_by=maker.id)  # as 89cae31e let a service do
    return bot


def issued_by_one_without_owner(tenant: Tenant, _ada: User) -> User:
    maker = make_principal(tenant, "maker", "service", roles=["tenant_admin"], owner="ola")
    bot = make_principal(tenant, "bot", "service", roles=["viewer"], owner="ola")
    issue(tenant, bot, by=maker)
    own(tenant, maker, "")
    return bot


def invited_by_one_without_owner(tenant: Tenant) -> tuple[User, User]:
    """Return a service `maker` without an owner, and the person `nora` whom it invited, as 89cae31e let a service do."""
    maker = make_principal(tenant, "maker", "service", roles=["tenant_admin"], owner="")
    nora = make_principal(tenant, "nora", roles=[])
    with unit_of_work(tenant.id):
        AccountDependence.objects.create(tenant=tenant, user=nora, depends_on=maker, reason="invited")
    return maker, nora


def added_by_a_steward_without_owner(tenant: Tenant, ada: User) -> User:
    return make(tenant, "bot", by=acting(tenant, ada))


UNOWNED: dict[str, Callable[[Tenant, User], User]] = {
    way.__name__: way
    for way in (
        by_the_operator,
        of_an_owner_who_left,
        of_an_inactive_owner,
        of_an_invited_owner,
        added_by_one_without_owner,
        issued_by_one_without_owner,
        added_by_a_steward_without_owner,
    )
}
"""Ways to make a service without a known owner, named `bot`."""


@pytest.mark.parametrize("way", UNOWNED)
def test_a_service_without_a_known_owner_is_independent_of_nobody(tenant: Tenant, ada: User, way: str) -> None:
    bot = UNOWNED[way](tenant, ada)
    stranger = make_principal(tenant, "stranger", roles=[])
    assert controllers(tenant, bot) is UNKNOWN
    assert "bot" in unowned(tenant)
    with unit_of_work(tenant.id):
        assert not is_independent_of(bot.id, [stranger.id], tenant_id=tenant.id)
        assert not is_independent_of(stranger.id, [ada.id, bot.id], tenant_id=tenant.id)
        assert not is_independent_of(bot.id, [bot.id], tenant_id=tenant.id)
        assert is_independent_of(bot.id, [None], tenant_id=tenant.id)


@pytest.mark.parametrize("way", UNOWNED)
def test_the_operator_names_the_owner_of_all(tenant: Tenant, ada: User, manage: Manage, way: str) -> None:
    bot = UNOWNED[way](tenant, ada)
    make_principal(tenant, "olaf", roles=[])
    said = manage("set_owner", "olaf", "--all-of-tenant", tenant.slug)
    assert (said.status, said.err) == (0, "")
    assert "bot" in said.out.split()
    known = controllers(tenant, bot)
    assert known is not UNKNOWN
    assert "olaf" in known
    assert unowned(tenant) == []
    before = kinds(tenant)
    assert manage("set_owner", "olaf", "--all-of-tenant", tenant.slug).out == ""
    assert kinds(tenant) == before


def test_the_operator_and_people_are_known(tenant: Tenant, ada: User, ola: User) -> None:
    """Accounts that the operator made are people by the operator's word, independent of each other."""
    with unit_of_work(tenant.id):
        assert read_controllers(tenant.id, [SYSTEM_PRINCIPAL_ID])[SYSTEM_PRINCIPAL_ID] is not UNKNOWN
        assert is_independent_of(ada.id, [ola.id, SYSTEM_PRINCIPAL_ID], tenant_id=tenant.id)
    bot = make_principal(tenant, "bot", "service", owner="ola")
    assert controllers(tenant, bot) == {"ola"}


def test_a_person_whose_adder_left_stays_known(tenant: Tenant, ada: User, bob: User) -> None:
    """The dependence names a person. It ends with the confirmation, as before."""
    nora = joined(tenant, "nora", ada)
    leave(tenant, ada)
    assert controllers(tenant, nora) == {"ada"}
    with unit_of_work(tenant.id):
        assert not is_independent_of(nora.id, [ada.id], tenant_id=tenant.id)
        confirm_account(nora, ctx=acting(tenant, bob))
    assert controllers(tenant, nora) == set()


def test_a_person_whom_a_service_without_owner_invited_is_unknown_until_confirmed(tenant: Tenant, bob: User) -> None:
    maker, nora = invited_by_one_without_owner(tenant)
    assert controllers(tenant, nora) is UNKNOWN
    with unit_of_work(tenant.id), pytest.raises(errors.SecondPersonRequired):
        confirm_account(nora, ctx=acting(tenant, bob))
    make_principal(tenant, "ola", roles=[])
    own(tenant, maker, "ola")
    assert controllers(tenant, nora) == {"maker", "ola"}
    with unit_of_work(tenant.id):
        confirm_account(nora, ctx=acting(tenant, bob))
    assert controllers(tenant, nora) == set()
    own(tenant, maker, "")
    assert controllers(tenant, nora) == set()


def test_whoever_names_an_owner_controls_the_service_until_a_second_steward_confirms_it(
    tenant: Tenant, ada: User, bob: User, ola: User
) -> None:
    bot = make_principal(tenant, "bot", "service", owner="")
    own(tenant, bot, "ola", by=acting(tenant, ada))
    assert controllers(tenant, bot) == {"ada", "ola"}
    with unit_of_work(tenant.id):
        assert not is_independent_of(bot.id, [ada.id], tenant_id=tenant.id)
        with pytest.raises(errors.SecondPersonRequired):
            confirm_account(bot, ctx=acting(tenant, ada))
        with pytest.raises(errors.PermissionDenied):
            confirm_account(bot, ctx=acting(tenant, ola))
    with unit_of_work(tenant.id):
        confirm_account(bot, ctx=acting(tenant, bob))
    assert controllers(tenant, bot) == {"ola"}
    confirmed = last_body(tenant)
    assert (confirmed["kind"], confirmed["inputs"]) == (
        "account.confirmed",
        {"principal": bot.public_id, "depended_on": [ada.public_id]},
    )


def test_a_confirmation_ends_nothing_but_the_naming(tenant: Tenant, ada: User, bob: User, ola: User) -> None:
    bot = make_principal(tenant, "bot", "service", roles=["viewer"], owner="")
    own(tenant, bot, "ola", by=acting(tenant, ada))
    issue(tenant, bot, by=ada)
    with unit_of_work(tenant.id):
        confirm_account(bot, ctx=acting(tenant, bob))
    assert controllers(tenant, bot) == {"ada", "ola"}


def test_the_operator_names_without_controlling(tenant: Tenant, ada: User, ola: User, manage: Manage) -> None:
    bot = make_principal(tenant, "bot", "service", owner="")
    said = manage("set_owner", "ola", "--of", "bot")
    assert (said.status, said.out, said.err) == (0, "bot\n", "")
    assert controllers(tenant, bot) == {"ola"}
    with unit_of_work(tenant.id):
        assert not AccountDependence.objects.filter(user=bot).exists()


def test_an_owner_that_two_stewards_named_together_is_confirmed(tenant: Tenant, ola: User) -> None:
    ada, bob = (make_principal(tenant, name, roles=["tenant_admin"]) for name in ("ada", "bob"))
    bot = make_principal(tenant, "bot", "service", owner="")
    with pytest.raises(errors.ConfirmationRequired) as refused:
        own(tenant, bot, "ola", by=acting(tenant, ada))
    with unit_of_work(tenant.id):
        change_set = store_proposal(refused.value, ctx=acting(tenant, ada))
    assert controllers(tenant, bot) is UNKNOWN
    with unit_of_work(tenant.id):
        publish(change_set, change_set.digest, ctx=acting(tenant, bob))
    assert controllers(tenant, bot) == {"ola"}


def test_a_service_whose_adder_or_issuer_left_is_known_once_an_owner_is_named_again(
    tenant: Tenant, ada: User, bob: User, ola: User
) -> None:
    bot = make(tenant, "bot", by=acting(tenant, ada))
    with unit_of_work(tenant.id):
        grant_role(bot, "viewer", ctx=acting_system(tenant))
    own(tenant, bot, "ola")
    issue(tenant, bot, by=ada)
    assert controllers(tenant, bot) == {"ada", "ola"}
    leave(tenant, ada)
    assert controllers(tenant, bot) is UNKNOWN
    own(tenant, bot, "ola", by=acting(tenant, bob))
    assert controllers(tenant, bot) == {"ada", "bob", "ola"}
    assert kinds(tenant)[-3:] == ["account.dependent", "account.confirmed", "principal.owner_set"]

    make_principal(tenant, "ada", roles=["tenant_admin"])
    issue(tenant, bot, by=ada)
    leave(tenant, ada)
    assert controllers(tenant, bot) is UNKNOWN


def test_an_issuer_who_left_matters_only_while_the_credential_is_live(tenant: Tenant, ada: User, bob: User) -> None:
    bot = make_principal(tenant, "bot", "service", roles=["viewer"], owner="ola")
    short = issue(tenant, bot, by=ada, expires_in=timedelta(hours=1))
    leave(tenant, ada)
    assert controllers(tenant, bot) is UNKNOWN
    with unit_of_work(tenant.id):
        Credential.objects.filter(id=short.id).update(expires_at=clock.now() - timedelta(hours=1))
    assert controllers(tenant, bot) == {"ada", "ola"}


class TestAuthorsOfMappings:
    """Names that a trusted issuer can give are controlled by those who wrote and confirmed the mapping in force."""

    @pytest.mark.parametrize("said", [{"principal": "bot"}, {"principal_from": "claims.sub"}], ids=str)
    def test_what_somebody_who_left_maps_is_unknown_until_an_owner_is_named(
        self, tenant: Tenant, ada: User, bob: User, said: dict[str, str]
    ) -> None:
        bot = make_principal(tenant, "bot", "service", roles=["viewer"], owner="ola")
        map_to(tenant, said, by=ada)
        assert controllers(tenant, bot) == {"ada", "ola"}
        leave(tenant, ada)
        assert controllers(tenant, bot) is UNKNOWN
        assert unowned(tenant) == ["bot"]
        with unit_of_work(tenant.id):
            assert not is_independent_of(bot.id, [bob.id], tenant_id=tenant.id)
            with pytest.raises(errors.OwnerRequired):
                propose(
                    ProposedChange(rule="policy_four_eyes", operation="x", title="x", arguments={}),
                    ctx=acting(tenant, bot),
                )
        own(tenant, bot, "ola")
        assert controllers(tenant, bot) == {"ada", "ola"}
        assert unowned(tenant) == []

    def test_what_they_map_after_their_return_is_unknown_again_when_they_leave(
        self, tenant: Tenant, ada: User, bob: User
    ) -> None:
        """The owner answered for what they had written, not for what they wrote afterwards."""
        bot = make_principal(tenant, "bot", "service", roles=["viewer"], owner="ola")
        other = make_principal(tenant, "other", "service", roles=["viewer"], owner="ola")
        map_to(tenant, {"principal": "bot"}, by=ada)
        leave(tenant, ada)
        own(tenant, bot, "ola")
        make_principal(tenant, "ada", roles=["tenant_admin"])
        map_to(tenant, {"principal": "bot", "scopes": ["workitems:write"]}, by=ada)
        leave(tenant, ada)
        assert controllers(tenant, bot) is UNKNOWN
        assert controllers(tenant, other) == {"ola"}
        own(tenant, bot, "ola")
        assert controllers(tenant, bot) == {"ada", "ola"}

    def test_who_proposed_the_mapping_counts_as_who_confirmed_it(self, tenant: Tenant, bob: User) -> None:
        bot = make_principal(tenant, "bot", "service", roles=["viewer"], owner="ola")
        ada = make_principal(tenant, "ada", roles=["tenant_admin"])
        with pytest.raises(errors.ConfirmationRequired) as refused:
            map_to(tenant, {"principal": "bot"}, by=ada)
        with unit_of_work(tenant.id):
            change_set = store_proposal(refused.value, ctx=acting(tenant, ada))
            publish(change_set, change_set.digest, ctx=stepped_up(acting(tenant, bob)))
        assert controllers(tenant, bot) == {"ada", "bob", "ola"}
        leave(tenant, ada)
        assert controllers(tenant, bot) is UNKNOWN
        own(tenant, bot, "ola")
        leave(tenant, bob)
        assert controllers(tenant, bot) is UNKNOWN

    def test_a_mapping_that_is_no_longer_in_force_makes_nothing_unknown(
        self, tenant: Tenant, ada: User, bob: User
    ) -> None:
        bot = make_principal(tenant, "bot", "service", roles=["viewer"], owner="ola")
        map_to(tenant, {"principal": "bot"}, by=ada)
        map_to(tenant, {"principal": "bot", "scopes": ["workitems:write"]}, by=bob)
        leave(tenant, ada)
        assert controllers(tenant, bot) == {"ada", "bob", "ola"}
        with unit_of_work(tenant.id):
            withdraw_trusted_issuer("ci", ctx=stepped_up(acting(tenant, bob)))
        leave(tenant, bob)
        assert controllers(tenant, bot) == {"ada", "bob", "ola"}


def test_a_removed_service_stays_with_its_owner_or_stays_unknown(tenant: Tenant, ada: User) -> None:
    owned = make_principal(tenant, "owned", "service", owner="ola")
    lost = make_principal(tenant, "lost", "service", owner="")
    for machine in (owned, lost):
        leave(tenant, machine)
    assert controllers(tenant, owned) == {"ola"}
    assert controllers(tenant, lost) is UNKNOWN
    assert unowned(tenant) == []


def test_a_service_without_owner_proposes_nothing(tenant: Tenant, ada: User) -> None:
    bot = make_principal(tenant, "bot", "service", roles=["tenant_admin"], owner="")
    change = ProposedChange(rule="policy_four_eyes", operation="x", title="x", arguments={})
    before = kinds(tenant)
    with unit_of_work(tenant.id), pytest.raises(errors.OwnerRequired):
        propose(change, ctx=acting(tenant, bot))
    with unit_of_work(tenant.id):
        assert not ChangeSet.objects.exists()
    assert kinds(tenant) == before


class TestCommand:
    def test_refusals(self, tenant: Tenant, other_tenant: Tenant, ola: User, manage: Manage) -> None:
        make_principal(tenant, "bot", "service", owner="")
        make_principal(other_tenant, "bot", "service")
        make_principal(other_tenant, "far", "service")
        before = kinds(tenant)
        several = manage("set_owner", "ola", "--of", "bot")
        assert (several.status, several.out) == (2, "")
        assert "Name one with --tenant SLUG" in several.err
        assert manage("set_owner", "ola", "--of", "nothing").status == 1
        assert manage("set_owner", "ola", "--of", "far").status == 1
        assert manage("set_owner", "ola", "--of", "far", "--tenant", tenant.slug).status == 1
        assert manage("set_owner", "nobody", "--of", "bot", "--tenant", tenant.slug).status == 1
        assert manage("set_owner", "ola", "--of", "ola", "--tenant", tenant.slug).status == 1
        assert manage("set_owner", "ola").status == 2
        assert kinds(tenant) == before
        assert manage("set_owner", "ola", "--of", "bot", "--tenant", tenant.slug).out == "bot\n"

    def test_what_is_still_unknown_is_said(self, tenant: Tenant, ada: User, ola: User, manage: Manage) -> None:
        added_by_one_without_owner(tenant, ada)
        said = manage("set_owner", "ada", "--of", "bot")
        assert (said.status, said.out) == (0, "bot\n")
        assert said.err.startswith("bot is not known to the end yet: the agent or service that added it")
