from __future__ import annotations

from typing import Any

import pytest

from policies.documents.title_template import Field, Function, TitleError, parse_title
from policies.documents.workflow import parse_workflow, workflow_from_spec
from threada_site.kernel import errors
from threada_site.kernel.json.canonical import canonical_sha256


def test_a_template_has_texts_fields_and_functions() -> None:
    template = (
        "Pay ${item.payload.vendor} ${ money( item.payload.lines[0].minor , 'EUR' ) } by ${item.payload['due day']}"
    )
    assert parse_title(template) == (
        "Pay ",
        Field("payload", ("vendor",)),
        " ",
        Function("money", (Field("payload", ("lines", 0, "minor")), "EUR")),
        " by ",
        Field("payload", ("due day",)),
    )
    assert parse_title("100 $ {x}") == ("100 $ {x}",)
    assert parse_title("${item.id}${item.external_ref}") == (Field("id"), Field("external_ref"))


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("${vendor}", "begins with item."),
        ("${item.payload.vendor", "Expected '}' at the end"),
        ("${}", "Expected a name at '}'"),
        ("${", "Expected a name at the end"),
        ("${item.payload}", "Name a field of the payload"),
        ("${item.requester}", "no field item.requester"),
        ("${item.id.x}", "item.id has no fields of its own"),
        ("${item.payload.a + 1}", "Expected '}' at '+ 1}'"),
        ("${item.payload.a ? 'x' : 'y'}", "Expected '}'"),
        ("${item.payload.f(1)}", "Expected '}' at '(1)}'"),
        ("${upper(item.payload.a)}", "is one of money()"),
        ("${money(item.payload.a)}", "takes 2 arguments, not 1"),
        ("${date(item.payload.a, 'x')}", "takes 1 argument, not 2"),
        ("${date(number(item.payload.a))}", "An argument is a field"),
        ("${item.payload.a[x]}", "Expected '}' at '[x]}'"),
        ("x" * 81, "at most 80 characters"),
        ("${item.id}" * 11, "at most 10 placeholders"),
    ],
)
def test_an_error_says_what_to_write(template: str, said: str) -> None:
    with pytest.raises(TitleError) as refused:
        parse_title(template)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("document", "pointers"),
    [
        ({"title": "${vendor}"}, ["/title"]),
        ({"kind": "Workflow", "id": "x", "spec": {"title": "${"}}, ["/spec/title"]),
        ({"title": 3}, ["/title"]),
        ({"title": "x" * 501}, ["/title"]),
        ({"summary": ["vendor", "/a", "/a"]}, ["/summary/0", "/summary/2"]),
        ({"related_by": ["/a", "/b", "/c", "/d"]}, ["/related_by"]),
        ({"related_by": [""]}, ["/related_by/0"]),
    ],
)
def test_errors_of_a_document_have_pointers(document: Any, pointers: list[str]) -> None:
    with pytest.raises(errors.DocumentInvalid) as refused:
        parse_workflow(document)
    assert [entry.pointer for entry in refused.value.errors] == pointers


def test_a_version_stores_the_fields_only_if_they_are_given() -> None:
    """Digests of workflows without them stay what they were."""
    plain = parse_workflow({"actions": ["pay"]}).as_spec()
    assert not {"title", "summary", "related_by", "subject"} & set(plain)
    assert canonical_sha256(plain) == "13b1165a50c154e5af206d81946222214701d9cca6e5993101a553028d228d2a"
    given = {"title": "Pay ${item.payload.vendor}", "summary": ["/vendor"], "related_by": ["/vendor"]}
    document = parse_workflow(given)
    assert given.items() <= document.as_spec().items()
    assert workflow_from_spec(document.as_spec()) == document
