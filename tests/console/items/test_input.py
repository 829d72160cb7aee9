"""Input of an execution on its page."""

from __future__ import annotations

from typing import Any

from tests.console.sign_in import Console
from tests.journeys.demo import BANK, LARGE, Demo, put_real_bank


def test_input_has_the_labels_of_the_input_schema(demo: Demo, console: Console) -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "fee_minor": {"type": "integer", "title": "Fee", "x-threada": {"format": "money", "currency": "EUR"}}
        },
    }
    put_real_bank(demo.tenant, actions={"pay": {**BANK["actions"]["pay"], "input_schema": schema}})
    item = demo.hand_in(LARGE)
    demo.wait()
    answer = demo.execute(item, input={"fee_minor": 250, "Fee": "none"})
    assert answer.status_code == 202, answer.content
    page = console("admin").get(f"/console/integrations/execution/{answer.json()['execution_id']}/")
    assert page.status_code == 200
    shown = page.context["input"]
    assert ">Fee</span>" in shown
    assert "EUR 2.50" in shown
    assert '<code class="t-name">Fee</code>' in shown
