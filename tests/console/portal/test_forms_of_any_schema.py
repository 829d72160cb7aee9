"""Form pages of schemas that a policy author or an attacker may write, without scripts."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from tests.console.portal.forms import FORM, put_workflow, send, stored, token_of
from tests.console.sign_in import Console
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from workitems.models import WorkItem

LINES: dict[str, Any] = {
    "type": "object",
    "required": ["lines"],
    "properties": {
        "lines": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["sku"],
                "properties": {"sku": {"type": "string", "maxLength": 20}},
            },
        }
    },
}


@pytest.fixture
def rita(demo: Demo, console: Console) -> Client:
    demo.join("rita", roles=("requester",))
    demo.put_rules({"id": "all", "when": "true", "effect": "allow", "reason": "ALL"}, only=True)
    return console("rita")


def declare(demo: Demo, schema: dict[str, Any], **changes: Any) -> None:
    declared = {"action": "close", "integration": "int_workflow", "channel": "web_main"}
    put_workflow(demo, payload_schema=schema, request=declared, **changes)


def test_rows_work_without_scripts(demo: Demo, rita: Client) -> None:
    declare(demo, LINES)
    page = rita.get(FORM).content.decode()
    assert page.count('name="_row"') == 1
    token = token_of(rita)
    sent = {"_token": token, "_row": "/lines/0", "_shown": "/lines", "p/lines/0/sku": "a"}
    more = rita.post(FORM, {**sent, "_add": "/lines"})
    assert more.status_code == 200
    assert more.content.decode().count('name="_row"') == 2
    assert 'value="a"' in more.content.decode()
    assert f'value="{token}"' in more.content.decode()
    both = {**sent, "_row": ["/lines/0", "/lines/1"], "p/lines/1/sku": "b"}
    fewer = rita.post(FORM, {**both, "_remove": "/lines/0"}).content.decode()
    assert 'name="p/lines/0/sku" id="p_2f_lines_2f_0_2f_sku" value="b"' in fewer
    assert stored(demo) == (1, 0)
    assert rita.post(FORM, {**both, "_send": "1"}).status_code == 302
    with unit_of_work(demo.tenant.id):
        assert WorkItem.objects.latest("id").payload == {"lines": [{"sku": "a"}, {"sku": "b"}]}


def test_a_free_payload_is_edited_as_json(demo: Demo, rita: Client) -> None:
    declare(demo, {"type": "object"})
    assert 'name="p" id="p"' in rita.get(FORM).content.decode()
    refused = rita.post(FORM, {"_token": token_of(rita), "p": '{"a": 1, "a": 2}', "_send": "1"})
    assert refused.status_code == 422
    assert rita.post(FORM, {"_token": token_of(rita), "p": '{"a": 1}', "_send": "1"}).status_code == 302
    with unit_of_work(demo.tenant.id):
        assert WorkItem.objects.latest("id").payload == {"a": 1}


def test_hostile_labels_stay_texts(demo: Demo, rita: Client) -> None:
    label = "<script>alert(1)</script>\u202eevil\u0007"
    schema = {
        "type": "object",
        "properties": {
            'x" onfocus="alert(1)': {"type": "string", "title": label, "description": label, "default": label},
            "choice": {"oneOf": [{"const": label, "title": label}, {"const": "b"}]},
        },
    }
    declare(demo, schema, name=label, description=label)
    for address in (FORM, "/console/", "/console/request/"):
        page = rita.get(address).content.decode()
        assert "<script>alert" not in page
        assert ' onfocus="alert' not in page
        assert "\u202e" not in page
    answer = send(rita, **{'x" onfocus="alert(1)': label, "choice": ""})
    assert "<script>alert" not in answer.content.decode()


def test_a_large_schema_and_many_members_are_shown(demo: Demo, rita: Client) -> None:
    members = {f"member_{number}": {"type": "string", "description": "d" * 20} for number in range(10_000)}
    declare(demo, {"type": "object", "properties": members})
    answer = rita.get(FORM)
    assert answer.status_code == 200
    assert len(answer.content) < 200_000
    assert 'name="p" id="p"' in answer.content.decode()


def test_recursive_schemas_and_senseless_entries_are_answered(demo: Demo, rita: Client) -> None:
    tree = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "parts": {"type": "array", "items": {"$ref": "#"}}},
    }
    declare(demo, tree)
    token = token_of(rita)
    rows = ["/parts/0"]
    while len(rows) < 200:
        rows.append(f"{rows[-1]}/parts/0")
    odd_entries = (
        ({"_row": rows}, 422),
        ({"_row": [f"/parts/{number}" for number in range(900)]}, 422),
        ({"_row": ["/parts/-1", "/parts/x", "parts", "/parts/99999999", "/parts/1/2/3"]}, 422),
        ({"_add": "/no/such"}, 200),
        ({"_add": "/parts/" + "0/" * 5000}, 200),
        ({"_remove": "/parts/5"}, 200),
        ({"p/name": ["a", "b"], "p/": "x", "p": "{", "p//": "y", "px": "z"}, 302),
        ({"_shown": ["/name"] * 500}, 422),
    )
    for odd, status in odd_entries:
        assert rita.post(FORM, {"_token": token, **odd}).status_code == status, odd


def test_too_many_fields_and_bytes_are_refused(demo: Demo, rita: Client) -> None:
    token = token_of(rita)
    many = rita.post(FORM, {"_token": token, **{f"p/x{number}": "1" for number in range(3_000)}})
    assert many.status_code == 400
    large = rita.post(FORM, {"_token": token, "p/vendor": "x" * 5_000_000, "p/amount_minor": "1", "p/invoice": ""})
    assert large.status_code == 400
    assert stored(demo) == (1, 0)


def test_every_field_has_a_label_and_names_its_descriptions(demo: Demo, rita: Client) -> None:
    schema = {
        "type": "object",
        "required": ["a"],
        "properties": {
            "a": {"type": "string", "description": "Help."},
            "b": {"type": "boolean", "default": True},
            "c": {"enum": ["x"]},
            "d": {"type": "object"},
            "e": {"type": "array", "uniqueItems": True, "items": {"enum": ["x", "y"]}},
        },
    }
    declare(demo, schema)
    page = send(rita, a="", d="{").content.decode()
    form = page.partition('<form class="t-form"')[2]
    ids = set(re.findall(r' id="([^"]+)"', page))
    for named in re.findall(r'aria-describedby="([^"]+)"', form):
        assert set(named.split()) <= ids, named
    for target in re.findall(r'<label[^>]* for="([^"]+)"', form):
        assert target in ids
    for link in re.findall(r'<a href="#([^"]+)"', page):
        assert link in ids
    assert len(re.findall(r' id="([^"]+)"', page)) == len(ids)
