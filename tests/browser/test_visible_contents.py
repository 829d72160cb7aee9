"""The page of a decision shows exactly what is sealed, also for hostile payloads."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from policies.configuration.workflows import upsert_workflow
from policies.documents.workflow import parse_workflow
from tests.browser.watched import Watched
from tests.factories import PASSWORD, acting_system
from tests.journeys.demo import Demo
from threada_site.admin.fields import number_text
from threada_site.database.unit_of_work import unit_of_work

pytestmark = pytest.mark.browser

IBAN = "DE89370400440532013000" * 3
DEPTH = 60
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "payee": {
            "type": "object",
            "title": "Payee",
            "properties": {"iban": {"title": "IBAN"}, "name": {"title": "Name"}},
        },
        "amount_minor": {"title": "Amount", "x-threada": {"format": "money", "currency": "EUR"}},
    },
}
LEAVES = """card => {
  const text = node => {
    if (node.nodeType === Node.TEXT_NODE) return node.data;
    if (node.classList.contains('t-unseen')) return String.fromCodePoint(parseInt(node.textContent.slice(2), 16));
    return [...node.childNodes].map(text).join('');
  };
  const problems = [];
  const check = node => {
    node.scrollIntoView({block: 'center'});
    const box = node.getBoundingClientRect();
    const name = text(node).slice(0, 40);
    if (box.left < 0 || box.right > window.innerWidth + 1) problems.push('outside: ' + name);
    for (let outer = node; outer !== document.body; outer = outer.parentElement) {
      const style = getComputedStyle(outer);
      if (style.display === 'none' || style.visibility !== 'visible' || style.opacity < 1) problems.push('hidden: ' + name);
      if (style.overflowX !== 'visible' && outer.scrollWidth > outer.clientWidth) problems.push('clipped: ' + name);
      if (style.overflowY !== 'visible' && outer.scrollHeight > outer.clientHeight + 1 && outer !== document.documentElement
          && style.overflowY === 'hidden') problems.push('cut off: ' + name);
    }
    for (const line of [...node.getClientRects()].slice(0, 3)) {
      if (line.width === 0 || line.bottom < 0 || line.top > window.innerHeight) continue;
      const found = document.elementFromPoint(line.left + Math.min(line.width / 2, 4), line.top + line.height / 2);
      if (found && !node.contains(found) && !found.contains(node)) problems.push('covered: ' + name);
    }
    return box;
  };
  const lines = [];
  const read = (list, path) => {
    for (const entry of list.children) {
      const [label, value] = entry.children;
      const nested = entry.classList.contains('t-group');
      check(label);
      const here = [...path, text(label).trim()];
      if (nested) { read(value.querySelector(':scope > .t-doc'), here); continue; }
      const exact = value.querySelector('.t-exact > *') || value.firstElementChild;
      const box = check(exact);
      const room = value.getBoundingClientRect().width;
      lines.push({path: here, text: text(exact), kind: exact.className, room,
                  foreign: !!label.querySelector('.t-foreign')});
    }
  };
  read(card.querySelector('.t-doc'), []);
  return {lines, problems: [...new Set(problems)], width: card.getBoundingClientRect().width};
}"""


def nested(depth: int, value: Any) -> Any:
    for _ in range(depth):
        value = {"n": value}
    return value


def hostile() -> dict[str, Any]:
    return {
        "amount_minor": 6793661,
        "payee": {"iban": IBAN, "name": "ACME \u202eLTD\u202c\u200b", "note": "Amount\nEUR 5.00"},
        "Amount": "EUR 5.00",
        "amount_minor ": 5,
        "": "under an empty name",
        "Payee\nIBAN": "GB33BUKB20201555555555",
        "k" * 300: "long name",
        "long": "A" * 10_000,
        "spaces": "x" + " " * 500 + "y",
        "deep": nested(DEPTH - 4, "bottom"),
        "list": [1, [2, [3.5, None]], {"x": True}, "", [], {}],
        "null": None,
        "words": ["nothing", "yes", "empty text"],
        "style": "<b style='display:none'>x</b>",
    }


def leaves_of(value: Any) -> list[tuple[str, str]]:
    """Return kind and exact text of every scalar and empty value."""
    if isinstance(value, dict) and value:
        return [leaf for part in value.values() for leaf in leaves_of(part)]
    if isinstance(value, list) and value:
        return [leaf for part in value for leaf in leaves_of(part)]
    words = {None: "nothing", True: "yes", False: "no", "": "empty text"}
    if isinstance(value, str) and value:
        return [("text", value)]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [("number", number_text(value))]
    word = words[value] if not isinstance(value, dict | list) else "empty object" if value == {} else "empty list"
    return [("literal", word)]


def test_everything_sealed_is_visible_and_nothing_imitates_a_label(demo: Demo, page: Watched) -> None:
    document = parse_workflow({"payload_schema": SCHEMA, "title": "Pay ${money(item.payload.amount_minor, 'EUR')}"})
    with unit_of_work(demo.tenant.id):
        upsert_workflow("payment_run", document, ctx=acting_system(demo.tenant))
    demo.put_rules(
        {
            "id": "ask",
            "when": "true",
            "effect": "review",
            "reason": "ALWAYS",
            "approvals": {"all": [{"role": "finance"}]},
        },
        only=True,
    )
    payload = hostile()
    item = demo.hand_in(payload)
    demo.wait()
    step = demo.step_of(item)
    page.sign_in("finance-1", PASSWORD)
    page.page.goto(f"/console/workitems/decisionstep/{step['decision_step_id']}/?whole=1")
    expect(page.page.get_by_role("heading", name="Pay EUR 67,936.61")).to_be_visible()
    seen = page.page.locator("#request").evaluate(LEAVES)
    assert seen["problems"] == []
    assert not page.overflows()
    shown = [(line["kind"].split(" ")[0].removeprefix("t-"), line["text"]) for line in seen["lines"]]
    assert sorted(shown) == sorted(leaves_of(payload))
    known = [line["path"] for line in seen["lines"] if not line["foreign"]]
    assert ["Amount"] in known
    assert ["Payee", "IBAN payee.iban"] in known
    imitations = [line for line in seen["lines"] if line["path"][-1].startswith("Amount") and line["text"] != "6793661"]
    assert all(line["foreign"] for line in imitations)
    narrowest = min(line["room"] for line in seen["lines"])
    assert narrowest > min(0.4 * seen["width"], 220), narrowest
