"""Commands of the identity app: their output and exit status."""

from __future__ import annotations

import io
import re
import sys
from datetime import timedelta
from typing import NamedTuple

import psycopg
import pytest
from django.conf import settings
from django.core.management import ManagementUtility
from django.test import Client

from telemetry.models import Receipt
from tests.factories import PASSWORD, acting_system, make_principal, make_token
from tests.threada_site.scim.provisioning import provisioning_of
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.passwords import set_password
from threada_site.identity.selectors import permissions_of_principal
from threada_site.kernel import clock, tokens
from threada_site.tenancy.authority_models import AccountDependence
from threada_site.tenancy.models import Credential, Membership, Tenant, User


class Said(NamedTuple):
    status: int
    out: str
    err: str


class Manage:
    """Runs `manage.py` with arguments; returns exit status, standard output and standard error."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: str) -> Said:
        self.capsys.readouterr()
        status = 0
        try:
            ManagementUtility(["manage.py", *arguments]).execute()
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        said = self.capsys.readouterr()
        return Said(status, said.out, said.err)


@pytest.fixture
def manage(db: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Manage:
    monkeypatch.setattr("django.core.management.base.connections.close_all", lambda: None)  # the test's transaction
    return Manage(capsys)


def credential(manage: Manage, *arguments: str, tenant: str = "acme", principal: str = "bot") -> Said:
    """Issue a credential to `principal`, whom `keeper` owns unless `arguments` say otherwise."""
    owner = () if {"--owner", "human"} & set(arguments) else ("--owner", "keeper")
    return manage("create_credential", "--tenant", tenant, "--principal", principal, *owner, *arguments)


class TestQuota:
    def test_it_is_shown_set_and_reset(self, manage: Manage, tenant: Tenant) -> None:
        shown = manage("quota", "show", "--tenant", "acme")
        assert (shown.status, len(shown.out.splitlines())) == (0, 10)
        assert manage("quota", "set", "exports", "7", "--tenant", "acme").out == "exports 0 of 7 (operator)\n"
        assert "exports 0 of 7 (operator)" in manage("quota", "show", "--tenant", "acme").out
        assert manage("quota", "reset", "exports", "--tenant", "acme").out == "exports 0 of 500 (default)\n"
        with unit_of_work(tenant.id):
            assert Receipt.objects.filter(kind="tenant.quota_set").count() == 2

    @pytest.mark.parametrize("words", [("set",), ("set", "exports"), ("reset", "exports", "7"), ("reset",)])
    def test_wrong_usage_exits_with_2(self, manage: Manage, tenant: Tenant, words: tuple[str, ...]) -> None:
        assert manage("quota", *words, "--tenant", "acme").status == 2

    def test_a_negative_quota_is_refused(self, manage: Manage, tenant: Tenant) -> None:
        assert manage("quota", "set", "exports", "--tenant", "acme", "--", "-1").status == 1


class TestCreateTenant:
    def test_create_tenant_prints_the_slug(self, manage: Manage) -> None:
        assert manage("create_tenant", "acme", "--name", "Acme Inc.") == Said(0, "acme\n", "")
        assert Tenant.objects.get(slug="acme").name == "Acme Inc."

    def test_existing_slug_is_refused(self, manage: Manage, tenant: Tenant) -> None:
        assert manage("create_tenant", "acme") == Said(1, "", "The tenant 'acme' already exists.\n")

    def test_malformed_slug_is_refused(self, manage: Manage) -> None:
        assert manage("create_tenant", "Acme Inc.").status == 1
        assert Tenant.objects.count() == 0

    def test_the_first_person_holds_every_scope_and_may_own_a_service(self, manage: Manage) -> None:
        made = manage("create_tenant", "acme", "--steward", "nora")
        assert made == Said(0, "acme\n", "Set the password of nora: manage.py changepassword nora\n")
        tenant, nora = Tenant.objects.get(slug="acme"), User.objects.get(username="nora")
        assert permissions_of_principal(nora.id, tenant_id=tenant.id).roles == {"tenant_admin"}
        with unit_of_work(tenant.id):
            member = Membership.objects.get()
            assert (member.user, member.added_by, member.accepted_at is not None) == (nora, None, True)
        said = credential(manage, "--owner", "nora", "--role", "viewer", "--scopes", "workitems:read")
        assert said.status == 0

    def test_a_person_of_another_tenant_becomes_steward_only_if_the_operator_says_so(
        self, manage: Manage, tenant: Tenant
    ) -> None:
        make_principal(tenant, "nora")
        said = manage("create_tenant", "globex", "--steward", "nora")
        assert (said.status, said.out) == (1, "")
        assert "is a person of another tenant" in said.err
        assert not Tenant.objects.filter(slug="globex").exists()
        assert manage("create_tenant", "globex", "--steward", "nora", "--join") == Said(0, "globex\n", "")

    def test_missing_slug_is_a_usage_error(self, manage: Manage) -> None:
        said = manage("create_tenant")
        assert (said.status, said.out) == (2, "")
        assert "slug" in said.err


class TestCreateCredential:
    @pytest.fixture(autouse=True)
    def keeper(self, tenant: Tenant) -> User:
        return make_principal(tenant, "keeper", roles=())

    @pytest.mark.parametrize("kind", ["service", "agent"])
    def test_an_agent_or_a_service_needs_an_owner(self, manage: Manage, tenant: Tenant, kind: str) -> None:
        said = manage(
            "create_credential", "--tenant", "acme", "--principal", "bot", "--kind", kind, "--role", "tenant_admin",
            "--scopes", "workflow:manage",
        )  # fmt: skip
        assert said == Said(
            1, "", f"The {kind} bot has no known owner.\nName the person who answers for it with --owner.\n"
        )
        with unit_of_work(tenant.id):
            assert Credential.objects.count() == 0
        assert not User.objects.filter(username="bot").exists()

    def test_an_owner_is_a_person_of_the_tenant(self, manage: Manage, tenant: Tenant) -> None:
        make_principal(tenant, "robot", kind="service")
        for name in ("nobody", "robot"):
            said = credential(manage, "--owner", name, "--scopes", "workitems:read")
            assert (said.status, said.out) == (1, "")
        assert not User.objects.filter(username="bot").exists()

    def test_whoever_has_an_owner_needs_none_for_another_token(self, manage: Manage, tenant: Tenant) -> None:
        words = ("--role", "viewer", "--scopes", "workitems:read")
        assert credential(manage, *words).status == 0
        again = manage("create_credential", "--tenant", "acme", "--principal", "bot", *words)
        assert again.status == 0

    def test_people_own_themselves(self, manage: Manage, tenant: Tenant) -> None:
        words = ("--kind", "human", "--role", "viewer", "--scopes", "workitems:read")
        assert manage("create_credential", "--tenant", "acme", "--principal", "nora", *words).status == 0

    def test_principal_membership_and_role_are_created_and_only_the_token_is_printed(
        self, manage: Manage, tenant: Tenant, keeper: User
    ) -> None:
        with unit_of_work(tenant.id):
            before = Receipt.objects.count()
        roles = ("--role", "requester", "--role", "auditor")
        scopes = ("--scopes", "workitems:read telemetry:read")
        said = credential(manage, "--kind", "agent", *roles, *scopes, "--expires-in", "30d", "--label", "crawler")
        assert (said.status, said.err) == (0, "")
        assert re.fullmatch(r"thr_[A-Za-z0-9]{49}\n", said.out)
        bot = User.objects.get(username="bot")
        with unit_of_work(tenant.id):
            row = Credential.objects.get()
            assert Membership.objects.get(user=bot).owner == keeper
            assert list(Receipt.objects.order_by("id").values_list("kind", flat=True))[before:] == [
                "principal.created",
                "member.added",
                "role.granted",
                "role.granted",
                "principal.owner_set",
                "credential.issued",
            ]
        assert bytes(row.token_sha256) == tokens.digest(said.out.strip())
        assert (bot.kind, row.label, row.scopes) == ("agent", "crawler", ["telemetry:read", "workitems:read"])
        assert abs(row.expires_at - clock.now() - timedelta(days=30)) < timedelta(minutes=1)

    def test_roles_are_only_added(self, manage: Manage, tenant: Tenant) -> None:
        bot = make_principal(tenant, "bot", kind="agent", roles=["requester"])
        assert credential(manage, "--role", "viewer", "--scopes", "workitems:write").status == 0
        assert permissions_of_principal(bot.id, tenant_id=tenant.id).roles == {"requester", "viewer"}
        assert User.objects.get(username="bot").kind == "agent"

    def test_scopes_beyond_the_roles_are_refused(self, manage: Manage, tenant: Tenant) -> None:
        said = credential(manage, "--role", "viewer", "--scopes", "workitems:write,workitems:read")
        assert (said.status, said.out) == (1, "")
        assert said.err.startswith("The roles of bot do not hold workitems:write.")
        assert not User.objects.filter(username="bot").exists()

    def test_existing_principal_of_another_kind_is_refused(self, manage: Manage, tenant: Tenant) -> None:
        make_principal(tenant, "bot", kind="agent")
        said = credential(manage, "--kind", "human", "--scopes", "workitems:read")
        assert said == Said(1, "", "The account 'bot' is of kind agent, not human.\n")

    def test_unknown_tenant_is_refused(self, manage: Manage) -> None:
        said = credential(manage, "--scopes", "workitems:read", tenant="nowhere")
        assert said == Said(1, "", "There is no tenant 'nowhere'. Create it with manage.py create_tenant.\n")

    def test_unknown_role_is_refused(self, manage: Manage, tenant: Tenant) -> None:
        assert credential(manage, "--role", "emperor", "--scopes", "workitems:read").status == 1

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--scopes", "workitems:reed"],
            ["--scopes", ""],
            [],
            ["--scopes", "workitems:read", "--expires-in", "30"],
            ["--scopes", "workitems:read", "--expires-in", "P1Y"],
            ["--scopes", "workitems:read", "--kind", "robot"],
            ["--scopes", "workitems:read", "--nonsense"],
        ],
    )
    def test_usage_errors(self, manage: Manage, tenant: Tenant, arguments: list[str]) -> None:
        said = credential(manage, *arguments)
        assert (said.status, said.out) == (2, "")
        assert "usage:" in said.err

    @pytest.mark.parametrize(
        ("text", "life"),
        [
            ("90s", timedelta(seconds=90)),
            ("12h", timedelta(hours=12)),
            ("2w", timedelta(weeks=2)),
            ("P30D", timedelta(days=30)),
            ("PT8H", timedelta(hours=8)),
            ("P1DT12H", timedelta(hours=36)),
        ],
    )
    def test_lifetime_formats(self, manage: Manage, tenant: Tenant, text: str, life: timedelta) -> None:
        assert credential(manage, "--role", "viewer", "--scopes", "workitems:read", "--expires-in", text).status == 0
        with unit_of_work(tenant.id):
            assert abs(Credential.objects.get().expires_at - clock.now() - life) < timedelta(minutes=1)


class TestRevokeCredential:
    @pytest.fixture
    def token(self, tenant: Tenant) -> str:
        return make_token(tenant, make_principal(tenant))

    @pytest.fixture
    def row(self, token: str) -> Credential:
        with platform_role():
            return Credential.objects.get()

    def revoked(self) -> bool:
        with platform_role():
            return Credential.objects.get().revoked_at is not None

    def test_revoke_by_id(self, manage: Manage, row: Credential) -> None:
        assert manage("revoke_credential", row.public_id, "--tenant", "acme") == Said(0, f"{row.public_id}\n", "")
        assert self.revoked()

    def test_revoke_by_token(self, manage: Manage, row: Credential, token: str) -> None:
        assert manage("revoke_credential", token).status == 0
        assert self.revoked()

    def test_revoke_from_standard_input(
        self, manage: Manage, row: Credential, token: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{token}\n"))
        assert manage("revoke_credential", "-").out == f"{row.public_id}\n"
        assert self.revoked()

    def test_credential_of_another_tenant_is_not_revoked(
        self, manage: Manage, other_tenant: Tenant, row: Credential
    ) -> None:
        said = manage("revoke_credential", row.public_id, "--tenant", "globex")
        assert said == Said(1, "", "There is no such credential.\n")
        assert not self.revoked()

    def test_unknown_credential_is_refused(self, manage: Manage) -> None:
        assert manage("revoke_credential", tokens.new_token()).status == 1

    def test_malformed_credential_is_a_usage_error(self, manage: Manage) -> None:
        assert manage("revoke_credential", "bot").status == 2


@pytest.mark.skipif(bool(settings.DATABASE_URL), reason="DATABASE_URL names another server than the embedded one")
class TestDatabaseUrl:
    def test_url_connects_as_the_login_or_as_a_superuser(self, manage: Manage) -> None:
        for arguments, user in (([], "threada_platform_login"), (["--superuser"], "postgres")):
            said = manage("database_url", *arguments)
            assert (said.status, said.err) == (0, "")
            with psycopg.connect(said.out.strip()) as connection:
                assert connection.execute("SELECT current_user").fetchone() == (user,)


class TestAccounts:
    def test_reset_password_prints_a_link_that_works_once(self, manage: Manage, tenant: Tenant) -> None:
        person = make_principal(tenant, "alice")
        said = manage("reset_password", "--principal", "alice")
        assert (said.status, said.err) == (0, "")
        path = said.out.strip().removeprefix("http://localhost:8000")
        sent = {"new_password": PASSWORD, "again": PASSWORD}
        assert Client().post(path, sent).status_code == 200
        assert Client().post(path, sent).status_code == 404
        assert User.objects.get(id=person.id).check_password(PASSWORD)
        assert manage("reset_password", "--principal", "nobody").status == 1

    def test_confirm_account_ends_dependences(self, manage: Manage, tenant: Tenant) -> None:
        one = make_principal(tenant, "ada", roles=["tenant_admin"])
        nora = make_principal(tenant, "nora")
        with unit_of_work(tenant.id):
            AccountDependence.objects.create(tenant_id=tenant.id, user=nora, depends_on=one, reason="invited")
        said = manage("confirm_account", "--tenant", "acme", "--principal", "nora")
        assert said == Said(0, f"{nora.public_id}\n", "")
        with unit_of_work(tenant.id):
            assert AccountDependence.objects.get().ended_how == "operator"
        assert manage("confirm_account", "--tenant", "acme", "--principal", "nobody").status == 1

    def test_confirm_account_of_everybody_whom_a_client_added(self, manage: Manage, tenant: Tenant) -> None:
        scim = provisioning_of(tenant)
        ann, _, eve = (scim.add(name, externalId=name)["id"] for name in ("ann", "ben", "eve"))
        gone = scim.add("gone")["id"]
        scim.set_active(gone, active=False)
        ben = User.objects.get(username__startswith="ben-")
        with unit_of_work(tenant.id):
            set_password(ben, PASSWORD, ctx=acting_system(tenant))
        scim.patch(f"/Users/{ben.public_id}", {"op": "replace", "path": "externalId", "value": "other"})
        said = manage("confirm_account", "--tenant", "acme", "--provisioned")
        assert (said.status, sorted(said.out.split())) == (0, sorted([ann, eve]))
        assert manage("confirm_account", "--tenant", "acme", "--provisioned") == Said(0, "", "")

    def test_personal_token_days_are_shown_and_set(self, manage: Manage, tenant: Tenant) -> None:
        assert manage("personal_token_days", "--tenant", "acme").out == "90 days\n"
        assert manage("personal_token_days", "--tenant", "acme", "--days", "30").out == "30 days\n"
        assert manage("personal_token_days", "--tenant", "acme", "--days", "0").status == 1
