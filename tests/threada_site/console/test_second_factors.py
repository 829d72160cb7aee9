"""Second factors: enrolment, the second step of the sign-in, recovery codes and the requirement of a tenant."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pyotp
import pytest
from django.test import Client
from django.urls import reverse

from telemetry.models import Receipt
from tests.console.test_step_up import GUARDED, approve, votes
from tests.factories import PASSWORD, acting_system
from tests.journeys.demo import LARGE, Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.factors import second_step
from threada_site.identity.factors.reset import reset_factors
from threada_site.identity.passwords import set_password
from threada_site.kernel import clock
from threada_site.kernel.context import EntryPoint
from threada_site.tenancy.models import EnrolledFactor, RecoveryCode, Tenant, User

SECOND_STEP = "/console/second-step/"
FACTORS = "/console/second-factors/"


@pytest.fixture
def person(demo: Demo) -> User:
    person = User.objects.get(username="finance-1")
    with unit_of_work(demo.tenant.id):
        set_password(person, PASSWORD, ctx=acting_system(demo.tenant))
    return person


def enter(browser: Client, password: str = PASSWORD, *, onward: str = "/console/") -> Any:
    return browser.post("/console/login/", {"username": "finance-1", "password": password, "next": onward})


def enrol(browser: Client) -> tuple[pyotp.TOTP, list[str]]:
    """Enrol an authenticator app in a browser that has just signed in. Return it and the recovery codes."""
    page = browser.post(FACTORS, {"do": "start"}).content.decode()
    app = pyotp.TOTP(re.search(r'class="t-token">([A-Z2-7 ]+)<', page)[1].replace(" ", ""))  # type: ignore[index]
    page = browser.post(FACTORS, {"do": "enrol", "code": app.now(), "label": "Phone"}).content.decode()
    return app, re.findall(r"<li><code>([a-z0-9-]+)</code>", page)


def later(app: pyotp.TOTP) -> str:
    """Return the code of the step after the current one, which is accepted too."""
    return app.at(clock.now() + timedelta(seconds=30))


@pytest.fixture
def enrolled(person: User) -> tuple[pyotp.TOTP, list[str]]:
    browser = Client()
    assert enter(browser).status_code == 302
    app, codes = enrol(browser)
    assert len(codes) == 10
    return app, codes


def is_signed_in(browser: Client) -> bool:
    return browser.get("/console/sessions/").status_code == 200


def test_the_second_step_opens_the_session(enrolled: tuple[pyotp.TOTP, list[str]]) -> None:
    browser = Client()
    answer = enter(browser, onward="/console/sessions/")
    assert (answer.status_code, answer["Location"]) == (302, SECOND_STEP)
    assert not is_signed_in(browser)
    wrong = browser.post(SECOND_STEP, {"code": "000000"})
    assert wrong.status_code == 422
    assert not is_signed_in(browser)
    done = browser.post(SECOND_STEP, {"code": later(enrolled[0])})
    assert (done.status_code, done["Location"]) == (302, "/console/sessions/")
    assert is_signed_in(browser)
    with unit_of_work(Tenant.objects.get(slug="demo").id):
        latest = Receipt.objects.filter(kind="session.signed_in").order_by("-id")[0]
        assert b"totp" in bytes(latest.body)


def test_a_reset_while_the_session_is_stored_ends_the_session(
    enrolled: tuple[pyotp.TOTP, list[str]], demo: Demo, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = second_step.add_factors

    def add_factors(*arguments: Any) -> None:
        real(*arguments)
        with unit_of_work(demo.tenant.id):
            reset_factors(person, ctx=acting_system(demo.tenant, EntryPoint.CONSOLE))

    monkeypatch.setattr(second_step, "add_factors", add_factors)
    browser = Client()
    enter(browser)
    answer = browser.post(reverse("admin:second_step"), {"code": later(enrolled[0])})
    assert (answer.status_code, answer["Location"]) == (302, reverse("admin:login"))
    assert not is_signed_in(browser)


def test_each_code_serves_once(enrolled: tuple[pyotp.TOTP, list[str]]) -> None:
    """The code of the enrolment is used up, and so is that of a sign-in, in every browser."""
    app, _ = enrolled
    first, second = Client(), Client()
    enter(first)
    enter(second)
    assert (
        first.post(SECOND_STEP, {"code": app.at(30 * (EnrolledFactor.objects.get().last_step or 0))}).status_code == 422
    )
    code = later(app)
    assert first.post(SECOND_STEP, {"code": code}).status_code == 302
    assert second.post(SECOND_STEP, {"code": code}).status_code == 422
    assert not is_signed_in(second)


def test_the_second_step_is_bound_to_the_browser_and_ends(enrolled: tuple[pyotp.TOTP, list[str]], person: User) -> None:
    app, _ = enrolled
    stranger = Client()
    assert stranger.post(SECOND_STEP, {"code": later(app)})["Location"] == "/console/login/"
    browser = Client()
    enter(browser)
    stolen = {key: morsel.value for key, morsel in browser.cookies.items()}
    assert browser.post(SECOND_STEP, {"code": later(app)}).status_code == 302
    for key, value in stolen.items():
        stranger.cookies[key] = value
    EnrolledFactor.objects.update(last_step=None)
    assert stranger.post(SECOND_STEP, {"code": later(app)})["Location"] == "/console/login/"
    assert not is_signed_in(stranger)


def test_a_new_password_ends_pending_sign_ins(enrolled: tuple[pyotp.TOTP, list[str]], demo: Demo, person: User) -> None:
    browser = Client()
    enter(browser)
    with unit_of_work(demo.tenant.id):
        set_password(person, f"{PASSWORD} changed", ctx=acting_system(demo.tenant))
    assert browser.post(SECOND_STEP, {"code": later(enrolled[0])})["Location"] == "/console/login/"


def test_the_session_has_a_new_key(enrolled: tuple[pyotp.TOTP, list[str]]) -> None:
    """A session that somebody planted in the browser is not the one that is opened."""
    attacker = Client()
    attacker.get("/console/login/")
    session = attacker.session
    session["planted"] = True
    session.save()
    victim = Client()
    victim.cookies = attacker.cookies
    planted = victim.cookies["sessionid" if "sessionid" in victim.cookies else next(iter(victim.cookies))].value
    enter(victim)
    victim.post(SECOND_STEP, {"code": later(enrolled[0])})
    assert "planted" not in victim.session
    assert planted not in {morsel.value for morsel in victim.cookies.values()}


@pytest.mark.parametrize("onward", ["https://evil.example/", "//evil.example/", "/console/logout/", "/admin/"])
def test_the_second_step_goes_on_to_pages_of_the_console_only(
    enrolled: tuple[pyotp.TOTP, list[str]], onward: str
) -> None:
    browser = Client()
    enter(browser, onward=onward)
    assert browser.post(SECOND_STEP, {"code": later(enrolled[0])})["Location"] == "/console/"


def test_guesses_are_delayed_for_the_account_in_every_browser(enrolled: tuple[pyotp.TOTP, list[str]]) -> None:
    statuses = []
    for number in range(6):
        browser = Client(REMOTE_ADDR=f"203.0.113.{number}")
        enter(browser)
        statuses.append(browser.post(SECOND_STEP, {"code": "000000"}).status_code)
    assert statuses == [422] * 5 + [429]


def test_a_wrong_password_does_not_tell_that_a_factor_is_enrolled(enrolled: tuple[pyotp.TOTP, list[str]]) -> None:
    pages = [
        Client().post("/console/login/", {"username": name, "password": "wrong"}) for name in ("finance-1", "nobody")
    ]
    texts = {re.sub(r"[0-9a-zA-Z]{64}|finance-1|nobody", "", page.content.decode()) for page in pages}
    assert len(texts) == 1


def test_a_recovery_code_serves_once_and_is_told(enrolled: tuple[pyotp.TOTP, list[str]], demo: Demo) -> None:
    code = enrolled[1][0]
    browser, again = Client(), Client()
    enter(browser)
    assert browser.post(f"{SECOND_STEP}?recovery", {"code": code.upper().replace("-", " ")}).status_code == 302
    enter(again)
    assert again.post(f"{SECOND_STEP}?recovery", {"code": code}).status_code == 422
    with unit_of_work(demo.tenant.id):
        used = Receipt.objects.get(kind="recovery_code.used")
        assert b'"left":9' in bytes(used.body)
    assert "Recovery code used" in browser.get("/console/security-history/").content.decode()


def test_new_recovery_codes_end_the_old_ones(enrolled: tuple[pyotp.TOTP, list[str]]) -> None:
    app, old = enrolled
    browser, other = Client(), Client()
    enter(browser)
    browser.post(SECOND_STEP, {"code": later(app)})
    page = browser.post(FACTORS, {"do": "codes"}).content.decode()
    new = re.findall(r"<li><code>([a-z0-9-]+)</code>", page)
    assert len(new) == len(set(new) - set(old)) == 10
    enter(other)
    assert other.post(f"{SECOND_STEP}?recovery", {"code": old[0]}).status_code == 422
    assert other.post(f"{SECOND_STEP}?recovery", {"code": new[0]}).status_code == 302


def test_secrets_and_codes_are_not_stored_in_the_clear(enrolled: tuple[pyotp.TOTP, list[str]], person: User) -> None:
    app, codes = enrolled
    stored = bytes(EnrolledFactor.objects.get(user=person).secret or b"")
    assert app.secret.encode() not in stored
    digests = [bytes(row.code_sha256) for row in RecoveryCode.objects.filter(user=person)]
    assert all(len(digest) == 32 for digest in digests)
    assert not any(code.encode() in digest for code in codes for digest in digests)


def test_a_secret_copied_to_another_person_is_useless(enrolled: tuple[pyotp.TOTP, list[str]], demo: Demo) -> None:
    other = User.objects.get(username="finance-2")
    row = EnrolledFactor.objects.get()
    EnrolledFactor.objects.create(user=other, kind="totp", secret=bytes(row.secret or b""), key_id=row.key_id)
    with unit_of_work(demo.tenant.id):
        set_password(other, PASSWORD, ctx=acting_system(demo.tenant))
    browser = Client()
    browser.post("/console/login/", {"username": "finance-2", "password": PASSWORD})
    assert browser.post(SECOND_STEP, {"code": later(enrolled[0])}).status_code == 422


def test_an_enrolment_ends_other_sessions_and_needs_a_fresh_proof(person: User, demo: Demo) -> None:
    browser, other = Client(), Client()
    enter(browser)
    enter(other)
    enrol(browser)
    assert not is_signed_in(other)
    assert is_signed_in(browser)
    with unit_of_work(demo.tenant.id):
        kinds = list(Receipt.objects.filter(kind__startswith="second_factor").values_list("kind", flat=True))
    assert kinds == ["second_factor.enrolled"]
    session = browser.session
    past = (clock.now() - timedelta(minutes=6)).timestamp()
    session["signed_in_at"] = session["reauthenticated_at"] = past
    session.save()
    for do in ("start", "codes", "remove"):
        refused = browser.post(FACTORS, {"do": do, "factor": EnrolledFactor.objects.get().public_id})
        assert refused["Location"].startswith("/console/second-factors/confirm/")
    assert EnrolledFactor.objects.count() == 1


class TestRequirement:
    @pytest.fixture(autouse=True)
    def strict(self, person: User, demo: Demo) -> None:
        Tenant.objects.filter(id=demo.tenant.id).update(require_mfa=True)

    def test_an_approver_without_a_factor_reaches_enrolment_only(self, demo: Demo) -> None:
        browser = Client()
        assert enter(browser).status_code == 302
        for page in ("/console/", "/console/sessions/", "/console/tenancy/personaltoken/", "/console/password_change/"):
            assert browser.get(page)["Location"].startswith("/console/second-factors/?next=")
        assert browser.post("/console/sessions/", {"end": "others"})["Location"] == FACTORS
        page = browser.get(FACTORS).content.decode()
        assert "Your roles need a second factor" in page
        enrol(browser)
        assert browser.get("/console/").status_code == 200

    def test_the_last_factor_stays(self) -> None:
        browser = Client()
        enter(browser)
        enrol(browser)
        factor = EnrolledFactor.objects.get().public_id
        refused = browser.post(FACTORS, {"do": "remove", "factor": factor})
        assert "last_factor_required" in refused.content.decode()
        Tenant.objects.update(require_mfa=False)
        assert browser.post(FACTORS, {"do": "remove", "factor": factor}).status_code == 302
        assert not EnrolledFactor.objects.exists()
        assert not RecoveryCode.objects.exists()

    def test_a_person_who_decides_nothing_needs_none(self, demo: Demo, person: User) -> None:
        person.groups.clear()
        browser = Client()
        enter(browser)
        assert browser.get("/console/").status_code == 200

    def test_actions_of_stewards_need_a_step_up(self, demo: Demo) -> None:
        admin = User.objects.get(username="admin")
        with unit_of_work(demo.tenant.id):
            set_password(admin, PASSWORD, ctx=acting_system(demo.tenant))
        browser = Client()
        browser.post("/console/login/", {"username": "admin", "password": PASSWORD})
        app, _ = enrol(browser)
        address = "/console/tenancy/role/new/"
        assert "step_up_code" not in browser.get(address).content.decode()
        session = browser.session
        session["signed_in_at"] = session["reauthenticated_at"] = (clock.now() - timedelta(minutes=6)).timestamp()
        session.save()
        assert "step_up_code" in browser.get(address).content.decode()
        form = {"slug": "reader", "scopes": ["workitems:read"]}
        for proof in ({}, {"password": PASSWORD}, {"step_up_code": "000000"}):
            refused = browser.post(address, {**form, **proof})
            assert refused.status_code == 422
            assert "step_up_" in refused.content.decode()
        assert browser.post(address, {**form, "step_up_code": later(app)}).status_code == 302


def test_a_password_is_no_step_up_with_an_enrolled_factor(enrolled: tuple[pyotp.TOTP, list[str]], demo: Demo) -> None:
    app, codes = enrolled
    demo.put_rules(GUARDED)
    item = demo.hand_in(LARGE)
    demo.execute(item)
    step = demo.step_of(item)
    browser = Client()
    enter(browser)
    browser.post(f"{SECOND_STEP}?recovery", {"code": codes[0]})
    page = browser.get(reverse("admin:workitems_decisionstep_change", args=[step["decision_step_id"]])).content.decode()
    assert 'name="step_up_code"' in page
    assert "(step_up_required)" in approve(browser, step)
    assert "(step_up_failed)" in approve(browser, step, password=PASSWORD)
    assert "(step_up_failed)" in approve(browser, step, step_up_code=codes[1])
    assert votes(demo, step) == 0
    code = later(app)
    assert approve(browser, step, step_up_code=code).startswith("Your approval is recorded.")


def test_a_code_of_a_refused_vote_stays_used(enrolled: tuple[pyotp.TOTP, list[str]], demo: Demo) -> None:
    app, codes = enrolled
    demo.put_rules(GUARDED)
    item = demo.hand_in(LARGE)
    demo.execute(item)
    step = demo.step_of(item)
    browser = Client()
    enter(browser)
    browser.post(f"{SECOND_STEP}?recovery", {"code": codes[0]})
    code = later(app)
    assert "recorded" not in approve(browser, {**step, "envelope_sha256": "0" * 64}, step_up_code=code)
    other = Client()
    enter(other)
    assert other.post(SECOND_STEP, {"code": code}).status_code == 422
