"""First page of a person who requests."""

from __future__ import annotations

from django.test import Client

from tests.console.portal.forms import plain_payments, send
from tests.console.sign_in import Console
from tests.journeys.demo import LARGE, Demo
from threada_site.database.unit_of_work import unit_of_work
from workitems.models import DecisionStep
from workitems.portal.pages import LATEST


def test_a_request_that_waits_for_an_answer_comes_first(demo: Demo, console: Console) -> None:
    plain_payments(demo)
    demo.join("rita", roles=("requester",))
    rita = console("rita")
    first = _sent(rita)
    for _ in range(LATEST):
        _sent(rita)
    demo.wait()
    assert first not in _shown(rita)
    answer = demo.api("finance-1").post(f"/work-items/{first}/questions", {"text": "Which cost centre?"})
    assert answer.status_code == 201, answer.content
    assert _shown(rita)[0] == first
    assert len(set(_shown(rita))) == LATEST
    (row, *_others) = rita.get("/console/").context["latest"]
    assert row.waits_for == ("you",)
    with unit_of_work(demo.tenant.id):
        assert row.until == DecisionStep.objects.get(work_item__open_questions=1, status="pending").pause_ends_at


def _sent(browser: Client) -> str:
    return send(browser, **LARGE)["Location"].rstrip("/").rpartition("/")[2]


def _shown(browser: Client) -> list[str]:
    return [row.id for row in browser.get("/console/").context["latest"]]
