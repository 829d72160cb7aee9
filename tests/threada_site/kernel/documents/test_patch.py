"""Changes of a document's text: what is not changed keeps its comments, its order and its style."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from threada_site.kernel.documents.patch import patched
from threada_site.kernel.documents.reader import load_documents
from threada_site.kernel.documents.writer import write_document

TEXT = """\
# What we pay, und für wen.
kind: Workflow
id: pay
spec:
  title: "Pay ${item.payload.vendor}"   # short

  # Everything that is asked for.
  payload_schema:
    type: object
    required: [vendor]
    properties:
      # Who gets it.
      vendor: {type: string, title: Vendor}   # as in the ledger
      # In cents.
      amount_minor:
        type: integer
        title: 'Amount'   # in the portal
      note:
        type: string
        description: |
          # no comment
          Free text.
  actions: [pay]   # of the bank
  rules:
    # first
    - id: one
      when: "true"   # always
    - {id: two}
# the end
"""


def read(text: str) -> Any:
    return load_documents(text, source="x")[0].value


def test_nothing_changes_nothing() -> None:
    assert patched(TEXT, read(TEXT)) == TEXT


def test_a_change_touches_its_own_lines() -> None:
    value = read(TEXT)
    spec = value["spec"]
    spec["title"] = "Pay"
    spec["actions"] = ["pay", "refund"]
    fields = spec["payload_schema"]["properties"]
    fields["vendor"]["title"] = "Payee"
    fields["amount_minor"]["title"] = "Sum"
    spec["rules"][0]["when"] = "false"
    spec["rules"].append({"id": "three"})
    wanted = (
        TEXT.replace('"Pay ${item.payload.vendor}"', "Pay")
        .replace("[pay]", "[pay, refund]")
        .replace("title: Vendor", "title: Payee")
        .replace("'Amount'", "Sum")
        .replace('"true"', '"false"')
        .replace("    - {id: two}\n# the end\n", "    - {id: two}\n    - id: three\n# the end\n")
    )
    assert patched(TEXT, value) == wanted


def test_fields_move_and_vanish_with_their_comments() -> None:
    value = read(TEXT)
    schema = value["spec"]["payload_schema"]
    old = schema["properties"]
    schema["properties"] = {"note": old["note"], "payee": old["vendor"], "due": {"type": "string", "format": "date"}}
    schema["required"] = ["payee"]
    found = patched(TEXT, value)
    assert read(found) == value
    assert list(read(found)["spec"]["payload_schema"]["properties"]) == ["note", "payee", "due"]
    assert "# Who gets it.\n      payee: {type: string, title: Vendor}   # as in the ledger\n" in found
    assert "In cents" not in found
    for kept in ("# What we pay", "# short", "# Everything that", "# of the bank", "# first", "# always", "# the end"):
        assert kept in found


@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "Workflow", "spec": {"a": 1}}',
        "",
        "[",
        "a: 1\n---\nb: 2\n",
        "just text",
        "kind: Workflow\rspec:\r  a: 1\r",
        "# pasted\u2028\nkind: Workflow\nspec:\n  a: 1\n",
        "kind: Workflow  # pasted \x85name: a\nspec:\n  a: 1\n",
    ],
)
def test_a_text_that_cannot_be_changed_is_written_again(text: str) -> None:
    value = {"kind": "Workflow", "spec": {"a": 2}}
    assert patched(text, value) == write_document(value)


_LEAVES = st.one_of(st.integers(-9, 9), st.booleans(), st.none(), st.text(max_size=6))
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text("abc #", max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=40)
@given(_VALUES, _VALUES)
def test_the_result_always_says_the_value(before: Any, after: Any) -> None:
    texts = [write_document(copy.deepcopy(before)), "# c\n" + write_document({"k": before, "l": [before, {"m": 1}]})]
    for text in texts:
        for value in (after, {"l": [after, {"m": 2}], "k": after}):
            assert json.dumps(read(patched(text, value))) == json.dumps(value)
