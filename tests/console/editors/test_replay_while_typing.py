"""Replay of the newest decisions while a policy is edited: counts in steps, nothing stored, nobody else delayed."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from policies.evaluator.pool import pool
from policies.models import PolicyDecision, PolicyReplay
from policies.replay.preview import share
from telemetry.models import Receipt
from tests.console.sign_in import Console
from tests.factories import acting_system, make_principal
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.roles import define_role
from threada_site.kernel.context import Scope

EDITOR = "/console/policies/policy/payments/new-draft/"
DENYING = """
rules:
  - {id: large, when: "ctx.action == 'pay' && item.payload.amount_minor > 1000000", effect: deny, reason: TOO_LARGE}
  - {id: others, when: "true", effect: allow, reason: WITHIN_LIMITS}
"""
PREVIEW = "/console/policies/policy/payments/preview/"


@pytest.fixture(autouse=True)
def long_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a step read all decisions of a test, also on a slow machine."""
    monkeypatch.setattr("policies.replay.preview.STEP_S", 60.0)
    monkeypatch.setattr("policies.replay.preview._SEARCH_MS", 60_000)


@pytest.fixture
def decided(demo: Demo) -> Demo:
    """Decide three payments: two small ones, one large one."""
    for amount in (1_000, 600_000, 2_000_000):
        item = demo.hand_in({"vendor": "Hooli", "amount_minor": amount})
        demo.wait()
        demo.execute(item)
    return demo


def text_of(browser: Any) -> str:
    return str(browser.get(EDITOR).context["form"]["document"].value())


def ask(browser: Any, document: str, **sent: Any) -> dict[str, Any]:
    answer = browser.post(PREVIEW, {"document": document, **sent})
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def test_differences_to_the_version_in_force_are_counted(decided: Demo, console: Console) -> None:
    browser = console("admin")
    text = text_of(browser)
    same = ask(browser, text)
    assert (same["state"], same["counts"]["seen"], same["counts"]["others"]) == ("finished", 6, 0)
    assert same["text"] == "Newest 6 decisions: no difference."
    lower = ask(browser, text.replace("1000000", "500000"))
    assert lower["counts"]["approvals_more"] == 1
    assert lower["text"] == "Newest 6 decisions: 1 more approval."
    fewer = ask(browser, text.replace("1000000", "9000000"))
    assert fewer["text"] == "Newest 6 decisions: 1 fewer approval."
    denied = ask(browser, DENYING)
    assert denied["counts"]["denials_more"] == 1
    assert ask(browser, "kind: [")["state"] == "invalid"
    assert ask(browser, "kind: Policy\nid: other\nspec: {rules: []}")["state"] == "invalid"


def test_the_next_step_goes_on_where_the_last_one_ended(
    decided: Demo, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("policies.replay.preview.STEP_S", 0.0)
    browser = console("admin")
    text = text_of(browser).replace("1000000", "500000")
    step: dict[str, Any] = {"counts": {}, "cursor": ""}
    for _ in range(6):
        step = ask(browser, text, cursor=step["cursor"], **step["counts"])
        assert step["state"] in ("running", "finished")
    step = ask(browser, text, cursor=step["cursor"], **step["counts"])
    assert (step["state"], step["counts"]["seen"], step["counts"]["approvals_more"]) == ("finished", 6, 1)


def test_nothing_is_stored(decided: Demo, console: Console) -> None:
    browser = console("admin")
    text = text_of(browser)

    def rows() -> tuple[int, ...]:
        with unit_of_work(decided.tenant.id):
            return PolicyDecision.objects.count(), PolicyReplay.objects.count(), Receipt.objects.count()

    before = rows()
    ask(browser, text.replace("1000000", "500000"))
    ask(browser, "kind: [")
    assert rows() == before


def test_only_writers_of_the_tenant_may_ask(decided: Demo, console: Console) -> None:
    assert console("finance-1").post(PREVIEW, {"document": "x"}).status_code == 403
    assert console("admin").get(PREVIEW).status_code == 405
    assert console("admin").post(PREVIEW.replace("payments", "nothing"), {"document": "x"}).status_code == 404


def test_who_may_not_read_cases_learns_nothing_of_them(decided: Demo, console: Console) -> None:
    with unit_of_work(decided.tenant.id):
        define_role("writer", frozenset({Scope.POLICIES_WRITE}), ctx=acting_system(decided.tenant))
    make_principal(decided.tenant, "will", roles=("writer",))
    browser = console("will")
    assert "data-preview" not in browser.get(EDITOR).content.decode()
    assert browser.post(PREVIEW, {"document": DENYING}).status_code == 403


@pytest.mark.parametrize(
    "sent",
    [
        {"cursor": "pd_x", "seen": "-1", "replayed": "9" * 50},
        {"cursor": "wi_01h45ytscbebyvny4gc8cr8ma2", "seen": "x", "most": "1000000000"},
        {"seen": "²", "cursor": "\x00"},
    ],
)
def test_invented_cursors_and_counts_change_nothing(decided: Demo, console: Console, sent: dict[str, str]) -> None:
    browser = console("admin")
    assert ask(browser, text_of(browser), **sent)["counts"]["seen"] == 6


def test_a_preview_gives_way_to_other_runs(decided: Demo, console: Console, settings: Any) -> None:
    browser = console("admin")
    text = text_of(browser)
    settings.THREADA_EVALUATORS = 2
    with share.taken(
        tenant=uuid.uuid4(), person=uuid.uuid4()
    ):  # a preview of another tenant: the second evaluator is not for previews
        assert ask(browser, text)["state"] == "busy"
    with pool.reserved(decided.tenant.id):
        assert ask(browser, text)["state"] == "busy"
    assert ask(browser, text)["state"] == "finished"


def test_the_number_of_statements_is_bounded(
    decided: Demo, console: Console, django_assert_max_num_queries: Any
) -> None:
    browser = console("admin")
    text = text_of(browser)
    ask(browser, text)
    with django_assert_max_num_queries(40):
        ask(browser, text.replace("1000000", "500000"))
