"""Console sessions: digests of keys, idle and absolute limits, the list of sessions and their end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from telemetry.models import Receipt
from tests.console.sign_in import confirm
from tests.factories import PASSWORD, acting, acting_system, make_principal, make_tenant
from threada_site.admin.html import page_url
from threada_site.console.session_engine import SessionStore
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.console_sessions import limits
from threada_site.identity.console_sessions.ending import end_sessions_of
from threada_site.identity.passwords import set_password
from threada_site.identity.principals import remove_member
from threada_site.kernel import clock, errors
from threada_site.tenancy.models import ConsoleSession, Tenant, User
from workitems.retention.erasure import erase_principal
from workitems.tasks import expire_console_sessions

COOKIE = "threada_session"
PAGE = "/console/sessions/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Mobile/15E148 Safari/604.1"


@pytest.fixture
def alice(tenant: Tenant, settings: Any) -> User:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    person = make_principal(tenant, "alice", roles=["viewer"])
    with unit_of_work(tenant.id):
        set_password(person, PASSWORD, ctx=acting_system(tenant))
    return person


def sign_in(name: str = "alice", user_agent: str = FIREFOX, address: str = "203.0.113.9", key: str = "") -> Client:
    browser = Client(REMOTE_ADDR=address, HTTP_USER_AGENT=user_agent)
    if key:
        browser.cookies[COOKIE] = key
    form = {"username": name, "password": PASSWORD, "next": "/console/"}
    assert browser.post("/console/login/", form).status_code == 302
    return browser


def is_signed_in(browser: Client) -> bool:
    return browser.get(PAGE).status_code == 200


def with_cookie(value: str) -> Client:
    browser = Client()
    browser.cookies[COOKIE] = value
    return browser


def ended(tenant: Tenant) -> list[dict[str, Any]]:
    with unit_of_work(tenant.id):
        rows = Receipt.objects.filter(kind="session.ended").order_by("id")
        return [orjson.loads(bytes(row.body)) for row in rows]


class TestTable:
    def test_no_column_of_the_table_is_a_session_cookie(self, alice: User) -> None:
        key = sign_in().cookies[COOKIE].value
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM tenancy_consolesession")
            (row,) = cursor.fetchall()
        forms = [form for value in row for form in (str(value), bytes(value).hex() if isinstance(value, bytes) else "")]
        forms += [ConsoleSession.objects.get().public_id]
        assert key not in " ".join(forms)
        assert not any(is_signed_in(with_cookie(form)) for form in forms)
        assert is_signed_in(with_cookie(key))

    def test_data_of_one_session_are_not_valid_in_another(self, alice: User, tenant: Tenant) -> None:
        make_principal(tenant, "mallory", roles=["viewer"])
        mallory = Client()
        mallory.force_login(User.objects.get(username="mallory"))
        sign_in()
        stolen = ConsoleSession.objects.get(user=alice).data
        ConsoleSession.objects.filter(user__username="mallory").update(data=stolen, user=alice)
        assert not is_signed_in(mallory)

    def test_a_key_that_a_stranger_chose_does_not_become_a_session(self, alice: User) -> None:
        chosen = "a" * 32
        anonymous = SessionStore()
        anonymous["planted"] = True
        anonymous.save()
        for planted in (chosen, str(anonymous.session_key)):
            browser = sign_in(key=planted)
            assert browser.cookies[COOKIE].value != planted
            assert not is_signed_in(with_cookie(planted))

    @pytest.mark.parametrize("value", ["", "short", "x" * 5000, "a\x00b" * 8, "\xff" * 20, "' OR 1=1 --"])
    def test_any_other_cookie_is_no_session(self, alice: User, value: str) -> None:
        browser = Client(HTTP_COOKIE=f"{COOKIE}={value}")
        assert browser.get(PAGE).url.startswith("/console/login/")


class TestLimits:
    def age(self, **columns: timedelta) -> None:
        now = clock.now()
        ConsoleSession.objects.update(**{name: now - by for name, by in columns.items()})

    def test_a_session_ends_an_hour_after_its_last_use(self, alice: User) -> None:
        browser = sign_in()
        self.age(last_used_at=timedelta(minutes=59))
        assert is_signed_in(browser)
        self.age(last_used_at=timedelta(minutes=60))
        assert not is_signed_in(browser)

    def test_a_session_ends_twelve_hours_after_the_sign_in_however_it_is_used(self, alice: User) -> None:
        browser = sign_in()
        self.age(created_at=timedelta(hours=11, minutes=59))
        assert is_signed_in(browser)
        self.age(created_at=timedelta(hours=12), last_used_at=timedelta())
        assert not is_signed_in(browser)

    def test_both_limits_are_settings(self, alice: User, settings: Any) -> None:
        browser = sign_in()
        self.age(created_at=timedelta(hours=2), last_used_at=timedelta(minutes=6))
        settings.THREADA_SESSION_IDLE_MINUTES = 5
        assert not is_signed_in(browser)
        settings.THREADA_SESSION_IDLE_MINUTES, settings.THREADA_SESSION_HOURS = 60, 1
        assert not is_signed_in(browser)

    def test_a_new_key_does_not_extend_the_absolute_limit(self, alice: User) -> None:
        browser = sign_in()
        store = browser.session
        store["signed_in_at"] -= 3600
        store.cycle_key()
        store.save()
        assert clock.now() - ConsoleSession.objects.get().created_at >= timedelta(hours=1)
        assert store.get_expiry_age() <= 11 * 3600

    def test_last_use_is_written_at_most_once_a_minute(self, alice: User) -> None:
        browser = sign_in()
        self.age(last_used_at=timedelta(seconds=61))
        with CaptureQueriesContext(connection) as captured:
            for _ in range(3):
                browser.get(PAGE, REMOTE_ADDR="203.0.113.77")
        assert sum('UPDATE "tenancy_consolesession"' in query["sql"] for query in captured) == 1
        assert ConsoleSession.objects.get().address == "203.0.113.77"

    def test_a_person_has_a_limited_number(self, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "MOST_SESSIONS", 3)
        browsers = [sign_in() for _ in range(4)]
        assert [is_signed_in(browser) for browser in browsers] == [False, True, True, True]
        assert ConsoleSession.objects.filter(user=alice).count() == 3

    def test_a_database_that_cannot_be_written_keeps_nobody_from_reading(self, alice: User) -> None:
        key = sign_in().cookies[COOKIE].value
        ConsoleSession.objects.update(last_used_at=clock.now() - timedelta(minutes=2))
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION READ ONLY")
            assert SessionStore(key).load()["_auth_user_id"] == str(alice.pk)
            transaction.set_rollback(True)

    def test_a_job_deletes_what_has_ended(self, alice: User) -> None:
        for columns in (
            {"last_used_at": timedelta(minutes=61)},
            {"created_at": timedelta(hours=12), "last_used_at": timedelta()},
        ):
            sign_in()
            self.age(**columns)
        kept = sign_in()
        expire_console_sessions()
        assert ConsoleSession.objects.count() == 1
        assert is_signed_in(kept)


class TestPage:
    def test_it_lists_own_sessions_and_marks_this_one(self, alice: User, tenant: Tenant) -> None:
        make_principal(tenant, "bob", roles=["viewer"])
        Client().force_login(User.objects.get(username="bob"))
        sign_in(user_agent=SAFARI, address="198.51.100.7")
        page = sign_in().get(PAGE)
        assert [(device, is_this, how) for _, device, is_this, how in page.context["sessions"]] == [
            ("Firefox on Linux", True, "password"),
            ("Safari on iPhone", False, "password"),
        ]
        text = page.content.decode()
        assert "203.0.113.9" in text
        assert "198.51.100.7" in text
        assert text.count("this session") == 1

    def test_it_ends_one_and_the_others_stay(self, alice: User, tenant: Tenant) -> None:
        other = make_tenant("globex")
        make_principal(other, "alice", roles=["viewer"])
        first, second, this = sign_in(), sign_in(), sign_in()
        this.post("/console/tenant/", {"tenant": "acme"})
        named = ConsoleSession.objects.order_by("id")[0].public_id
        assert this.post(PAGE, {"end": named}).status_code == 302
        assert [first.get(PAGE).url.startswith("/console/login/"), is_signed_in(this)] == [True, True]
        assert second.get(PAGE).url.startswith("/console/tenant/"), "signed in, without a tenant yet"
        for place in (tenant, other):
            (receipt,) = ended(place)
            assert receipt["inputs"]["sessions"] == [named]
            assert receipt["actor"]["principal"] == receipt["inputs"]["principal"] == alice.public_id

    def test_it_ends_all_others(self, alice: User, tenant: Tenant) -> None:
        others, this = [sign_in(), sign_in()], sign_in()
        this.post(PAGE, {"end": "others"})
        assert [is_signed_in(browser) for browser in (*others, this)] == [False, False, True]
        assert [receipt["outcome"]["count"] for receipt in ended(tenant)] == [2]

    @pytest.mark.parametrize("of", ["mine", "bob", "nobody"])
    def test_other_ids_end_nothing(self, alice: User, tenant: Tenant, of: str) -> None:
        make_principal(tenant, "bob", roles=["viewer"])
        bob, this = Client(), sign_in()
        bob.force_login(User.objects.get(username="bob"))
        ids = {
            "mine": ConsoleSession.objects.get(user=alice).public_id,
            "bob": ConsoleSession.objects.exclude(user=alice).get().public_id,
            "nobody": "se_",
        }
        page = this.post(PAGE, {"end": ids[of]}, follow=True)
        assert "There was no other session to end." in page.content.decode()
        assert is_signed_in(this)
        assert is_signed_in(bob)
        assert ended(tenant) == []


class TestStewards:
    def test_a_steward_ends_all_sessions_of_a_member(self, alice: User, tenant: Tenant) -> None:
        make_principal(tenant, "steward", roles=["tenant_admin"])
        steward = Client()
        steward.force_login(User.objects.get(username="steward"))
        browsers = [sign_in(), sign_in()]
        member = page_url("tenancy.membership", alice.public_id)
        assert "End all sessions" in steward.get(member).content.decode()
        page = confirm(steward, reverse("admin:tenancy_membership_end_sessions", args=[alice.public_id]), follow=True)
        assert "2 sessions of alice ended." in page.content.decode()
        assert not any(map(is_signed_in, browsers))
        (receipt,) = ended(tenant)
        assert receipt["actor"]["principal"] == User.objects.get(username="steward").public_id
        assert receipt["outcome"]["count"] == 2
        assert is_signed_in(sign_in()), "the password stays valid"

    def test_others_do_not(self, alice: User, tenant: Tenant) -> None:
        bob = make_principal(tenant, "bob", roles=["approver"])
        browser = sign_in()
        with unit_of_work(tenant.id), pytest.raises(errors.PermissionDenied):
            end_sessions_of(alice, ctx=acting(tenant, bob))
        assert is_signed_in(browser)

    def test_a_steward_of_one_tenant_does_not_interrupt_work_in_another(self, alice: User, tenant: Tenant) -> None:
        steward = make_principal(tenant, "steward", roles=["tenant_admin"])
        make_principal(make_tenant("globex"), "alice", roles=["viewer"])
        sign_in()
        with unit_of_work(tenant.id), pytest.raises(errors.Conflict, match="operator"):
            end_sessions_of(alice, ctx=acting(tenant, steward))
        call_command("end_sessions", "--principal", "alice")
        assert not ConsoleSession.objects.exists()


class TestAccounts:
    NEW = "another battery staple horse"

    def test_a_new_password_ends_all_other_sessions(self, alice: User) -> None:
        other, this = sign_in(), sign_in()
        before = this.cookies[COOKIE].value
        form = {"old_password": PASSWORD, "new_password": self.NEW, "again": self.NEW}
        assert this.post("/console/password_change/", form).status_code == 302
        assert is_signed_in(this)
        assert this.cookies[COOKIE].value != before
        assert not is_signed_in(other)
        assert not is_signed_in(with_cookie(before))
        assert ConsoleSession.objects.count() == 1

    def test_a_refused_password_ends_none(self, alice: User) -> None:
        other, this = sign_in(), sign_in()
        this.post("/console/password_change/", {"old_password": PASSWORD, "new_password": "short", "again": "short"})
        assert is_signed_in(other)

    def test_a_password_that_a_command_sets_ends_all(self, alice: User) -> None:
        browser = sign_in()
        person = User.objects.get(username="alice")
        person.set_password(self.NEW)
        person.save()
        assert not ConsoleSession.objects.exists()
        assert not is_signed_in(browser)

    def test_the_same_password_under_another_hash_ends_none(self, alice: User, settings: Any) -> None:
        sign_in()
        settings.PASSWORD_HASHERS = [
            "django.contrib.auth.hashers.ScryptPasswordHasher",
            *settings.PASSWORD_HASHERS,
        ]
        person = User.objects.get(username="alice")
        assert person.check_password(PASSWORD)
        assert User.objects.get(username="alice").password.startswith("scrypt")
        assert ConsoleSession.objects.count() == 1

    def test_a_member_who_is_removed_or_erased_has_no_sessions(self, alice: User, tenant: Tenant) -> None:
        steward = make_principal(tenant, "steward", roles=["tenant_admin"])
        make_principal(tenant, "quinn", roles=["viewer"])
        quinn = User.objects.get(username="quinn")
        Client().force_login(quinn)
        sign_in()
        with unit_of_work(tenant.id):
            remove_member(alice, ctx=acting_system(tenant))
            assert list(ConsoleSession.objects.values_list("user", flat=True)) == [quinn.id]
            erase_principal(quinn, ctx=acting(tenant, steward))
        assert not ConsoleSession.objects.exists()
