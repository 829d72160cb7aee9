"""Second factors as services: whose they are, resets, the requirement, and what providers assert."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyotp
import pytest

from tests.factories import acting, acting_system, make_principal
from tests.jobs import queued_jobs
from tests.threada_site.identity.test_accounts import ada, bob, controllers, session
from tests.threada_site.identity.test_commands import Manage, manage
from tests.threada_site.identity.test_services import kinds
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.change_sets.publish import publish
from threada_site.identity.factors.enrolment import enrol_totp, remove_factor
from threada_site.identity.factors.provider_factor import provider_factor
from threada_site.identity.factors.recovery_codes import make_recovery_codes, use_recovery_code
from threada_site.identity.factors.reset import reset_factors
from threada_site.identity.factors.totp import EncryptedTotp, accepted_step, new_totp, reencrypt_totp, use_totp
from threada_site.identity.grants.role_grants import set_roles
from threada_site.identity.providers.documents import read_spec
from threada_site.identity.roles import define_role, set_role_require_mfa
from threada_site.identity.selectors import tenants_of_person
from threada_site.identity.tenants import set_require_mfa
from threada_site.kernel import clock, errors
from threada_site.kernel.context import Scope
from threada_site.kernel.factors import Factor
from threada_site.tenancy.change_sets import store_proposal
from threada_site.tenancy.models import EnrolledFactor, RecoveryCode, Tenant, User

__all__ = ["ada", "bob", "manage"]  # fixtures


def enrol(tenant: Tenant, person: User) -> EnrolledFactor:
    app = new_totp(person.id)
    with unit_of_work(tenant.id):
        enrol_totp(app, pyotp.TOTP(app.secret()).now(), "Phone", ctx=session(tenant, person))
    make_recovery_codes(person.id)
    return EnrolledFactor.objects.get(id=app.factor_id)


class TestOwnership:
    def test_nobody_enrols_or_removes_a_factor_of_another_person(self, tenant: Tenant, ada: User) -> None:
        alice = make_principal(tenant, "alice")
        factor = enrol(tenant, alice)
        app = new_totp(alice.id)
        code = pyotp.TOTP(app.secret()).now()
        with unit_of_work(tenant.id):
            with pytest.raises(errors.PermissionDenied):
                enrol_totp(app, code, "", ctx=session(tenant, ada))
            with pytest.raises(errors.NotFound):
                remove_factor(factor.public_id, ctx=session(tenant, ada))

    def test_a_token_and_the_operator_change_no_factor(self, tenant: Tenant) -> None:
        alice = make_principal(tenant, "alice")
        factor = enrol(tenant, alice)
        with unit_of_work(tenant.id):
            for ctx in (acting(tenant, alice), acting_system(tenant)):
                with pytest.raises(errors.PermissionDenied):
                    remove_factor(factor.public_id, ctx=ctx)

    def test_an_old_session_changes_no_factor(self, tenant: Tenant) -> None:
        alice = make_principal(tenant, "alice")
        ctx = session(tenant, alice)
        old = replace(ctx.authentication, at=clock.now() - timedelta(minutes=6))
        app = new_totp(alice.id)
        with unit_of_work(tenant.id), pytest.raises(errors.StepUpRequired):
            enrol_totp(app, pyotp.TOTP(app.secret()).now(), "", ctx=replace(ctx, authentication=old))

    def test_a_password_alone_changes_no_factor_once_one_is_enrolled(self, tenant: Tenant) -> None:
        alice = make_principal(tenant, "alice")
        factor = enrol(tenant, alice)
        with unit_of_work(tenant.id), pytest.raises(errors.StepUpRequired):
            remove_factor(factor.public_id, ctx=session(tenant, alice))

    def test_each_change_leaves_a_receipt_and_a_notice(self, tenant: Tenant) -> None:
        alice = make_principal(tenant, "alice")
        factor = enrol(tenant, alice)
        ctx = session(tenant, alice)
        proved = replace(ctx, authentication=replace(ctx.authentication, factors=("password", "totp")))
        with unit_of_work(tenant.id):
            remove_factor(factor.public_id, ctx=proved)
        assert {"second_factor.enrolled", "second_factor.removed"} <= set(kinds(tenant))
        assert {"factor_enrolled", "factor_removed"} <= set(str(queued_jobs(telling=True)).replace("'", " ").split())
        assert not RecoveryCode.objects.exists()


class TestCodes:
    SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    NOW = datetime(2026, 11, 27, 12, 0, 10, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("seconds", "is_accepted"), [(-60, False), (-30, True), (0, True), (30, True), (60, False)]
    )
    def test_clocks_may_differ_by_one_step(self, seconds: int, is_accepted: bool) -> None:
        code = pyotp.TOTP(self.SECRET).at(self.NOW + timedelta(seconds=seconds))
        assert (accepted_step(self.SECRET, code, self.NOW) is not None) is is_accepted

    def test_an_earlier_code_is_refused_after_a_later_one(self, tenant: Tenant) -> None:
        alice = make_principal(tenant, "alice")
        factor = enrol(tenant, alice)
        EnrolledFactor.objects.update(last_step=None)
        app = pyotp.TOTP(_secret(factor))
        now = clock.now()
        assert use_totp(alice.id, app.at(now + timedelta(seconds=30))) is not None
        assert use_totp(alice.id, app.at(now)) is None

    def test_a_recovery_code_belongs_to_one_person(self, tenant: Tenant) -> None:
        alice, carl = make_principal(tenant, "alice"), make_principal(tenant, "carl")
        code = make_recovery_codes(alice.id)[0]
        assert not use_recovery_code(carl.id, code)
        assert use_recovery_code(alice.id, code)
        assert not use_recovery_code(alice.id, code)

    def test_secrets_follow_a_rotation_of_the_key(self, tenant: Tenant, settings: Any) -> None:
        alice = make_principal(tenant, "alice")
        factor = enrol(tenant, alice)
        secret = _secret(factor)
        old = _keys(settings)
        settings.THREADA_SECRETS_KEY = f"{'n' * 40} {old}"
        assert reencrypt_totp(most=10) == (1, 0)
        settings.THREADA_SECRETS_KEY = "n" * 40
        factor.refresh_from_db()
        assert _secret(factor) == secret


class TestReset:
    def test_it_needs_two_stewards_and_makes_the_account_depend_on_both(
        self, tenant: Tenant, ada: User, bob: User
    ) -> None:
        alice = make_principal(tenant, "alice")
        enrol(tenant, alice)
        with unit_of_work(tenant.id), pytest.raises(errors.ConfirmationRequired) as asked:
            reset_factors(alice, ctx=session(tenant, ada))
        with unit_of_work(tenant.id):
            change_set = store_proposal(asked.value, ctx=session(tenant, ada))
            assert change_set.operation == "principal.factor_reset"
            with pytest.raises(errors.SecondPersonRequired):
                publish(change_set, change_set.digest, ctx=session(tenant, ada))
            publish(change_set, change_set.digest, ctx=session(tenant, bob))
        assert not EnrolledFactor.objects.exists()
        assert not RecoveryCode.objects.exists()
        assert controllers(tenant, alice) == {"ada", "bob"}
        assert kinds(tenant).count("second_factor.reset") == 1
        assert "factors_reset" in str(queued_jobs(telling=True))

    def test_the_person_is_no_second_steward_of_the_reset(self, tenant: Tenant, ada: User, bob: User) -> None:
        enrol(tenant, bob)
        with unit_of_work(tenant.id), pytest.raises(errors.ConfirmationRequired) as asked:
            reset_factors(bob, ctx=session(tenant, ada))
        with unit_of_work(tenant.id):
            change_set = store_proposal(asked.value, ctx=session(tenant, ada))
            with pytest.raises(errors.SecondPersonRequired):
                publish(change_set, change_set.digest, ctx=session(tenant, bob))

    def test_the_operator_resets_by_command(self, tenant: Tenant, manage: Manage) -> None:
        alice = make_principal(tenant, "alice")
        enrol(tenant, alice)
        assert manage("reset_second_factors", "--principal", "alice").out == "1 second factors removed.\n"
        assert not EnrolledFactor.objects.exists()
        assert "second_factor.reset" in kinds(tenant)


class TestRequirement:
    def _needs(self, person: User) -> bool:
        (tenant,) = tenants_of_person(person)
        return tenant.needs_second_factor

    def test_it_applies_to_roles_that_can_decide_unless_they_say_otherwise(self, tenant: Tenant, ada: User) -> None:
        alice = make_principal(tenant, "alice", roles=["approver"])
        vera = make_principal(tenant, "vera", roles=["viewer"])
        assert not self._needs(alice)
        with unit_of_work(tenant.id):
            set_require_mfa(True, ctx=acting_system(tenant))
        assert [self._needs(person) for person in (ada, alice, vera)] == [True, True, False]
        with unit_of_work(tenant.id):
            set_role_require_mfa("viewer", True, ctx=session(tenant, ada))
            set_role_require_mfa("approver", False, ctx=session(tenant, ada))
        assert [self._needs(person) for person in (ada, alice, vera)] == [True, False, True]
        with unit_of_work(tenant.id):
            define_role("judge", frozenset({Scope.DECISIONS_DECIDE}), ctx=session(tenant, ada))
            set_roles(alice, ["approver", "judge"], ctx=session(tenant, ada))
        assert self._needs(alice)

    def test_only_the_operator_sets_it_for_the_tenant(self, tenant: Tenant, ada: User, manage: Manage) -> None:
        with unit_of_work(tenant.id), pytest.raises(errors.PermissionDenied):
            set_require_mfa(True, ctx=session(tenant, ada))
        assert manage("require_mfa", "show", "--tenant", tenant.slug).out == "require_mfa: off\n"
        assert manage("require_mfa", "on", "--tenant", tenant.slug).out == "require_mfa: on\n"
        assert "tenant.require_mfa_set" in kinds(tenant)


def test_a_provider_counts_as_second_factor_only_if_it_says_so() -> None:
    spec = {"protocol": "oidc", "name": "Corp", "issuer": "https://id.example.com", "client_id": "threada"}
    plain, listed = read_spec(spec), read_spec({**spec, "second_factor_acr_values": ["urn:two"]})
    assert provider_factor(["pwd", "mfa"], None, plain) is Factor.PROVIDER_MFA
    assert provider_factor(None, "urn:two", listed) is Factor.PROVIDER_MFA
    for amr, acr, document in (
        (None, None, listed),
        (["pwd"], "urn:one", listed),
        ("mfa", None, plain),
        (["MFA"], ["urn:two"], listed),
        ([], "urn:two", plain),
    ):
        assert provider_factor(amr, acr, document) is None


def _secret(factor: EnrolledFactor) -> str:
    return EncryptedTotp(factor.id, factor.user_id, bytes(factor.secret or b""), factor.key_id).secret()


def _keys(settings: Any) -> str:
    return str(settings.THREADA_SECRETS_KEY) or Path(settings.THREADA_SECRETS_KEY_FILE).read_text().strip()
