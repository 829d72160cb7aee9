"""Links that fill in a form: marked values, and what a hostile link cannot do."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client

from tests.console.portal.forms import FORM, put_workflow, send, stored, token_of
from tests.console.sign_in import Console
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from workitems.models import WorkItem

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["vendor", "version"],
    "properties": {
        "vendor": {"type": "string", "maxLength": 100},
        "version": {"const": 3},
        "currency": {"enum": ["EUR", "CHF"]},
        "urgent": {"type": "boolean", "default": False},
        "address": {"type": "object", "properties": {"city": {"type": "string"}, "a.b": {"type": "string"}}},
        "kind": {"enum": ["plain", "special"]},
    },
    "if": {"properties": {"kind": {"const": "special"}}, "required": ["kind"]},
    "then": {"properties": {"reason": {"type": "string"}}},
}


@pytest.fixture
def rita(demo: Demo, console: Console) -> Client:
    demo.join("rita", roles=("requester",))
    declared = {"action": "close", "integration": "int_workflow", "channel": "web_main"}
    put_workflow(demo, payload_schema=SCHEMA, request=declared)
    demo.put_rules({"id": "all", "when": "true", "effect": "allow", "reason": "ALL"}, only=True)
    return console("rita")


def link(**values: str) -> str:
    return f"{FORM}?{urlencode(values)}"


def test_flat_dotted_and_pointer_names_fill_in_marked_values(rita: Client) -> None:
    page = rita.get(
        link(**{"vendor": "Hooli", "address.city": "Bonn", "/address/a.b": "x", "currency": "CHF"})
    ).content.decode()
    for value in ("Hooli", "Bonn", "x"):
        assert f'value="{value}"' in page
    assert '<option value="&quot;CHF&quot;" selected>' in page
    assert page.count("Filled in by a link") == 4
    assert "I have checked the values that a link filled in" in page


def test_a_link_sends_nothing(demo: Demo, rita: Client) -> None:
    rita.get(link(vendor="Hooli", _send="1", _confirmed="1", _token=token_of(rita), amount_minor="5"))
    assert stored(demo) == (1, 0)


def test_marked_values_are_confirmed_or_edited_before_they_are_sent(demo: Demo, rita: Client) -> None:
    address = link(vendor="Evil Ltd")
    sent = {
        "vendor": "Evil Ltd",
        "currency": "",
        "address/city": "",
        "address/a.b": "",
        "kind": "",
        "_shown": "/urgent",
    }
    token = token_of(rita, address)
    refused = send(rita, address, token=token, **sent)
    assert refused.status_code == 422
    assert "Confirm the values that a link filled in" in refused.content.decode()
    assert stored(demo) == (1, 0)
    edited = send(rita, address, token=token, **{**sent, "vendor": "Hooli"})
    assert edited.status_code == 302, edited.content.decode().partition('id="problems"')[2][:900]
    assert send(rita, address, _confirmed="1", **sent).status_code == 302
    assert stored(demo) == (3, 2)


def test_constants_tokens_and_members_that_are_not_shown_are_not_filled_in(rita: Client) -> None:
    hostile = {
        "version": "4",
        "/version": "4",
        "reason": "sesame",
        "_token": "x",
        "_confirmed": "1",
        "_draft": "rd_0",
        "csrfmiddlewaretoken": "x",
        "p/vendor": "y",
        "vendor.x": "z",
        "currency": "USD",
        "": "w",
    }
    page = rita.get(link(**hostile)).content.decode()
    assert "Filled in by a link" not in page
    assert "sesame" not in page
    assert 'value="rd_0"' not in page
    assert 'name="_confirmed"' not in page


def test_a_condition_that_the_link_meets_shows_its_members(rita: Client) -> None:
    page = rita.get(link(reason="because", kind="special")).content.decode()
    assert 'value="because"' in page
    assert page.count("Filled in by a link") == 2


def test_a_member_that_a_new_entry_hides_is_not_sent(demo: Demo, rita: Client) -> None:
    address = link(reason="sesame", kind="special")
    sent = {"vendor": "Hooli", "currency": "", "address/city": "", "address/a.b": "", "_shown": "/urgent"}
    answer = send(rita, address, kind='"plain"', reason="sesame", **sent)
    assert answer.status_code == 302, answer.content.decode().partition('id="problems"')[2][:900]
    with unit_of_work(demo.tenant.id):
        assert WorkItem.objects.latest("id").payload == {
            "vendor": "Hooli",
            "version": 3,
            "urgent": False,
            "kind": "plain",
        }


def test_a_member_that_a_new_entry_adds_is_shown_before_it_is_sent(demo: Demo, rita: Client) -> None:
    sent = {"vendor": "Hooli", "currency": "", "address/city": "", "address/a.b": "", "_shown": "/urgent"}
    answer = send(rita, kind='"special"', **sent)
    assert answer.status_code == 422
    assert "has other fields after your entries" in answer.content.decode()
    assert 'name="p/reason"' in answer.content.decode()
    assert stored(demo) == (1, 0)


def test_markup_and_large_links_are_harmless(rita: Client) -> None:
    page = rita.get(link(vendor='"><script>alert(1)</script>', **{"<b>x</b>": "1"})).content.decode()
    assert "<script>alert" not in page
    assert "<b>x" not in page
    many = {f"name{number}": "v" * 50 for number in range(500)}
    assert rita.get(link(vendor="v" * 10_000, **many)).status_code == 200
