"""Control of accounts: personal tokens, passwords, dependence and its end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.client import Api
from tests.factories import PASSWORD, acting, acting_system, make_principal, make_token
from tests.jobs import queued_jobs
from tests.threada_site.identity.test_services import kinds
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.account_links import show_link, tenant_of_link, unused_link
from threada_site.identity.admission import add_principal
from threada_site.identity.change_sets.publish import publish
from threada_site.identity.credentials import IssuedCredential, issue_credential
from threada_site.identity.dependence import confirm_account, open_dependences, record_dependence
from threada_site.identity.grants.role_grants import grant_role
from threada_site.identity.invitations import accept_invitation, invite_again, withdraw_invitation
from threada_site.identity.passwords import reset_password, set_password, start_reset
from threada_site.identity.principals import add_member, ensure_principal, remove_member
from threada_site.identity.selectors import tenants_of_person
from threada_site.identity.tenants import set_personal_token_days
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, Authentication, AuthenticationMethod, EntryPoint, PrincipalKind
from threada_site.tenancy.account_link_models import AccountLink, LinkPurpose
from threada_site.tenancy.authority_models import AccountDependence, DependenceReason
from threada_site.tenancy.change_sets import store_proposal
from threada_site.tenancy.controllers import UNKNOWN
from threada_site.tenancy.four_eyes import IDENTITY_FOUR_EYES
from threada_site.tenancy.independence import are_independent, read_controllers
from threada_site.tenancy.models import FourEyesRule, Tenant, User

NEW = "another long enough phrase"


def session(tenant: Tenant, person: User) -> ActingContext:
    """Return the context of a person in the person's own console session."""
    ctx = acting(tenant, person, entry_point=EntryPoint.CONSOLE)
    return replace(ctx, authentication=Authentication(method=AuthenticationMethod.SESSION, at=clock.now()))


def by_link(tenant: Tenant, person: User) -> ActingContext:
    return replace(
        session(tenant, person), scopes=frozenset(), authentication=Authentication(method=AuthenticationMethod.LINK)
    )


def one_steward_is_enough(tenant: Tenant) -> None:
    with unit_of_work(tenant.id):
        FourEyesRule.objects.update_or_create(
            tenant_id=tenant.id, slug=IDENTITY_FOUR_EYES, defaults={"is_required": False}
        )


@pytest.fixture
def ada(tenant: Tenant) -> User:
    """Steward whom the operator added. The rule for identities is off, so that one steward acts at once."""
    one_steward_is_enough(tenant)
    return make_principal(tenant, "ada", roles=["tenant_admin"])


@pytest.fixture
def bob(tenant: Tenant) -> User:
    """Second steward whom the operator added."""
    return make_principal(tenant, "bob", roles=["tenant_admin"])


def invited(tenant: Tenant, name: str, by: User, *, roles: tuple[str, ...] = ()) -> tuple[User, str]:
    """Return a person whom a steward added, and the token of the link that the steward saw."""
    ctx = session(tenant, by)
    with unit_of_work(tenant.id):
        person = ensure_principal(name, kind=PrincipalKind.HUMAN, ctx=ctx)
        add_member(person, ctx=ctx)
        for role in roles:
            grant_role(person, role, ctx=ctx)
        link = unused_link(person, LinkPurpose.INVITATION, tenant_id=tenant.id)
        assert link is not None
        return person, show_link(link, ctx=ctx)


def joined(tenant: Tenant, name: str, by: User, *, roles: tuple[str, ...] = ()) -> User:
    """Return a person who has accepted the invitation of a steward."""
    person, token = invited(tenant, name, by, roles=roles)
    with unit_of_work(tenant.id):
        accept_invitation(token, password=PASSWORD, ctx=by_link(tenant, person))
    return User.objects.get(id=person.id)


def controllers(tenant: Tenant, person: User) -> set[str]:
    with unit_of_work(tenant.id):
        found = read_controllers(tenant.id, [person.id])[person.id]
    assert found is not UNKNOWN
    return set(User.objects.filter(id__in=found.people).values_list("username", flat=True)) - {person.username}


class TestPersonalTokens:
    def issue(self, principal: User, *, ctx: ActingContext, days: int | None = 30) -> IssuedCredential:
        with unit_of_work(ctx.tenant_id):
            return issue_credential(
                principal=principal,
                scopes=["workitems:read"],
                label="laptop",
                expires_in=None if days is None else timedelta(days=days),
                ctx=ctx,
            )

    def test_a_person_issues_own_tokens_in_a_session(self, tenant: Tenant) -> None:
        alice = make_principal(tenant, "alice")
        issued = self.issue(alice, ctx=session(tenant, alice))
        assert issued.credential.issued_by == alice.id
        assert Api(issued.token).get("/me").status_code == 200

    def test_no_steward_service_or_token_issues_a_token_of_a_person(self, tenant: Tenant, ada: User) -> None:
        alice = make_principal(tenant, "alice")
        sync = make_principal(tenant, "sync", kind="service", roles=["tenant_admin"])
        token = replace(
            acting(tenant, alice), authentication=Authentication(method=AuthenticationMethod.PERSONAL_TOKEN)
        )
        for ctx in (session(tenant, ada), acting(tenant, sync), token, acting(tenant, alice)):
            with pytest.raises(errors.PermissionDenied):
                self.issue(alice, ctx=ctx)
        assert "credential.issued" not in kinds(tenant)

    @pytest.mark.parametrize("days", [None, 91, 3660])
    def test_a_personal_token_expires_within_the_longest_life(self, tenant: Tenant, days: int | None) -> None:
        alice = make_principal(tenant, "alice")
        with pytest.raises(errors.InvalidRequest):
            self.issue(alice, ctx=session(tenant, alice), days=days)

    def test_the_longest_life_is_set_by_stewards(self, tenant: Tenant, ada: User) -> None:
        alice = make_principal(tenant, "alice")
        with unit_of_work(tenant.id):
            with pytest.raises(errors.PermissionDenied):
                set_personal_token_days(365, ctx=session(tenant, alice))
            with pytest.raises(errors.InvalidRequest):
                set_personal_token_days(0, ctx=session(tenant, ada))
            set_personal_token_days(120, ctx=session(tenant, ada))
        assert self.issue(alice, ctx=session(tenant, alice), days=120).token
        assert "tenant.personal_token_days_set" in kinds(tenant)

    def test_two_stewards_change_the_longest_life_where_the_rule_is_on(
        self, tenant: Tenant, ada: User, bob: User
    ) -> None:
        with unit_of_work(tenant.id):
            FourEyesRule.objects.filter(slug=IDENTITY_FOUR_EYES).update(is_required=True)
            with pytest.raises(errors.ConfirmationRequired):
                set_personal_token_days(365, ctx=session(tenant, ada))

    def test_the_operator_issues_tokens_of_people_and_the_person_is_notified(self, tenant: Tenant) -> None:
        alice = make_principal(tenant, "alice")
        operator = acting_system(tenant, EntryPoint.COMMAND)
        issued = self.issue(alice, ctx=operator, days=None)
        assert issued.credential.issued_by is None
        ((name, arguments),) = queued_jobs(telling=True)
        assert (name, arguments["kind"], arguments["person_id"]) == (
            "workitems.notify_person",
            "credential_issued",
            str(alice.id),
        )
        assert issued.token not in str(arguments)

    def test_a_person_who_has_not_accepted_holds_no_token(self, tenant: Tenant, ada: User) -> None:
        person, _ = invited(tenant, "nora", ada, roles=("viewer",))
        for ctx in (session(tenant, person), acting_system(tenant)):
            with pytest.raises(errors.InvalidRequest):
                self.issue(person, ctx=ctx)


class TestInvitations:
    def test_an_invited_person_sets_the_password_and_joins(self, tenant: Tenant, ada: User) -> None:
        person, token = invited(tenant, "nora", ada, roles=("viewer",))
        assert tenants_of_person(person) == []
        with unit_of_work(tenant.id):
            link = AccountLink.objects.get()
            accept_invitation(token, password=PASSWORD, ctx=by_link(tenant, person))
        assert link.expires_at - link.created_at == timedelta(hours=72)
        assert token not in str(vars(link))
        assert User.objects.get(id=person.id).check_password(PASSWORD)
        assert [place.slug for place in tenants_of_person(person)] == [tenant.slug]
        assert [kind for kind in kinds(tenant) if kind.startswith("invitation")] == [
            "invitation.sent",
            "invitation.accepted",
        ]
        assert User.objects.get(id=person.id).email_confirmed_at is None

    def test_a_link_works_once_and_not_after_its_end(self, tenant: Tenant, ada: User) -> None:
        person, token = invited(tenant, "nora", ada)
        with unit_of_work(tenant.id):
            AccountLink.objects.update(expires_at=clock.now())
            with pytest.raises(errors.NotFound):
                accept_invitation(token, password=PASSWORD, ctx=by_link(tenant, person))
            AccountLink.objects.update(expires_at=clock.now() + timedelta(hours=1))
            accept_invitation(token, password=PASSWORD, ctx=by_link(tenant, person))
            with pytest.raises(errors.NotFound):
                accept_invitation(token, password=NEW, ctx=by_link(tenant, person))
        assert User.objects.get(id=person.id).check_password(PASSWORD)

    def test_a_link_of_an_account_that_is_not_active_is_not_valid(self, tenant: Tenant, ada: User) -> None:
        person, token = invited(tenant, "nora", ada)
        User.objects.filter(id=person.id).update(is_active=False)
        with unit_of_work(tenant.id):
            with pytest.raises(errors.NotFound):
                accept_invitation(token, password=PASSWORD, ctx=by_link(tenant, person))
            assert AccountLink.objects.get().used_at is None
        assert not User.objects.get(id=person.id).has_usable_password()

    def test_a_new_link_ends_the_previous_one(self, tenant: Tenant, ada: User, bob: User) -> None:
        person, token = invited(tenant, "nora", ada)
        with unit_of_work(tenant.id):
            link = invite_again(person, "", ctx=session(tenant, bob))
            with pytest.raises(errors.PermissionDenied):
                show_link(link, ctx=session(tenant, ada))
            show_link(link, ctx=session(tenant, bob))
            with pytest.raises(errors.Conflict):
                show_link(link, ctx=session(tenant, bob))
            with pytest.raises(errors.NotFound):
                accept_invitation(token, password=PASSWORD, ctx=by_link(tenant, person))
            withdraw_invitation(person, ctx=session(tenant, ada))
        assert controllers(tenant, person) == {"ada", "bob"}
        assert kinds(tenant).count("invitation.withdrawn") == 2

    def test_one_steward_does_not_take_the_link_of_a_person_whom_two_added(
        self, tenant: Tenant, ada: User, bob: User
    ) -> None:
        person, token = invited(tenant, "nora", bob)
        with unit_of_work(tenant.id):
            FourEyesRule.objects.update(is_required=True)
        with unit_of_work(tenant.id), pytest.raises(errors.ConfirmationRequired) as refusal:
            invite_again(person, "", ctx=session(tenant, ada))
        with unit_of_work(tenant.id):
            proposed = store_proposal(refusal.value, ctx=session(tenant, ada))
        with unit_of_work(tenant.id):
            show_link(invite_again(person, "", ctx=session(tenant, bob)), ctx=session(tenant, bob))
            with pytest.raises(errors.NotFound):
                accept_invitation(token, password=PASSWORD, ctx=by_link(tenant, person))
        assert controllers(tenant, person) == {"bob"}
        with unit_of_work(tenant.id):
            publish(proposed, proposed.digest, ctx=session(tenant, bob))
            link = unused_link(person, LinkPurpose.INVITATION, tenant_id=tenant.id)
            assert link is not None
            assert not link.can_be_shown_to(ada.id)
        assert controllers(tenant, person) == {"ada", "bob"}

    def test_removal_ends_the_invitation(self, tenant: Tenant, ada: User) -> None:
        person, token = invited(tenant, "nora", ada)
        with unit_of_work(tenant.id):
            remove_member(person, ctx=session(tenant, ada))
            with pytest.raises(errors.NotFound):
                accept_invitation(token, password=PASSWORD, ctx=by_link(tenant, person))

    def test_a_person_of_another_tenant_signs_in_to_accept(
        self, tenant: Tenant, other_tenant: Tenant, ada: User
    ) -> None:
        nora = make_principal(other_tenant, "nora")
        with unit_of_work(other_tenant.id):
            set_password(nora, PASSWORD, ctx=acting_system(other_tenant))
        person, token = invited(tenant, "nora", ada)
        assert person.id == nora.id
        found = tenant_of_link(token)
        assert found is not None
        assert found.slug == tenant.slug
        with unit_of_work(tenant.id):
            with pytest.raises(errors.PermissionDenied):
                accept_invitation(token, password=NEW, ctx=by_link(tenant, person))
            with pytest.raises(errors.PermissionDenied):
                accept_invitation(token, ctx=session(tenant, ada))
            accept_invitation(token, ctx=session(tenant, person))
        assert User.objects.get(id=person.id).check_password(PASSWORD)
        assert len(tenants_of_person(person)) == 2

    def test_no_tenant_sets_the_password_of_a_member_of_another_tenant(
        self, tenant: Tenant, other_tenant: Tenant, ada: User
    ) -> None:
        """The operator's people may hold tokens only. A steward elsewhere who knows the name must not sign in as them."""
        nora = make_principal(other_tenant, "nora", roles=["approver"])
        for is_active in (True, False):
            Tenant.objects.filter(id=other_tenant.id).update(is_active=is_active)
            person, token = invited(tenant, "nora", ada)
            with unit_of_work(tenant.id), pytest.raises(errors.PermissionDenied, match="Sign in"):
                accept_invitation(token, password=NEW, ctx=by_link(tenant, person))
            with unit_of_work(tenant.id):
                remove_member(person, ctx=session(tenant, ada))
        assert not User.objects.get(id=nora.id).has_usable_password()

    def test_an_open_invitation_elsewhere_does_not_keep_a_person_from_joining(
        self, tenant: Tenant, other_tenant: Tenant, ada: User
    ) -> None:
        one_steward_is_enough(other_tenant)
        invited(other_tenant, "nora", make_principal(other_tenant, "eve", roles=["tenant_admin"]))
        assert joined(tenant, "nora", ada).check_password(PASSWORD)

    def test_a_publisher_who_controls_a_person_does_not_confirm_the_account(
        self, tenant: Tenant, ada: User, bob: User
    ) -> None:
        person = joined(tenant, "nora", bob)
        with unit_of_work(tenant.id):
            remove_member(person, ctx=session(tenant, bob))
            FourEyesRule.objects.update(is_required=True)
        added = {"kind": PrincipalKind.HUMAN, "email": "nora@example.com", "ctx": session(tenant, ada)}
        with unit_of_work(tenant.id), pytest.raises(errors.ConfirmationRequired) as refusal:
            add_principal("nora", **added)
        with unit_of_work(tenant.id):
            proposed = store_proposal(refusal.value, ctx=session(tenant, ada))
        with unit_of_work(tenant.id):
            publish(proposed, proposed.digest, ctx=session(tenant, bob))
        assert controllers(tenant, person) == {"ada", "bob"}

    def test_an_invitation_elsewhere_does_not_disturb_tokens(
        self, tenant: Tenant, other_tenant: Tenant, ada: User
    ) -> None:
        nora = make_principal(other_tenant, "nora")
        token = make_token(other_tenant, nora)
        invited(tenant, "nora", ada)
        assert Api(token).get("/me").status_code == 200

    def test_the_operator_accepts_an_open_invitation_and_ends_its_link(self, tenant: Tenant, ada: User) -> None:
        person, token = invited(tenant, "nora", ada)
        with unit_of_work(tenant.id):
            assert add_member(person, ctx=acting_system(tenant)).accepted_at is not None
            with pytest.raises(errors.NotFound):
                accept_invitation(token, password=PASSWORD, ctx=by_link(tenant, person))
        assert controllers(tenant, person) == {"ada"}


class TestPasswords:
    def test_nobody_sets_the_password_of_another_person(self, tenant: Tenant, ada: User) -> None:
        alice = make_principal(tenant, "alice")
        sync = make_principal(tenant, "sync", kind="service", roles=["tenant_admin"])
        for ctx in (session(tenant, ada), acting(tenant, sync)):
            with unit_of_work(tenant.id), pytest.raises(errors.PermissionDenied):
                set_password(alice, PASSWORD, ctx=ctx)
        assert not User.objects.get(id=alice.id).has_usable_password()

    def test_the_own_password_needs_a_session_and_the_current_one(self, tenant: Tenant) -> None:
        alice = make_principal(tenant, "alice")
        with unit_of_work(tenant.id):
            set_password(alice, PASSWORD, ctx=acting_system(tenant))
            with pytest.raises(errors.PermissionDenied):
                set_password(alice, NEW, current=PASSWORD, ctx=acting(tenant, alice))
            with pytest.raises(errors.InvalidRequest):
                set_password(alice, NEW, current="guess", ctx=session(tenant, alice))
            set_password(alice, NEW, current=PASSWORD, ctx=session(tenant, alice))
        assert User.objects.get(id=alice.id).check_password(NEW)

    def test_a_reset_needs_two_stewards_and_makes_the_account_depend_on_both(
        self, tenant: Tenant, ada: User, bob: User
    ) -> None:
        alice = make_principal(tenant, "alice")
        with unit_of_work(tenant.id), pytest.raises(errors.ConfirmationRequired) as asked:
            start_reset(alice, ctx=session(tenant, ada))
        with unit_of_work(tenant.id):
            change_set = store_proposal(asked.value, ctx=session(tenant, ada))
            with pytest.raises(errors.SecondPersonRequired):
                publish(change_set, change_set.digest, ctx=session(tenant, ada))
            publish(change_set, change_set.digest, ctx=session(tenant, bob))
            link = unused_link(alice, LinkPurpose.RESET, tenant_id=tenant.id)
            assert link is not None
            assert link.token_sha256 is None
            with pytest.raises(errors.PermissionDenied):
                show_link(link, ctx=session(tenant, ada))
            token = show_link(link, ctx=session(tenant, bob))
            assert token not in str(vars(change_set))
            reset_password(token, NEW, ctx=by_link(tenant, alice))
        assert User.objects.get(id=alice.id).check_password(NEW)
        assert controllers(tenant, alice) == {"ada", "bob"}
        assert kinds(tenant).count("principal.password_reset") == 1

    def test_a_person_invited_by_a_steward_is_no_second_steward_of_a_reset(self, tenant: Tenant, ada: User) -> None:
        puppet = joined(tenant, "puppet", ada, roles=("tenant_admin",))
        alice = make_principal(tenant, "alice")
        with unit_of_work(tenant.id), pytest.raises(errors.ConfirmationRequired) as asked:
            start_reset(alice, ctx=session(tenant, ada))
        with unit_of_work(tenant.id):
            change_set = store_proposal(asked.value, ctx=session(tenant, ada))
            with pytest.raises(errors.SecondPersonRequired):
                publish(change_set, change_set.digest, ctx=session(tenant, puppet))

    def test_stewards_do_not_reset_people_of_other_tenants_or_with_an_address(
        self, tenant: Tenant, other_tenant: Tenant, ada: User, request: pytest.FixtureRequest
    ) -> None:
        shared = make_principal(tenant, "alice")
        make_principal(other_tenant, "alice")
        with unit_of_work(tenant.id), pytest.raises(errors.Conflict):
            start_reset(shared, ctx=session(tenant, ada))
        request.getfixturevalue("settings").MAILERS = {"default": {"BACKEND": "x", "OPTIONS": {}}}
        carl = make_principal(tenant, "carl")
        User.objects.filter(id=carl.id).update(email="carl@example.org", email_confirmed_at=clock.now())
        with unit_of_work(tenant.id), pytest.raises(errors.Conflict):
            start_reset(User.objects.get(id=carl.id), ctx=session(tenant, ada))


class TestDependence:
    def test_an_account_depends_on_who_invited_it_until_an_independent_steward_confirms(
        self, tenant: Tenant, ada: User, bob: User
    ) -> None:
        nora = joined(tenant, "nora", ada)
        assert controllers(tenant, nora) == {"ada"}
        with unit_of_work(tenant.id):
            for ctx in (session(tenant, ada), session(tenant, nora)):
                with pytest.raises((errors.SecondPersonRequired, errors.PermissionDenied)):
                    confirm_account(nora, ctx=ctx)
            confirm_account(nora, ctx=session(tenant, bob))
            confirm_account(nora, ctx=session(tenant, bob))
            ended = AccountDependence.objects.get(user=nora)
        assert (ended.ended_by, ended.ended_how) == (bob.id, "steward")
        assert controllers(tenant, nora) == set()
        assert (kinds(tenant).count("account.dependent"), kinds(tenant).count("account.confirmed")) == (1, 1)

    def test_a_chain_that_one_person_made_confirms_nobody(self, tenant: Tenant, ada: User) -> None:
        """Ada invites Ben, Ben invites Cora, and nobody of the three can confirm another."""
        ben = joined(tenant, "ben", ada, roles=("tenant_admin",))
        cora = joined(tenant, "cora", ben, roles=("tenant_admin",))
        dan = joined(tenant, "dan", ada, roles=("tenant_admin",))
        assert controllers(tenant, cora) == {"ben", "ada"}
        people = (ada, ben, cora, dan)
        with unit_of_work(tenant.id):
            for confirmer in people:
                for person in (ben, cora, dan):
                    if confirmer != person:
                        with pytest.raises(errors.SecondPersonRequired):
                            confirm_account(person, ctx=session(tenant, confirmer))
                with pytest.raises(errors.SecondPersonRequired):
                    confirm_account(ben, ctx=session(tenant, ben))
            found = read_controllers(tenant.id, [person.id for person in people])
            assert not any(are_independent(one.id, two.id, found) for one in people for two in people)

    def test_an_account_is_not_confirmed_before_it_is_accepted(self, tenant: Tenant, ada: User, bob: User) -> None:
        person, _ = invited(tenant, "nora", ada)
        for ctx in (session(tenant, bob), acting_system(tenant)):
            with unit_of_work(tenant.id), pytest.raises(errors.Conflict):
                confirm_account(person, ctx=ctx)

    def test_a_service_confirms_nobody_and_passes_its_issuer_on(self, tenant: Tenant, ada: User) -> None:
        sync = make_principal(tenant, "sync", kind="service", roles=["tenant_admin"])
        with unit_of_work(tenant.id):
            issue_credential(principal=sync, scopes=["workitems:read"], ctx=session(tenant, ada))
            nora = ensure_principal("nora", kind=PrincipalKind.HUMAN, ctx=acting_system(tenant))
            add_member(nora, ctx=acting_system(tenant))
            record_dependence(nora, DependenceReason.INVITED, ctx=acting(tenant, sync))
            with pytest.raises(errors.PersonRequired):
                confirm_account(nora, ctx=acting(tenant, sync))
            with pytest.raises(errors.SecondPersonRequired):
                confirm_account(nora, ctx=session(tenant, ada))
        assert controllers(tenant, nora) == {"sync", "ada", "keeper"}

    def test_a_token_from_the_time_of_the_dependence_ends_with_it(self, tenant: Tenant, ada: User, bob: User) -> None:
        nora = joined(tenant, "nora", ada, roles=("viewer",))
        of_operator = make_token(tenant, nora)
        month = timedelta(days=30)
        with unit_of_work(tenant.id):
            kept = issue_credential(
                principal=nora, scopes=["workitems:read"], label="kept", expires_in=month, ctx=session(tenant, nora)
            )
        assert Api(kept.token).get("/me").status_code == 200
        with unit_of_work(tenant.id):
            confirm_account(nora, ctx=session(tenant, bob))
            later = issue_credential(
                principal=nora, scopes=["workitems:read"], label="own", expires_in=month, ctx=session(tenant, nora)
            )
        answers = [Api(token).get("/me").status_code for token in (kept.token, of_operator, later.token)]
        assert answers == [401, 200, 200]

    def test_the_operator_makes_and_confirms_accounts(self, tenant: Tenant, ada: User) -> None:
        assert controllers(tenant, ada) == set()
        nora = joined(tenant, "nora", ada)
        with unit_of_work(tenant.id):
            confirm_account(nora, ctx=acting_system(tenant, EntryPoint.COMMAND))
            ended = AccountDependence.objects.get(user=nora)
            assert open_dependences(nora.id, tenant_id=tenant.id) == []
        assert (ended.ended_by, ended.ended_how, ended.reason) == (None, "operator", DependenceReason.CREATED)


def test_a_published_change_set_adds_a_person_whom_its_publisher_has_confirmed(
    tenant: Tenant, ada: User, bob: User
) -> None:
    with unit_of_work(tenant.id):
        FourEyesRule.objects.filter(slug=IDENTITY_FOUR_EYES).update(is_required=True)
    nora = User.objects.create(username="nora", kind="human", password="!")
    with unit_of_work(tenant.id), pytest.raises(errors.ConfirmationRequired) as asked:
        add_member(nora, ctx=session(tenant, ada))
    with unit_of_work(tenant.id):
        change_set = store_proposal(asked.value, ctx=session(tenant, ada))
        publish(change_set, change_set.digest, ctx=session(tenant, bob))
    assert controllers(tenant, nora) == set()
    with unit_of_work(tenant.id):
        link = unused_link(nora, LinkPurpose.INVITATION, tenant_id=tenant.id)
        assert link is not None
        show_link(link, ctx=session(tenant, bob))
    assert controllers(tenant, nora) == {"bob"}
